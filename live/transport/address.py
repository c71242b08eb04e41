"""Addresses and keys: what may be bound or connected to, and with which encryption."""

import ipaddress
import os
import re
import stat
from pathlib import Path

import zmq

from redoxscope.live.errors import UserError

DEFAULT_ADDRESS = "tcp://127.0.0.1:5578"

_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.*-]+):(?P<port>\d{1,5})")
_KEY = re.compile(r"[!-~]{40}")  # Z85, 32 bytes
_HOW = "start the monitor with --key FILE, which makes one, and give the publisher FILE.pub: Publisher(address, key=…)"


def check(address: str, *, key: object, bind: bool) -> str:
    """Return the address as 0MQ takes it, or raise UserError; beyond this machine only with a key."""
    if address.startswith("ipc://") and 6 < len(address) < 107:
        return address
    match = _TCP.fullmatch(address)
    anywhere = match is not None and (match["host"] == "*" or int(match["port"]) == 0)
    if match is None or int(match["port"]) > 65535 or (anywhere and not bind):
        raise UserError(
            f"{address!r} is not an address; write tcp://HOST:PORT, such as {DEFAULT_ADDRESS}, or ipc://PATH"
        )
    if key is None and not _is_loopback(match["host"].strip("[]")):
        raise UserError(f"{address} can be reached from other machines and needs a key; {_HOW}")
    return address.replace("tcp://localhost:", "tcp://127.0.0.1:")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "lo")


def make_key(path: Path | str) -> str:
    """Write a new key pair for a receiver to `path` (mode 0600) and its public half to `path`.pub; return the latter.

    Whoever has the public key can send documents to the receiver and be sure it is the right one; the secret key
    never leaves the monitor's machine.
    """
    path = Path(path)
    public, secret = (part.decode() for part in zmq.curve_keypair())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"public {public}\nsecret {secret}\n")
        path.with_name(path.name + ".pub").write_text(f"public {public}\n")
    except FileExistsError:
        raise UserError(f"{path}: exists already; remove it first or give another name") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a place that can be written to") from error
    return public


def public_key(key: Path | str) -> bytes:
    """Return a receiver's public key from the key itself (40 characters) or from a file that has it."""
    if isinstance(key, str) and _KEY.fullmatch(key) and not Path(key).exists():
        return key.encode()
    return _read(Path(key), "public")


def secret_key(path: Path | str) -> bytes:
    """Return the secret key in the file that `make_key` made."""
    return _read(Path(path), "secret")


def _read(path: Path, part: str) -> bytes:
    try:
        lines = dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if " " in line)
        others_may = stat.S_IMODE(path.stat().st_mode) & 0o077
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a key ({error}); {_HOW}") from error
    if "secret" in lines and others_may:
        raise UserError(f"{path}: others can read this secret key; run chmod 600 on it")
    if not _KEY.fullmatch(lines.get(part, "")):
        raise UserError(f"{path}: holds no {part} key; {_HOW}")
    return lines[part].encode()
