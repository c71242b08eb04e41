"""The monitor's side: documents of any number of publishers, each once and in order, acknowledged when written down."""

import errno
import logging
import os
import socket as sockets
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import zmq

from redoxscope.live.errors import UserError
from redoxscope.live.journal import MAX_PAYLOAD, decode
from redoxscope.live.transport import address as addresses

log = logging.getLogger(__name__)

MAX_PUBLISHERS = 1024  # remembered; a forgotten one introduces itself again
_BATCH = 256
_SLICE = 50  # ms, after which acknowledgements given by another thread go out
_U64 = struct.Struct(">Q")
_SANE = (1 << 62) - 1  # no counting goes over what the wire can carry

Received = tuple[str, dict[str, Any], Callable[[], None]]


@dataclass
class _Publisher:
    """What is known of one publisher: `following` is expected next, all below `done` is written down."""

    following: int
    done: int
    written: set[int] = field(default_factory=set)
    route: bytes = b""
    told: int = 0


class Receiver:
    """Bind to `address` and take documents in.

    `key` is the file that `make_key` made; without one only this machine can be listened to. `malformed` counts
    messages that were no documents. Use it from one thread; only the acknowledgements may come from others.
    """

    def __init__(self, address: str = addresses.DEFAULT_ADDRESS, *, key: Path | str | None = None) -> None:
        address = addresses.check(address, key=key, bind=True)
        self.malformed = self.duplicates = 0
        self._publishers: OrderedDict[bytes, _Publisher] = OrderedDict()
        self._lock = threading.Lock()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            self._configure(key, ipv6="[" in address)
            _refuse_living_ipc(address)
            self._socket.bind(address)
        except (zmq.ZMQError, UserError) as error:
            self._context.destroy(linger=0)
            if isinstance(error, UserError):
                raise
            raise UserError(_explain(address, error)) from error
        self.address = str(self._socket.getsockopt_string(zmq.LAST_ENDPOINT)).rstrip("\0")
        if address.startswith("ipc:///"):
            os.chmod(address.removeprefix("ipc://"), 0o600)

    def _configure(self, key: Path | str | None, *, ipv6: bool) -> None:
        self._socket.linger = 500  # ms for the last acknowledgements
        self._socket.ipv6 = ipv6
        self._socket.maxmsgsize = MAX_PAYLOAD + 1024
        self._socket.heartbeat_ivl, self._socket.heartbeat_timeout = 2000, 10000  # ms
        self._socket.router_handover = False
        if key is not None:
            self._socket.curve_server = True
            self._socket.curve_secretkey = addresses.secret_key(key)

    def poll(self, timeout: float) -> list[Received]:
        """Return what has come, after at most `timeout` seconds, as (name, document, acknowledge).

        Call `acknowledge()` once the document is safe: until then the publisher keeps it, and sends it again to
        whoever binds here next.
        """
        deadline = time.monotonic() + timeout
        received: list[Received] = []
        while not received:
            self._tell()
            left = deadline - time.monotonic()
            if not self._socket.poll(max(0, min(_SLICE, int(1000 * left) + 1)), zmq.POLLIN) and left <= 0:
                break
            for _ in range(_BATCH):
                if not self._socket.poll(0, zmq.POLLIN):
                    break
                received += self._take(self._socket.recv_multipart())
        return received

    def receive(self, handler: Callable[[str, dict[str, Any]], object], *, stop: threading.Event | None = None) -> None:
        """Hand documents to `handler` until `stop` is set; each is acknowledged when `handler` has returned."""
        while stop is None or not stop.is_set():
            for name, doc, acknowledge in self.poll(0.2):
                handler(name, doc)
                acknowledge()

    def close(self) -> None:
        """Send the last acknowledgements and free the address; harmless when done twice."""
        if not self._socket.closed:
            self._tell()
            self._socket.close()
            self._context.term()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, message: list[bytes]) -> list[Received]:
        match message:
            case [route, b"rs1", b"P", token, base, ping] if len(token) == 16 and len(base) == len(ping) == 8:
                self._introduce(route, token, _U64.unpack(base)[0] & _SANE, ping)
            case [route, b"rs1", b"D", token, number, payload] if len(token) == 16 and len(number) == 8:
                return self._accept(route, token, _U64.unpack(number)[0] & _SANE, payload)
            case _:
                self._complain("a message in no known form")
        return []

    def _introduce(self, route: bytes, token: bytes, base: int, ping: bytes) -> None:
        with self._lock:
            known = self._publishers.setdefault(token, _Publisher(base, base))
            self._publishers.move_to_end(token)
            if len(self._publishers) > MAX_PUBLISHERS:
                self._publishers.popitem(last=False)
            if base > known.following:  # what lay between was acknowledged by another receiver
                known.following = known.done = base
            known.route = route
            self._answer(token, known, ping)

    def _accept(self, route: bytes, token: bytes, number: int, payload: bytes) -> list[Received]:
        known = self._publishers.get(token)
        if known is None or number > known.following:
            return []  # something before it is missing: the publisher will ask, and send both again
        known.route = route
        if number < known.following:
            self.duplicates += 1
            known.told = 0
            return []
        known.following += 1
        acknowledge = partial(self._written, known, number)
        try:
            name, doc = decode(payload)
        except ValueError as error:
            self._complain(str(error))
            acknowledge()
            return []
        return [(name, doc, acknowledge)]

    def _written(self, known: _Publisher, number: int) -> None:
        with self._lock:
            known.written.add(number)
            while known.done in known.written:
                known.written.remove(known.done)
                known.done += 1

    def _tell(self) -> None:
        with self._lock:
            for token, known in self._publishers.items():
                if known.told != known.done:
                    self._answer(token, known, bytes(8))

    def _answer(self, token: bytes, known: _Publisher, ping: bytes) -> None:
        numbers = _U64.pack(known.done), _U64.pack(known.following)
        try:
            self._socket.send_multipart([known.route, b"rs1", b"A", token, *numbers, ping], flags=zmq.NOBLOCK)
        except zmq.ZMQError:  # gone or not listening: it will ask again
            return
        known.told = known.done

    def _complain(self, reason: str) -> None:
        self.malformed += 1
        if self.malformed & (self.malformed - 1) == 0:  # the 1st, 2nd, 4th, 8th, …: a flood is no flood in the log
            log.warning("message dropped (%d so far): %s", self.malformed, reason)


def _refuse_living_ipc(address: str) -> None:
    """0MQ would take an ipc path over from a receiver that still listens there."""
    if address.startswith("ipc:///"):
        with sockets.socket(sockets.AF_UNIX) as probe:
            if probe.connect_ex(address.removeprefix("ipc://")) == 0:
                raise UserError(f"{address} is in use; stop the other monitor or give another address")


def _explain(address: str, error: zmq.ZMQError) -> str:
    if error.errno in (errno.EADDRINUSE, zmq.EADDRINUSE):
        return f"{address} is in use; stop the other monitor or give another address"
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV, zmq.EADDRNOTAVAIL):
        return f"{address}: this machine has no such interface; give one of its own addresses"
    return f"{address}: {error.strerror}; give an address such as {addresses.DEFAULT_ADDRESS}"
