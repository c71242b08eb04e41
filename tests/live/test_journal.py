import contextlib
import enum
import os
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path

import msgpack
import numpy as np
import pytest

from redoxscope.live import journal
from redoxscope.live.errors import UserError
from redoxscope.live.journal import Journal, decode, encode, read


class Kind(enum.Enum):
    FLAT = "flat"
    OTHER = 7


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i8", "f4", "f8", "c8", "?", "U5", "S3", "M8[ns]"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_come_back_as_they_were(dtype, shape):
    array = np.arange(int(np.prod(shape)), dtype="i8").reshape(shape).astype(dtype)
    _, doc = decode(encode("event", {"data": {"image": array}}))
    image = doc["data"]["image"]
    assert image.dtype == array.dtype
    assert image.shape == array.shape
    np.testing.assert_array_equal(image, array)


def test_strided_arrays_travel_by_value():
    array = np.arange(24).reshape(4, 6)[::2, ::-3]
    np.testing.assert_array_equal(decode(encode("event", {"a": array}))[1]["a"], array)


def test_other_values_become_plain():
    doc = {
        "time": np.float64(1.5),
        "shape": (1, np.int32(2)),
        "ok": np.bool_(True),
        "names": {"a"},
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "file": Path("/data/a.h5"),
        "kind": [Kind.FLAT, Kind.OTHER],
        "large": 2**70,
        "odd": "\udcff",
        1: None,
    }
    name, back = decode(encode("start", doc))
    assert name == "start"
    assert back == {
        "time": 1.5,
        "shape": [1, 2],
        "ok": True,
        "names": ["a"],
        "when": "2026-01-02T00:00:00+00:00",
        "file": "/data/a.h5",
        "kind": ["flat", "OTHER"],
        "large": str(2**70),
        "odd": "\\udcff",
        1: None,
    }
    assert type(back["time"]) is float


@pytest.mark.parametrize(
    "value",
    [np.array([object()]), np.zeros(2, "V8"), np.zeros(2, "i4,f4"), np.zeros(1, "i4,f4")[0]],
    ids=["object", "void", "records", "record"],
)
def test_objects_and_records_are_refused(value):
    with pytest.raises(ValueError, match="start document cannot be encoded"):
        encode("start", {"md": value})


def _array_ext(dtype, shape, raw):
    return msgpack.packb(["event", {"x": msgpack.ExtType(1, msgpack.packb([dtype, shape, raw]))}])


def _deep(levels):
    return b"\x91" * levels + b"\xc0"


HOSTILE = {
    "empty": b"",
    "noise": os.urandom(64),
    "zeros": bytes(64),
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93.",
    "trailing": encode("stop", {}) + b"\x00",
    "cut": encode("start", {"uid": "x" * 30})[:-3],
    "name no string": msgpack.packb([1, {}]),
    "doc no mapping": msgpack.packb(["start", []]),
    "one item": msgpack.packb(["start"]),
    "a mapping": msgpack.packb({"start": {}}),
    "deep": b"\x92\xa5start\x81\xa1x" + _deep(100_000),
    "deep array extension": msgpack.packb(["e", {"x": msgpack.ExtType(1, _deep(5000))}]),
    "claims 4 GiB of bytes": b"\x92\xa5start\x81\xa1x\xc6\xff\xff\xff\xff",
    "claims 4 G items": b"\x92\xa5start\x81\xa1x\xdd\xff\xff\xff\xff",
    "claims 4 G pairs": b"\x92\xa5start\xdf\xff\xff\xff\xff",
    "unhashable key": b"\x92\xa5start\x81\x90\xc0",
    "bad utf-8": b"\x92\xa2\xff\xfe\x80",
    "unknown extension": msgpack.packb(["event", {"x": msgpack.ExtType(9, b"abc")}]),
    "object dtype": _array_ext("|O", [1], bytes(8)),
    "void dtype": _array_ext("|V8", [1], bytes(8)),
    "record dtype": _array_ext("i4,i4", [1], bytes(8)),
    "subarray dtype": _array_ext("(1000000,1000000)f4", [1], bytes(8)),
    "no dtype": _array_ext(None, [1], bytes(8)),
    "zero itemsize": _array_ext("<U0", [10**9], b""),
    "float9": _array_ext("<f9", [1], bytes(9)),
    "too long for its bytes": _array_ext("<f8", [2**31, 2**31], bytes(8)),
    "too short": _array_ext("<f8", [1], bytes(16)),
    "negative": _array_ext("<f8", [-1], bytes(8)),
    "two negatives": _array_ext("<f8", [-1, -1], bytes(8)),
    "fraction": _array_ext("<f8", [1.0], bytes(8)),
    "shape no list": _array_ext("<f8", 1, bytes(8)),
    "99 dimensions": _array_ext("<f8", [1] * 99, bytes(8)),
    "text for bytes": _array_ext("|S1", [1], "a"),
    "astronomic empty": _array_ext("<f8", [0, 2**62, 2**62], b""),
    "bad timestamp": msgpack.packb(["event", {"x": msgpack.ExtType(127, b"")}])[:-2] + b"\xff\x00",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_raise_value_error_only(data):
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do
        decode(data)


def test_random_damage_never_raises_anything_else():
    rng = np.random.default_rng(1)
    good = encode("event", {"data": {"image": np.zeros((3, 3), "u2")}, "seq_num": 1, "filled": {}})
    for _ in range(3000):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 3):
            bad[place] = rng.integers(256)
        with contextlib.suppress(ValueError):
            decode(bytes(bad))


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(journal, "MAX_PAYLOAD", 1000)
    with pytest.raises(ValueError, match="limit"):
        encode("event", {"x": bytes(1001)})
    with pytest.raises(ValueError, match="limit"):
        decode(bytes(1001))


