import logging
import os
import signal
import socket as sockets
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from redoxscope.live.errors import UserError
from redoxscope.live.journal import encode, read
from redoxscope.live.transport import Publisher, Receiver, make_key, spool

HOST = "tcp://127.0.0.1"


@pytest.fixture
def address():
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"{HOST}:{probe.getsockname()[1]}"


def take(receiver, count, timeout=20.0):
    """Receive and acknowledge `count` documents; return their numbers."""
    numbers, deadline = [], time.monotonic() + timeout
    while len(numbers) < count and time.monotonic() < deadline:
        for _, doc, acknowledge in receiver.poll(0.2):
            numbers.append(doc["seq_num"])
            acknowledge()
    return numbers


def serve(receiver, publisher, timeout=10.0):
    """Close the publisher while the receiver goes on answering."""
    done = threading.Event()
    thread = threading.Thread(target=receiver.receive, args=(lambda *_: None,), kwargs={"stop": done})
    thread.start()
    try:
        return publisher.close(timeout)
    finally:
        done.set()
        thread.join()


def test_a_burst_sent_before_the_monitor_starts_arrives_whole_and_in_order(address, tmp_path):
    with Publisher(address, spool=tmp_path) as publisher:
        for number in range(3000):
            publisher("event", {"seq_num": number})
        time.sleep(0.3)
        with Receiver(address) as receiver:
            assert take(receiver, 3000) == list(range(3000))
            assert serve(receiver, publisher)
    assert publisher.failures == 0
    assert list(tmp_path.iterdir()) == []


def test_calling_costs_little_while_nobody_listens(address, tmp_path, caplog):
    publisher = Publisher(address, spool=tmp_path / "new" / "folder")
    doc = {"seq_num": 1, "data": {"XEng": 8.34}, "timestamps": {"XEng": 1.0}, "uid": "x" * 36}
    times = []
    for _ in range(2000):
        begin = time.perf_counter()
        publisher("event", doc)
        times.append(time.perf_counter() - begin)
    assert np.median(times) < 1e-3
    begin = time.perf_counter()
    assert publisher.close(0.1) is False
    assert time.perf_counter() - begin < 3
    [kept] = (tmp_path / "new" / "folder").iterdir()
    assert len(list(read(kept))) == 2000
    assert f"redoxscope replay {kept}" in caplog.text
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


MONITOR = """
import sys, time
from redoxscope.live.journal import Journal
from redoxscope.live.transport import Receiver
with Receiver(sys.argv[1]) as receiver, Journal(sys.argv[2]) as journal:
    def keep(name, doc):
        journal.append(name, doc)
        time.sleep(0.001)
    receiver.receive(keep)
"""


def _monitor(address, journal):
    return subprocess.Popen([sys.executable, "-c", MONITOR, address, str(journal)])


def _recorded(path):
    return [doc["seq_num"] for _, _, doc in read(path)] if path.exists() and path.stat().st_size >= 8 else []


def test_a_monitor_killed_twice_loses_nothing(address, tmp_path):
    journal = tmp_path / "monitor.journal"
    publisher = Publisher(address, spool=tmp_path / "spool")
    total, sent = 1500, 0
    monitor = _monitor(address, journal)
    try:
        for kill_at in (300, 800):
            while len(_recorded(journal)) < kill_at:
                if sent < min(total, kill_at + 200):
                    publisher("event", {"seq_num": sent})
                    sent += 1
                else:
                    time.sleep(0.02)
            monitor.send_signal(signal.SIGKILL)
            monitor.wait()
            monitor = _monitor(address, journal)
        for number in range(sent, total):
            publisher("event", {"seq_num": number})
        assert publisher.close(30)
    finally:
        monitor.kill()
        monitor.wait()
        publisher.close(0)
    numbers = _recorded(journal)
    assert list(dict.fromkeys(numbers)) == list(range(total))  # in order once repetitions are left out
    assert len(numbers) < total + 2 * 600


def test_what_is_not_acknowledged_comes_again_to_the_next_receiver(address, tmp_path):
    with Publisher(address, spool=tmp_path) as publisher:
        for number in range(10):
            publisher("event", {"seq_num": number})
        with Receiver(address) as first:
            seen = []
            while len(seen) < 10:
                for _, doc, acknowledge in first.poll(1):
                    seen.append(doc["seq_num"])
                    if doc["seq_num"] not in (3, 4):  # these two are never written down
                        acknowledge()
            # What is on the way when a connection ends may be lost, and then everything comes again.
            deadline = time.monotonic() + 20
            while publisher.waiting > 7 and time.monotonic() < deadline:
                first.poll(0.05)
        assert seen == list(range(10))
        with Receiver(address) as second:
            assert take(second, 7) == [3, 4, 5, 6, 7, 8, 9]
            assert serve(second, publisher)


