"""An append-only file of Bluesky documents, and the bytes a document becomes on disk and on the wire.

A document is plain msgpack. Arrays of plain dtypes travel in one extension type; pickle is never involved,
so that reading a journal or a socket cannot execute anything. The file is a magic word, then records: length,
CRC-32, payload. A writer that is killed leaves at most a torn last record, which readers leave alone and the
next writer cuts off.
"""

import fcntl
import logging
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack
from datetime import date
from enum import Enum
from math import prod
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from redoxscope.live.errors import UserError

log = logging.getLogger(__name__)

MAGIC = b"RSCOPEJ1"
MAX_PAYLOAD = 1 << 28  # bytes: 256 MiB, 30 frames of 2048² inline in one event
_HEADER = struct.Struct("<II")  # length, CRC-32 of the payload
_ARRAY = 1  # msgpack extension code
_PLAIN_DTYPE = re.compile(r"[<>|=]?[biufcSUmM]\d{1,7}(\[\w+\])?")
_MAX_NDIM = 32


def encode(name: str, doc: Mapping[str, Any]) -> bytes:
    """Turn a document into bytes.

    Tuples and sets become lists, numpy scalars Python's, dates, paths, enums and anything else unknown to
    msgpack strings. Raises ValueError for an array of objects or records, and beyond `MAX_PAYLOAD`.
    """
    try:
        packed: bytes = msgpack.packb(
            [name, dict(doc)], default=_pack_other, use_bin_type=True, unicode_errors="backslashreplace"
        )
    except Exception as error:
        raise ValueError(f"the {name} document cannot be encoded: {error}") from error
    if len(packed) > MAX_PAYLOAD:
        raise ValueError(f"the {name} document is {len(packed)} bytes long, the limit is {MAX_PAYLOAD}")
    return packed


def decode(data: bytes) -> tuple[str, dict[str, Any]]:
    """Return the name and the document in `data`; arrays are read-only. Raises ValueError for all else."""
    if len(data) > MAX_PAYLOAD:
        raise ValueError(f"{len(data)} bytes are more than the limit of {MAX_PAYLOAD}")
    try:
        record = msgpack.unpackb(data, ext_hook=_unpack_ext, raw=False, strict_map_key=False, timestamp=1)
    except Exception as error:  # msgpack raises half a dozen kinds, and MemoryError for huge claimed lengths
        raise ValueError(f"not a document: {error or type(error).__name__}") from None
    match record:
        case [str(name), dict(doc)]:
            return name, doc
    raise ValueError("not a document: expected a name and a mapping")


def _pack_other(value: Any) -> Any:
    match value:
        case np.ndarray():
            return _pack_array(value)
        case np.void():
            raise ValueError("records (void dtype) are not plain data")
        case np.datetime64() | np.timedelta64():
            return str(value)
        case np.generic():
            return value.item()
        case Set():
            return list(value)
        case Mapping():
            return dict(value)
        case date():  # and datetime
            return value.isoformat()
        case Enum():
            return value.value if isinstance(value.value, str) else value.name
        case _:
            return str(value)


def _pack_array(array: np.ndarray[Any, Any]) -> msgpack.ExtType:
    if not _PLAIN_DTYPE.fullmatch(array.dtype.str):
        raise ValueError(f"an array of dtype {array.dtype} is not plain data")
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return msgpack.ExtType(_ARRAY, msgpack.packb([array.dtype.str, array.shape, raw]))


def _unpack_ext(code: int, data: bytes) -> np.ndarray[Any, Any]:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    dtype_name, shape, raw = msgpack.unpackb(data)
    if not isinstance(dtype_name, str) or not _PLAIN_DTYPE.fullmatch(dtype_name):
        raise ValueError(f"dtype {dtype_name!r} is not plain data")
    if len(shape) > _MAX_NDIM or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("impossible shape")
    dtype = np.dtype(dtype_name)
    if not isinstance(raw, bytes) or not dtype.itemsize or prod(shape) * dtype.itemsize != len(raw):
        raise ValueError("shape and size of the array disagree")
    if not raw:
        return np.empty(shape, dtype)
    return np.frombuffer(raw, dtype).reshape(shape)


