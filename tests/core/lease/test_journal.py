"""Is every answered record on the disk and read again, whatever dies and whatever is full?"""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from o10.kernel.errors import Missing, TooLarge, Unavailable
from o10.lease import journal as module
from o10.lease.journal import (
    Journal,
    JournalFull,
    JournalReader,
    RecordMissing,
    Tail,
    holder_alive,
    is_held,
    process_born,
    read_at,
    scan,
)
from o10.lease.records import encode
from tests.core.kernel.test_worked_examples import rows_of
from tests.core.lease.examples import (
    ENDED,
    EVERY_RECORD,
    GIVEN_BACK,
    RECORDS,
    RESERVED,
    STARTED,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal-12.bin"


@pytest.fixture
def journal(path):
    journal = Journal.create(path)
    yield journal
    journal.close()


def write(journal, *written):
    return [(journal.append(encode(record)), record) for record in written]


def child(code, *arguments):
    """A process of its own that runs this code with `o10` and `tests` importable."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE
    )


def test_the_journal_page(path, journal):
    rows = rows_of("journal.md")
    for row, record in zip(rows, (STARTED, GIVEN_BACK, ENDED), strict=True):
        offset = journal.append(encode(record))
        assert offset == int(row[1])
        written = path.read_bytes()[offset:].hex()
        assert written == row[2] + row[3] + row[4], row[0]


def test_it_is_only_for_its_owner_and_never_opened_twice(path, journal):
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Journal.create(path)


@given(written=st.lists(RECORDS, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_with_its_offsets(tmp_path, written):
    path = tmp_path / os.urandom(8).hex()
    journal = Journal.create(path)
    told = write(journal, *written)
    assert list(scan(path)) == told
    for number, (offset, record) in enumerate(told):
        assert read_at(path, offset) == record
        assert list(scan(path, start=offset)) == told[number:]
    assert journal.position == path.stat().st_size
    journal.close()


def test_who_holds_the_lock_knows_where_its_record_will_start(journal):
    write(journal, STARTED)
    with journal.lock:
        position = journal.position
        assert journal.append(encode(RESERVED)) == position


def test_a_payload_without_bytes_or_beyond_the_limit_is_refused(path, journal):
    for payload in (b"", bytes(module.MAX_PAYLOAD_BYTES + 1)):
        with pytest.raises(TooLarge):
            journal.append(payload)
    assert path.stat().st_size == journal.position == 0


def test_a_torn_tail_is_dropped_wherever_it_was_torn(path, journal):
    told = write(journal, STARTED, RESERVED, GIVEN_BACK)
    whole = path.read_bytes()
    last = told[-1][0]
    torn = path.with_name("torn.bin")
    for size in range(last, len(whole)):
        torn.write_bytes(whole[:size])
        reader = JournalReader(torn)
        assert reader.read() == told[:-1]
        assert reader.read() == []
        assert (reader.position, reader.tail) == (
            last,
            Tail.TORN if size > last else Tail.CLEAN,
        )
        reader.close()
        with pytest.raises(RecordMissing):
            read_at(torn, last)


def test_a_single_changed_byte_is_never_read_as_a_record(path, journal):
    told = write(journal, STARTED, GIVEN_BACK, ENDED)
    whole = path.read_bytes()
    bad = path.with_name("bad.bin")
    start, end = told[1][0], told[2][0]
    for at in range(start, end):
        for bit in (0x01, 0x80):
            changed = bytearray(whole)
            changed[at] ^= bit
            bad.write_bytes(changed)
            reader = JournalReader(bad)
            assert reader.read() == told[:1]
            assert reader.read() == []
            assert reader.position == start
            # A greater length may look like a record that is still being written.
            assert reader.tail is Tail.DAMAGED or at < start + 4
            reader.close()
            with pytest.raises(RecordMissing):
                read_at(bad, start)


def test_zeros_of_a_power_cut_are_damage_and_no_records(path, journal):
    told = write(journal, STARTED)
    with path.open("ab") as file:
        file.write(bytes(4_096))
    reader = JournalReader(path)
    assert reader.read() == told
    assert reader.read() == []
    assert reader.tail is Tail.DAMAGED
    reader.close()


def test_a_whole_record_of_an_unknown_kind_is_not_skipped(path, journal):
    told = write(journal, STARTED)
    journal.append(b"\x92\x63\x01")
    write(journal, ENDED)
    assert list(scan(path)) == told
    with pytest.raises(RecordMissing):
        read_at(path, told[0][0] + 1)


@pytest.mark.parametrize("offset", [-1, 3, 10**9])
def test_no_record_starts_anywhere_else(path, journal, offset):
    write(journal, STARTED, RESERVED)
    with pytest.raises(RecordMissing) as raised:
        read_at(path, offset)
    assert isinstance(raised.value, Missing)


def test_a_journal_that_is_gone_has_no_records(tmp_path):
    with pytest.raises(RecordMissing):
        read_at(tmp_path / "journal-13.bin", 0)


def test_a_tailer_gets_each_record_once_while_the_journal_grows(path, journal):
    reader = JournalReader(path)
    assert reader.read() == []
    seen = []
    for turn in range(5):
        told = write(journal, *EVERY_RECORD[: turn + 2])
        assert reader.read() == told
        assert reader.read() == []
        assert reader.tail is Tail.CLEAN
        assert reader.position == journal.position
        seen += told
    again = JournalReader(path, start=seen[3][0])
    assert again.read() == seen[3:]
    again.close()
    reader.close()


@pytest.mark.parametrize("chunk", [1 << 20, 100])
def test_a_tailer_takes_no_more_than_it_asked_for(path, journal, monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk)
    told = write(journal, *EVERY_RECORD)
    reader = JournalReader(path)
    assert reader.read(most=4) == told[:4]
    assert reader.read(most=4) == told[4:8]
    assert reader.read(most=4) == told[8:]
    reader.close()


def test_records_greater_than_a_chunk_are_read(path, journal, monkeypatch):
    told = write(journal, *EVERY_RECORD, RESERVED, ENDED)
    for size in (8, 9, 64, 100):
        monkeypatch.setattr(module, "CHUNK_BYTES", size)
        monkeypatch.setattr(module, "_FIRST_READ", size)
        assert list(scan(path)) == told
        assert [read_at(path, offset) for offset, _ in told] == [row for _, row in told]


def test_a_look_without_news_reads_no_bytes(path, journal, monkeypatch):
    write(journal, *EVERY_RECORD)
    reader = JournalReader(path)
    reader.read()
    looks = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: looks.append(real(*a)) or looks[-1])
    assert reader.read() == []
    assert looks == [b""]
    reader.close()


def test_a_reader_that_saw_a_half_record_being_replaced_looks_again(path, journal, monkeypatch):
    told = write(journal, STARTED, GIVEN_BACK)
    real, spoilt = os.pread, []

    def once_wrong(fd, size, offset):
        chunk = bytearray(real(fd, size, offset))
        if chunk and not spoilt:
            chunk[-1] ^= 1
            spoilt.append(1)
        return bytes(chunk)

    monkeypatch.setattr(os, "pread", once_wrong)
    reader = JournalReader(path, start=told[1][0])
    assert reader.read() == told[1:]
    reader.close()


def test_threads_that_append_together_mix_nothing(path, journal):
    start, told = Barrier(4), [[], [], [], []]

    def life(mine):
        start.wait()
        for record in EVERY_RECORD * 40:
            mine += write(journal, record)

    threads = [Thread(target=life, args=(mine,)) for mine in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(scan(path)) == sorted(
        (row for mine in told for row in mine), key=lambda r: r[0]
    )


WRITER = """
import sys
from pathlib import Path
from o10.lease.journal import Journal
from o10.lease.records import encode
from tests.core.lease.examples import EVERY_RECORD
journal = Journal.create(Path(sys.argv[1]))
while True:
    for record in EVERY_RECORD:
        print(journal.append(encode(record)), flush=True)
"""


@pytest.mark.parametrize("after_lines", [1, 40, 700])
def test_a_killed_writer_leaves_every_answered_record(path, after_lines):
    writer = child(WRITER, path)
    answered = [int(writer.stdout.readline()) for _ in range(after_lines)]
    writer.send_signal(signal.SIGKILL)
    # What it told until it died; the last line may have been cut.
    rest = writer.stdout.read().decode()
    writer.wait()
    writer.stdout.close()
    answered += [int(line) for line in rest[: rest.rfind("\n") + 1].split()]
    found = list(scan(path))
    offsets = [offset for offset, _ in found]
    assert answered == offsets[: len(answered)]
    assert len(offsets) <= len(answered) + 1
    for number, (_, record) in enumerate(found):
        assert record == EVERY_RECORD[number % len(EVERY_RECORD)]


FULL = """
import resource, sys
from pathlib import Path
from o10.lease.journal import Journal, JournalFull
from o10.lease.records import encode
from tests.core.lease.examples import RESERVED, ENDED
journal = Journal.create(Path(sys.argv[1]))
limit = int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
fitted = 0
while True:
    try:
        journal.append(encode(RESERVED))
    except JournalFull as error:
        break
    fitted += 1
assert Path(sys.argv[1]).stat().st_size == journal.position <= limit
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.append(encode(ENDED))
print(fitted)
"""


@pytest.mark.parametrize("limit", [2_000, 2_001, 2_002, 2_050])
def test_a_file_that_may_not_grow_stays_readable_and_goes_on_later(path, limit):
    writer = child(FULL, path, limit)
    fitted = int(writer.communicate()[0])
    assert writer.returncode == 0
    size = len(encode(RESERVED)) + 8
    assert fitted == limit // size
    assert [record for _, record in scan(path)] == [RESERVED] * fitted + [ENDED]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_full_disk_is_unavailable_and_nothing_is_written(path, journal, monkeypatch, number):
    told = write(journal, STARTED)

    def full(fd, payload):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalFull) as raised:
            journal.append(encode(ENDED))
    assert isinstance(raised.value, Unavailable)
    assert raised.value.code == "unavailable"
    assert raised.value.fields["errno"] == number
    assert list(scan(path)) == told
    assert list(scan(path)) + write(journal, RESERVED) == list(scan(path))


def test_another_error_of_the_system_is_not_called_a_full_disk(journal, monkeypatch):
    def broken(fd, payload):
        raise OSError(errno.EBADF, "not open")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", broken)
        with pytest.raises(OSError, match="not open"):
            journal.append(encode(ENDED))


def test_nothing_is_appended_behind_a_half_record_that_could_not_be_cut_off(
    path, journal, monkeypatch
):
    told = write(journal, STARTED)
    real = os.write

    def stuck(fd, size):
        raise OSError(errno.EIO, "stuck")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, payload: real(fd, payload[:11]))
        patch.setattr(os, "ftruncate", stuck)
        for _ in range(2):
            with pytest.raises(JournalFull):
                journal.append(encode(RESERVED))
    assert path.stat().st_size == journal.position + 11
    assert list(scan(path)) == told
    assert list(scan(path)) + write(journal, ENDED) == list(scan(path))


def test_one_sync_serves_all_that_wait(path, journal, monkeypatch):
    calls, start = [], Barrier(16)
    safe = []

    def slow(fd):
        reached = journal.position
        calls.append(reached)
        time.sleep(0.02)
        safe.append(reached)

    monkeypatch.setattr(os, "fdatasync", slow)
    unsafe = []

    def life():
        start.wait()
        for _ in range(3):
            offset = journal.append(encode(GIVEN_BACK))
            journal.sync(offset)
            if not any(reached > offset for reached in safe):
                unsafe.append(offset)

    threads = [Thread(target=life) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unsafe == []
    assert len(list(scan(path))) == 48
    assert len(calls) <= 24


def test_what_is_safe_already_is_not_synced_again(journal, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    offset = journal.append(encode(STARTED))
    journal.sync(offset)
    journal.sync(offset)
    journal.sync(journal.position)
    assert len(calls) == 1
    journal.sync(journal.append(encode(ENDED)))
    assert len(calls) == 2


def test_appending_goes_on_while_a_sync_is_under_way(journal, monkeypatch):
    begun, go = Event(), Event()

    def slow(fd):
        begun.set()
        assert go.wait(10)

    monkeypatch.setattr(os, "fdatasync", slow)
    offset = journal.append(encode(STARTED))
    syncing = Thread(target=journal.sync, args=(offset,))
    syncing.start()
    assert begun.wait(10)
    appended = []
    appending = Thread(target=lambda: appended.append(journal.append(encode(ENDED))))
    appending.start()
    appending.join(10)
    assert appended == [offset + len(encode(STARTED)) + 8]
    go.set()
    syncing.join(10)


def test_after_a_failed_sync_no_later_one_is_believed(path, monkeypatch):
    journal = Journal.create(path)
    begun, go = Event(), Event()

    def failing(fd):
        begun.set()
        assert go.wait(10)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "fdatasync", failing)
    failures = []

    def life(offset):
        try:
            journal.sync(offset)
        except JournalFull:
            failures.append(offset)

    leader = Thread(target=life, args=(journal.append(encode(STARTED)),))
    leader.start()
    assert begun.wait(10)
    follower = Thread(target=life, args=(journal.append(encode(ENDED)),))
    follower.start()
    go.set()
    leader.join(10)
    follower.join(10)
    assert len(failures) == 2
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)
    with pytest.raises(JournalFull):
        journal.sync(0)
    with pytest.raises(JournalFull):
        journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(encode(ENDED))


def test_a_closed_journal_is_synced_and_takes_nothing(path, monkeypatch):
    journal = Journal.create(path)
    calls = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    journal.append(encode(STARTED))
    journal.close()
    journal.close()
    assert len(calls) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(encode(ENDED))


def test_a_journal_is_held_exactly_while_its_writer_lives(path):
    writer = child(WRITER, path)
    writer.stdout.readline()
    assert is_held(path)
    writer.send_signal(signal.SIGKILL)
    writer.stdout.read()
    writer.stdout.close()
    writer.wait()
    assert not is_held(path)


def test_a_holder_is_alive_until_it_dies_and_its_number_is_not_enough():
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = process_born(sleeper.pid)
    assert holder_alive(pid=sleeper.pid, born=born)
    assert not holder_alive(pid=sleeper.pid, born=born + 1)
    assert not holder_alive(pid=sleeper.pid, born=born ^ 1 << 41)
    assert 0 < born < 2**63
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    assert born >> 40 == int(boot[:8], 16) // 512
    assert process_born(os.getpid()) != born
    sleeper.send_signal(signal.SIGKILL)
    # Not waited for: what is left of it is a zombie, which is as dead as none.
    deadline = time.monotonic() + 10
    while holder_alive(pid=sleeper.pid, born=born):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert Path(f"/proc/{sleeper.pid}").exists()
    sleeper.communicate()
    assert not holder_alive(pid=sleeper.pid, born=born)


def test_a_name_with_brackets_and_blanks_hides_no_birth(tmp_path):
    code = (
        "import ctypes; ctypes.CDLL(None).prctl(15, b'a) R (b 1 2', 0, 0, 0); "
        "print('named', flush=True); input()"
    )
    named = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    before = process_born(named.pid)
    assert named.stdout.readline() == b"named\n"
    assert process_born(named.pid) == before
    named.communicate(b"\n")