def _write(path, count):
    with Journal(path) as file:
        return [file.append("event", {"seq_num": i}) for i in range(count)]


def _numbers(path, start=0):
    return [doc["seq_num"] for _, _, doc in read(path, start)]


def test_a_journal_is_read_from_any_offset(tmp_path):
    path = tmp_path / "a.journal"
    offsets = _write(path, 5)
    assert [(after, name) for after, name, _ in read(path)] == [(after, "event") for after in offsets]
    assert _numbers(path, offsets[2]) == [3, 4]
    assert _numbers(path, offsets[-1]) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_journal_can_be_followed_while_it_grows(tmp_path):
    with Journal(tmp_path / "a") as file:
        place = 0
        for i in range(3):
            file.append("event", {"seq_num": i})
            [(place, _, doc)] = read(tmp_path / "a", place)
            assert doc["seq_num"] == i


def test_every_torn_tail_is_left_alone_and_cut_off_before_appending(tmp_path):
    path = tmp_path / "a"
    offsets = _write(path, 3)
    whole = path.read_bytes()
    for size in range(offsets[1] + 1, offsets[2]):
        path.write_bytes(whole[:size])
        assert _numbers(path) == [0, 1]
    for tail in (bytes(3), bytes(4096), b"\xff" * 100, whole[-9:-1] + b"?"):
        path.write_bytes(whole[: offsets[1]] + tail)
        assert _numbers(path) == [0, 1]
        with Journal(path) as file:
            assert file.append("event", {"seq_num": 9}) > offsets[1]
        assert _numbers(path) == [0, 1, 9]


def test_a_torn_last_payload_is_told_by_its_checksum(tmp_path):
    path = tmp_path / "a"
    _write(path, 3)
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert _numbers(path) == [0, 1]
    _write(path, 1)
    assert _numbers(path) == [0, 1, 0]


def test_damage_in_the_middle_costs_one_record(tmp_path, caplog):
    path = tmp_path / "a"
    offsets = _write(path, 3)
    damaged = bytearray(path.read_bytes())
    damaged[offsets[1] - 1] ^= 1
    path.write_bytes(damaged)
    assert _numbers(path) == [0, 2]
    assert "checksum" in caplog.text
    payload = b"\xc1 no document"
    path.write_bytes(bytes(damaged) + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    _write(path, 1)
    assert _numbers(path) == [0, 2, 0]


def test_a_full_disk_leaves_the_journal_whole(tmp_path, monkeypatch):
    path = tmp_path / "a"
    with Journal(path) as file:
        file.append("event", {"seq_num": 0})
        pwrite = os.pwrite

        def full(fd, data, place):
            if len(data) < 20:
                raise OSError(28, "No space left on device")
            return pwrite(fd, data[: len(data) // 2], place)

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            file.append("event", {"seq_num": 1, "fill": "x" * 100})
        monkeypatch.undo()
        file.append("event", {"seq_num": 2})
    assert _numbers(path) == [0, 2]


def test_one_writer_at_a_time(tmp_path):
    with Journal(tmp_path / "a"), pytest.raises(UserError, match="another process"):
        Journal(tmp_path / "a")
    Journal(tmp_path / "a").close()


def test_what_is_no_journal_is_refused_and_left_as_it_is(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("my notes")
    for attempt in (lambda: Journal(other), lambda: list(read(other))):
        with pytest.raises(UserError, match="not a redoxscope journal"):
            attempt()
    assert other.read_text() == "my notes"
    with pytest.raises(UserError, match="No such file"):
        list(read(tmp_path / "missing"))
    with pytest.raises(UserError, match="No such file"):
        Journal(tmp_path / "missing" / "a")