def test_a_slow_handler_gets_each_document_once(address, tmp_path):
    with Publisher(address, spool=tmp_path) as publisher, Receiver(address) as receiver:
        seen, done = [], threading.Event()

        def handle(_, doc):
            seen.append(doc["seq_num"])
            if doc["seq_num"] == 5:
                time.sleep(1.6)  # longer than the publisher's patience

        thread = threading.Thread(target=receiver.receive, args=(handle,), kwargs={"stop": done})
        thread.start()
        for number in range(600):
            publisher("event", {"seq_num": number})
        assert publisher.close(10)
        done.set()
        thread.join()
        assert seen == list(range(600))
        assert receiver.duplicates == 0


def test_a_failing_handler_leaves_its_document_with_the_publisher(address, tmp_path):
    with Publisher(address, spool=tmp_path) as publisher:
        publisher("event", {"seq_num": 0})

        def fail(*_):
            raise RuntimeError("disk full")

        with Receiver(address) as receiver, pytest.raises(RuntimeError):
            receiver.receive(fail)
        assert publisher.waiting == 1
        with Receiver(address) as receiver:
            assert take(receiver, 1) == [0]


def test_several_publishers_and_large_frames(address, tmp_path):
    frame = np.arange(512 * 512, dtype="u2").reshape(512, 512)
    publishers = [Publisher(address, spool=tmp_path) for _ in range(3)]
    for number in range(40):
        for index, publisher in enumerate(publishers):
            publisher("event", {"seq_num": number, "who": index, "data": {"image": frame + number}})
    seen = {0: [], 1: [], 2: []}
    with Receiver(address) as receiver:
        while sum(map(len, seen.values())) < 120:
            for _, doc, acknowledge in receiver.poll(5):
                np.testing.assert_array_equal(doc["data"]["image"], frame + doc["seq_num"])
                seen[doc["who"]].append(doc["seq_num"])
                acknowledge()
        assert all(serve(receiver, publisher) for publisher in publishers)
    assert seen == {index: list(range(40)) for index in range(3)}


def test_acknowledging_from_another_thread(address, tmp_path):
    with Publisher(address, spool=tmp_path) as publisher, Receiver(address) as receiver:
        publisher("event", {"seq_num": 0})
        [(_, _, acknowledge)] = receiver.poll(5)
        threading.Timer(0.1, acknowledge).start()
        deadline = time.monotonic() + 5
        while publisher.waiting and time.monotonic() < deadline:
            assert receiver.poll(0.2) == []
        assert publisher.waiting == 0


def _u64(number):
    return struct.pack(">Q", number)


TOKEN = b"t" * 16


def test_hostile_messages_are_counted_and_dropped(address, tmp_path, caplog):
    good = encode("event", {"seq_num": 99})
    messages = [
        [b""],
        [b"x"] * 500,
        [os.urandom(100)],
        [b"rs1", b"D", TOKEN, b"1", good],
        [b"rs1", b"D", b"short", _u64(1), good],
        [b"rs1", b"P", TOKEN, _u64(1)],
        [b"rs2", b"D", TOKEN, _u64(1), good],
        [b"rs1", b"A", TOKEN, _u64(1), _u64(1), _u64(1)],
    ]
    unanswered = [[b"rs1", b"D", TOKEN, _u64(1), good]]  # a stranger who has not introduced himself
    introduced = [
        [b"rs1", b"P", TOKEN, _u64(1), _u64(1)],
        [b"rs1", b"D", TOKEN, _u64(1), b"\xff garbage"],
        [b"rs1", b"D", TOKEN, _u64(9), good],  # ahead of what is expected
        [b"rs1", b"D", TOKEN, _u64(2), encode("event", {"seq_num": 5})],
        [b"rs1", b"P", TOKEN, _u64(2**64 - 1), _u64(2**64 - 1)],
        [b"rs1", b"D", TOKEN, _u64(2**64 - 1), encode("event", {"seq_num": 6})],
        [b"rs1", b"P", TOKEN, _u64(1), _u64(2)],
    ]
    with Receiver(address) as receiver, zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger = 0
        stranger.connect(address)
        with sockets.create_connection(("127.0.0.1", int(address.rsplit(":")[-1]))) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(1000))
            for message in messages + unanswered + introduced:
                stranger.send_multipart(message)
            with Publisher(address, spool=tmp_path) as publisher:
                publisher("event", {"seq_num": 0})
                assert sorted(take(receiver, 3)) == [0, 5, 6]
                assert serve(receiver, publisher)
        assert receiver.malformed >= len(messages) + 1  # 0MQ may find messages even in the noise
    assert "message dropped" in caplog.text


