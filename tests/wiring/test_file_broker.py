"""Does a job that waits in a file appear whole, however many write and read at once?"""

import contextlib
import threading
import time
from queue import Empty

import pytest
from kombu import Connection
from kombu.transport import filesystem

from o10.celery import app
from o10.file_broker import Transport

LONG = "x" * 200_000
MESSAGES = 60


def connection(folder, transport):
    return Connection(
        "filesystem://localhost//",
        transport=transport,
        transport_options={
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(folder),
        },
    )


def test_the_worker_uses_it():
    assert app.connection().transport_cls == "o10.file_broker:Transport"
    assert isinstance(app.connection().transport, Transport)


def _slowly(monkeypatch):
    """Between the opening of a file and its content lies an eye's blink."""
    real = filesystem.lock

    def late(file, flags):
        time.sleep(0.002)
        real(file, flags)

    monkeypatch.setattr(filesystem, "lock", late)


def _read_while_written(folder, transport):
    with connection(folder, transport) as writer, connection(folder, transport) as reader:
        inn, out = writer.channel(), reader.channel()
        sent = threading.Thread(
            target=lambda: [inn._put("jobs", {"n": n, "t": LONG}) for n in range(MESSAGES)]
        )
        sent.start()
        found, ended = [], False
        while not ended:
            # Asked before the look: what is written by then is seen by it.
            ended = not sent.is_alive()
            with contextlib.suppress(Empty):
                while True:
                    found.append(out._get("jobs")["n"])
        sent.join()
        return found


def test_no_reader_sees_half_a_message(tmp_path, monkeypatch):
    _slowly(monkeypatch)
    assert sorted(_read_while_written(tmp_path, Transport)) == list(range(MESSAGES))


def test_the_transport_below_shows_halves(tmp_path, monkeypatch):
    """Why this one is needed; when it passes no more, kombu writes in one step itself."""
    _slowly(monkeypatch)
    with pytest.raises(ValueError, match="Expecting value"):
        _read_while_written(tmp_path, filesystem.Transport)


def test_a_table_of_queues_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    _slowly(monkeypatch)
    names = [f"q{number}" for number in range(8)]

    def bind(name):
        with connection(tmp_path, Transport) as one:
            channel = one.channel()
            channel._queue_bind("jobs", name, "", name)
            channel.get_table("jobs")

    failed = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    threads = [threading.Thread(target=bind, args=(name,)) for name in names]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    with connection(tmp_path, Transport) as one:
        assert sorted(each.queue for each in one.channel().get_table("jobs")) == names
    assert list(tmp_path.glob(".*.part")) == []
