"""The RunEngine's side: a callback that only appends to a spool, and a thread that sends from there."""

import atexit
import contextlib
import logging
import os
import socket as sockets
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zmq

from redoxscope.live.journal import encode
from redoxscope.live.transport import address as addresses
from redoxscope.live.transport.spool import Spool

log = logging.getLogger(__name__)

WINDOW = 256  # documents on their way, not yet acknowledged
WINDOW_BYTES = 32 << 20
PATIENCE = 0.5  # s of silence with documents on their way, until the receiver is asked
_U64 = struct.Struct(">Q")


class Publisher:
    """Send documents to the monitor: `RE.subscribe(Publisher("tcp://127.0.0.1:5578"))`.

    Calling it never waits and never raises. Documents stay in a spool file below `spool` (by default
    ~/.local/state/redoxscope/spool) until the monitor has acknowledged them: it may start later, or be killed and
    restarted. `key` is the receiver's public key, or the file it is in. `failures` counts documents that could not
    be kept.
    """

    def __init__(
        self,
        address: str = addresses.DEFAULT_ADDRESS,
        *,
        spool: Path | None = None,
        key: Path | str | None = None,
    ) -> None:
        self.address = addresses.check(address, key=key, bind=False)
        self.failures = 0
        self._server_key = None if key is None else addresses.public_key(key)
        self._spool = Spool(spool)
        self._token = uuid.uuid4().bytes
        self._pid = os.getpid()
        self._closing = False
        self._wake_in, self._wake_out = sockets.socketpair()
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="redoxscope-publisher", daemon=True)
        self._thread.start()
        atexit.register(self.close, 2.0)

    @property
    def waiting(self) -> int:
        """How many documents the monitor has not acknowledged yet."""
        return len(self._spool)

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Keep the document for sending. Never waits for the monitor, never raises."""
        try:
            if self._closing or os.getpid() != self._pid:
                raise RuntimeError("the publisher is closed, or belongs to the parent process")
            self._spool.append(name, encode(name, doc))
            self._wake()
        except Exception as error:
            self.failures += 1
            if self.failures & (self.failures - 1) == 0:  # the 1st, 2nd, 4th, 8th, …
                log.error("%s document not published (%d so far): %s", name, self.failures, error)

    def close(self, timeout: float = 10.0) -> bool:
        """Wait until everything is acknowledged, at most `timeout` seconds; tell whether it was.

        If so the spool file is deleted, else it is kept and its place logged.
        """
        if os.getpid() != self._pid or self._closing:
            return not self.waiting
        atexit.unregister(self.close)
        complete = self._spool.wait_empty(timeout)
        self._closing = True
        self._wake()
        self._thread.join(5.0)
        self._spool.close()
        return complete

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it has reasons enough to wake
            self._wake_out.send(b"!")

    def _run(self) -> None:
        context = zmq.Context()
        try:
            with context.socket(zmq.DEALER) as socket:
                self._configure(socket)
                socket.connect(self.address)
                _Sender(socket, self._token, self._spool).loop(self._wake_in, lambda: self._closing)
        except Exception:
            log.exception("sending to %s has stopped; documents are still kept", self.address)
        finally:
            context.term()
            self._wake_in.close()
            self._wake_out.close()

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        socket.linger = 0
        socket.sndhwm = 2 * WINDOW
        socket.immediate = 1  # nothing is queued for a receiver that is not there
        socket.ipv6 = "[" in self.address
        socket.reconnect_ivl, socket.reconnect_ivl_max = 100, 2000  # ms
        socket.heartbeat_ivl, socket.heartbeat_timeout = 2000, 10000  # ms
        if self._server_key is not None:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = self._server_key


class _Sender:
    """Send what the spool holds, in order; go back to where the receiver says when it has fallen silent."""

    def __init__(self, socket: "zmq.Socket[bytes]", token: bytes, spool: Spool) -> None:
        self._socket, self._token, self._spool = socket, token, spool
        self._cursor = spool.base  # next sequence number to send
        self._synced = False  # the receiver has said where to go on
        self._ping, self._first_ping = 0, 1  # last asked; first one whose answer counts
        self._asked = self._heard = -PATIENCE

    def loop(self, wake: sockets.socket, closing: Callable[[], bool]) -> None:
        poller = zmq.Poller()
        poller.register(wake, zmq.POLLIN)
        while not closing():
            poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if self._wants_to_send() else 0))
            events = dict(poller.poll(int(500 * PATIENCE) if len(self._spool) else 5000))
            if wake.fileno() in events:
                wake.recv(4096)
            self._receive()
            self._send()

    def _wants_to_send(self) -> bool:
        if not self._synced:
            return len(self._spool) > 0 and self._ask_again()
        return self._spool.get(self._cursor, WINDOW, WINDOW_BYTES) is not None

    def _ask_again(self) -> bool:
        return time.monotonic() - self._asked >= PATIENCE

    def _receive(self) -> None:
        while self._socket.poll(0, zmq.POLLIN):
            match self._socket.recv_multipart():
                case [b"rs1", b"A", self._token, done, following, ping] if {len(done), len(following), len(ping)} == {
                    8
                }:
                    self._answer(*(_U64.unpack(part)[0] for part in (done, following, ping)))

    def _answer(self, done: int, following: int, ping: int) -> None:
        if done > self._spool.top:
            return  # nobody can have what is not written yet
        self._heard = time.monotonic()
        self._spool.forget_below(done)
        if not self._synced and self._first_ping <= ping <= self._ping:
            self._cursor = min(following, self._spool.top)
            self._synced = True
        self._cursor = max(self._cursor, self._spool.base)

    def _send(self) -> None:
        now = time.monotonic()
        if self._synced and self._cursor > self._spool.base and now - self._heard > PATIENCE:
            self._synced, self._first_ping = False, self._ping + 1
        try:
            if not self._synced:
                if len(self._spool) and self._ask_again():
                    numbers = _U64.pack(self._spool.base), _U64.pack(self._ping + 1)
                    self._post(b"P", *numbers)
                    self._ping += 1
                    self._asked = now
                return
            while (payload := self._spool.get(self._cursor, WINDOW, WINDOW_BYTES)) is not None:
                self._post(b"D", _U64.pack(self._cursor), payload)
                if self._cursor == self._spool.base:
                    self._heard = now  # the receiver's time to answer begins with the first
                self._cursor += 1
        except zmq.Again:
            pass  # not connected, or its queue is full

    def _post(self, kind: bytes, *parts: bytes) -> None:
        self._socket.send_multipart([b"rs1", kind, self._token, *parts], flags=zmq.NOBLOCK)