def test_a_hostile_monitor_is_ignored(address, tmp_path):
    with zmq.Context() as context, context.socket(zmq.ROUTER) as fake:
        fake.linger = 0
        fake.bind(address)
        publisher = Publisher(address, spool=tmp_path)
        publisher("event", {"seq_num": 0})
        route, *_, token, _, _ = fake.recv_multipart()
        for answer in ([b""], [b"rs1", b"A", token, b"", b"", b""], [b"rs1", b"A", token] + [_u64(2**64 - 1)] * 3):
            fake.send_multipart([route, *answer])
        time.sleep(0.2)
        assert publisher.waiting == 1
    with Receiver(address) as receiver:
        assert take(receiver, 1) == [0]
        assert serve(receiver, publisher)


def test_what_cannot_be_encoded_is_counted_and_never_raised(address, tmp_path, caplog):
    publisher = Publisher(address, spool=tmp_path)
    publisher("start", {"md": np.array([object()])})
    publisher("event", None)
    assert publisher.failures == 2
    assert "start document not published" in caplog.text
    assert publisher.close(1)
    publisher("event", {})
    assert publisher.failures == 3


def test_a_full_disk_falls_back_on_memory(address, tmp_path, monkeypatch, caplog):
    with Publisher(address, spool=tmp_path) as publisher:
        publisher("event", {"seq_num": 0})
        monkeypatch.setattr(spool, "DISK_RESERVE", 1 << 62)
        publisher("event", {"seq_num": 1})
        monkeypatch.undo()
        publisher("event", {"seq_num": 2})
        assert "the disk is full" in caplog.text
        with Receiver(address) as receiver:
            assert take(receiver, 3) == [0, 1, 2]
            assert serve(receiver, publisher)