class Journal:
    """Append documents to a file; every record has left the process when `append` returns.

    One writer at a time (the file is locked). Opening an existing journal cuts off a torn tail first.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; give a place that can be written to") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.end = self._recover()
        except BlockingIOError:
            os.close(self._fd)
            raise UserError(f"{self.path}: another process is writing this journal; stop it first") from None
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, name: str, doc: Mapping[str, Any]) -> int:
        """Append one document; return the offset after it, where `read` would go on."""
        return self.append_encoded(encode(name, doc))

    def append_encoded(self, payload: bytes) -> int:
        """Append what `encode` made. An OSError (disk full) leaves the journal as it was."""
        if not 0 < len(payload) <= MAX_PAYLOAD:
            raise ValueError(f"a record holds 1 to {MAX_PAYLOAD} bytes, not {len(payload)}")
        try:  # the header last: it is what makes the record visible to those who follow
            self._put(payload, self.end + _HEADER.size)
            self._put(_HEADER.pack(len(payload), zlib.crc32(payload)), self.end)
        except OSError:
            os.ftruncate(self._fd, self.end)
            raise
        self.end += _HEADER.size + len(payload)
        return self.end

    def _put(self, data: bytes, place: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._fd, rest, place)
            rest, place = rest[written:], place + written

    def payload(self, end: int, size: int) -> bytes:
        """Return the `size` bytes of the record that ends at `end`."""
        return os.pread(self._fd, size, end - size)

    @property
    def has_records(self) -> bool:
        """Whether anything has been written."""
        return self.end > len(MAGIC)

    def clear(self) -> None:
        """Drop all records."""
        os.ftruncate(self._fd, len(MAGIC))
        self.end = len(MAGIC)

    def close(self) -> None:
        """Close the file; harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> int:
        """Return where the last whole record ends, and cut off what follows.

        Records are written one after the other, so only the last can be torn: the others are hopped over.
        """
        size = os.fstat(self._fd).st_size
        found = os.pread(self._fd, len(MAGIC), 0)
        if found != MAGIC:
            if not MAGIC.startswith(found):
                raise UserError(f"{self.path}: not a redoxscope journal; give another name")
            os.pwrite(self._fd, MAGIC, 0)
            return len(MAGIC)
        end = last = len(MAGIC)
        while size - end > _HEADER.size:
            length, _ = _HEADER.unpack(os.pread(self._fd, _HEADER.size, end))
            if not 0 < length <= min(MAX_PAYLOAD, size - end - _HEADER.size):
                break
            last, end = end, end + _HEADER.size + length
        if end > last:
            length, crc = _HEADER.unpack(os.pread(self._fd, _HEADER.size, last))
            if zlib.crc32(os.pread(self._fd, length, last + _HEADER.size)) != crc:
                end = last
        if end < size:
            log.warning("%s: cut off %d bytes of a torn record", self.path, size - end)
            os.ftruncate(self._fd, end)
        return end


def read(path: Path | str, start: int = 0) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield (offset after it, name, document) of every whole record from offset `start` on.

    Stops at the end or at a torn tail; called again with the last offset it goes on, so that a journal can be
    followed while it grows. A damaged record in the middle is skipped with a warning.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; give the path of a readable journal") from error
        if file.read(len(MAGIC)) != MAGIC:
            raise UserError(f"{path}: not a redoxscope journal; give a file that `redoxscope` wrote")
        size = os.fstat(file.fileno()).st_size
        offset = max(start, len(MAGIC))
        file.seek(offset)
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, crc = _HEADER.unpack(header)
            offset += _HEADER.size + length
            if not 0 < length <= MAX_PAYLOAD or len(payload := file.read(length)) < length:
                return
            try:
                if zlib.crc32(payload) != crc:
                    if offset >= size:
                        return
                    raise ValueError("checksum differs")
                record = decode(payload)
            except ValueError as error:
                log.warning("%s: record before offset %d skipped: %s", path, offset, error)
            else:
                yield offset, *record