def test_without_a_spool_folder_memory_serves_up_to_its_limit(address, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(spool, "MEMORY_LIMIT", 1000)
    publisher = Publisher(address, spool=tmp_path / "file")
    for number in range(3):
        publisher("event", {"seq_num": number, "fill": "x" * 400})
    assert publisher.failures == 1
    with Receiver(address) as receiver:
        assert take(receiver, 2) == [0, 1]
        assert serve(receiver, publisher)


def test_a_large_spool_is_emptied_between_runs(address, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "TIDY_SIZE", 1000)
    with Publisher(address, spool=tmp_path) as publisher, Receiver(address) as receiver:
        [path] = tmp_path.iterdir()
        for name, size in (("event", 5000), ("stop", 8)):
            publisher(name, {"seq_num": 0, "fill": bytes(5000)})
            take(receiver, 1)
            deadline = time.monotonic() + 5
            while publisher.waiting and time.monotonic() < deadline:
                receiver.poll(0.1)
            assert (path.stat().st_size > 1000) == (size > 1000)
        publisher("event", {"seq_num": 7})
        assert take(receiver, 1) == [7]
        assert serve(receiver, publisher)


def test_the_default_spool_is_private_and_orphans_are_reported(address, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code = f"""
import os
from redoxscope.live.transport import Publisher
Publisher({address!r})("start", {{"uid": "lost"}})
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    folder = tmp_path / "redoxscope" / "spool"
    [orphan] = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    publisher = Publisher(address)
    assert f"redoxscope replay {orphan}" in caplog.text
    publisher.close(0)
    assert [doc["uid"] for _, _, doc in read(orphan)] == ["lost"]


def test_leaving_python_sends_what_is_left(address, tmp_path):
    code = f"""
from pathlib import Path
from redoxscope.live.transport import Publisher
publisher = Publisher({address!r}, spool=Path({str(tmp_path)!r}))
for number in range(50):
    publisher("event", {{"seq_num": number}})
"""
    with Receiver(address) as receiver:
        process = subprocess.Popen([sys.executable, "-c", code])
        assert take(receiver, 50) == list(range(50))
        receiver.poll(0.5)
        assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_leaves_the_publisher_alone(address, tmp_path):
    with Publisher(address, spool=tmp_path) as publisher, Receiver(address) as receiver:
        child = os.fork()
        if child == 0:
            publisher("event", {"seq_num": 666})
            publisher.close()
            os._exit(publisher.failures)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        publisher("event", {"seq_num": 0})
        assert take(receiver, 1) == [0]
        assert receiver.poll(0.2) == []
        assert serve(receiver, publisher)


def test_ipc(tmp_path):
    address = f"ipc://{tmp_path}/monitor"
    with Receiver(address) as receiver, Publisher(address, spool=tmp_path / "spool") as publisher:
        assert Path(tmp_path, "monitor").stat().st_mode & 0o777 == 0o600
        publisher("event", {"seq_num": 0})
        assert take(receiver, 1) == [0]
        with pytest.raises(UserError, match="in use"):
            Receiver(address)
        publisher("event", {"seq_num": 1})
        assert take(receiver, 1) == [1]
        assert serve(receiver, publisher)


def test_encrypted_round_trip(tmp_path):
    public = make_key(tmp_path / "monitor.key")
    assert (tmp_path / "monitor.key").stat().st_mode & 0o777 == 0o600
    assert public not in (tmp_path / "monitor.key").name
    with Receiver("tcp://*:0", key=tmp_path / "monitor.key") as receiver:
        address = f"{HOST}:{receiver.address.rsplit(':')[-1]}"
        for key in (public, tmp_path / "monitor.key.pub"):
            with Publisher(address, spool=tmp_path / "spool", key=key) as publisher:
                publisher("event", {"seq_num": 4})
                assert take(receiver, 1) == [4]
                assert serve(receiver, publisher)
        make_key(tmp_path / "other.key")
        for wrong in (None, tmp_path / "other.key.pub"):
            with Publisher(address, spool=tmp_path / "spool", key=wrong) as publisher:
                publisher("event", {"seq_num": 5})
                assert receiver.poll(0.7) == []
                assert publisher.close(0) is False


@pytest.mark.parametrize(
    "address", ["", "5578", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://127.0.0.1:1", "tcp://a b:1", "ipc://"]
)
@pytest.mark.parametrize("side", [Publisher, Receiver])
def test_malformed_addresses(side, address):
    with pytest.raises(UserError, match="is not an address; write tcp://HOST:PORT"):
        side(address)


@pytest.mark.parametrize("address", ["tcp://*:5578", "tcp://0.0.0.0:5578", "tcp://[::]:5578", "tcp://eth0:5578"])
def test_listening_to_other_machines_needs_a_key(address):
    with pytest.raises(UserError, match="needs a key; start the monitor with --key") as caught:
        Receiver(address)
    assert "\n" not in str(caught.value)


def test_sending_to_another_machine_needs_a_key(tmp_path):
    with pytest.raises(UserError, match="needs a key"):
        Publisher("tcp://beamline.example.org:5578", spool=tmp_path)
    with pytest.raises(UserError, match="is not an address"):
        Publisher("tcp://*:5578", key="x" * 40)


def test_address_in_use_or_not_ours(address, tmp_path):
    make_key(tmp_path / "k")
    with Receiver(address), pytest.raises(UserError, match="in use; stop the other"):
        Receiver(address)
    with pytest.raises(UserError, match="no such interface"):
        Receiver("tcp://192.0.2.1:5578", key=tmp_path / "k")
    with pytest.raises(UserError, match="ipc:///nowhere"):
        Receiver("ipc:///nowhere/at/all")


def test_key_files_are_checked(tmp_path):
    key = tmp_path / "k"
    make_key(key)
    with pytest.raises(UserError, match="exists already"):
        make_key(key)
    key.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        Receiver("tcp://*:0", key=key)
    with pytest.raises(UserError, match="no secret key"):
        Receiver("tcp://*:0", key=tmp_path / "k.pub")
    with pytest.raises(UserError, match="cannot be read as a key"):
        Publisher("tcp://far:1", key=tmp_path / "missing")
    (tmp_path / "noise").write_bytes(os.urandom(200))
    with pytest.raises(UserError, match="key"):
        Publisher("tcp://far:1", key=tmp_path / "noise")


def test_run_engine(address, tmp_path, caplog):
    from bluesky import RunEngine
    from bluesky.plans import count
    from ophyd.sim import det

    caplog.set_level(logging.WARNING)
    run_engine = RunEngine({})
    with Receiver(address) as receiver, Publisher(address, spool=tmp_path) as publisher:
        run_engine.subscribe(publisher)
        run_engine(count([det], 3))
        names = []
        while "stop" not in names:
            for name, _, acknowledge in receiver.poll(5):
                names.append(name)
                acknowledge()
        assert names == ["start", "descriptor", "event", "event", "event", "stop"]
        assert serve(receiver, publisher)
