"""Does exactly one process of a host answer a key, whoever races and whoever dies?"""

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from o10.kernel.errors import Unavailable
from o10.lease import claims as module
from o10.lease.claims import KEPT_S, SLOTS, Claimed, Claims, Found

ROOT = Path(__file__).resolve().parents[3]
NOW = 50_000


def key_of(name):
    return hashlib.blake2b(str(name).encode(), digest_size=16).digest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "claims"


@pytest.fixture
def opened(path):
    """Opens the same file as often as wanted, each time as a process of its own would."""
    made = []

    def another(slots=2_000):
        made.append(Claims.open(path, slots=slots))
        return made[-1]

    yield another
    for claims in made:
        claims.close()


def test_the_first_claims_and_the_second_finds_first_pending_then_answered(opened):
    first, second = opened(), opened()
    assert first.claim(key_of(1), fence=1, at_s=NOW) is Claimed.OURS
    found = second.claim(key_of(1), fence=2, at_s=NOW)
    assert found == Found(fence=1, offset=0)
    assert found.is_pending
    assert first.publish(key_of(1), fence=1, offset=310)
    found = second.claim(key_of(1), fence=2, at_s=NOW)
    assert found == Found(fence=1, offset=310)
    assert not found.is_pending
    assert first.claim(key_of(1), fence=1, at_s=NOW) == found


def test_an_answer_at_once_is_published_with_its_claim(opened):
    first, second = opened(), opened()
    told = first.claim(key_of(1), fence=1, at_s=NOW, answer=lambda: 310)
    assert told is Claimed.ANSWERED
    again = second.claim(key_of(1), fence=2, at_s=NOW, answer=lambda: pytest.fail("twice"))
    assert again == Found(1, 310)


def test_without_an_answer_at_once_the_key_is_ours_to_answer(opened):
    claims = opened()
    assert claims.claim(key_of(1), fence=1, at_s=NOW, answer=lambda: 0) is Claimed.OURS
    assert claims.publish(key_of(1), fence=1, offset=310)
    assert claims.claim(key_of(1), fence=2, at_s=NOW) == Found(1, 310)


def test_an_answer_at_once_that_fails_leaves_the_key_to_anybody(opened):
    claims = opened()

    def fails():
        raise Unavailable

    with pytest.raises(Unavailable):
        claims.claim(key_of(1), fence=1, at_s=NOW, answer=fails)
    assert claims.claim(key_of(1), fence=2, at_s=NOW) is Claimed.OURS


def test_an_abandoned_key_is_anybodys_again(opened):
    first, second = opened(), opened()
    first.claim(key_of(1), fence=1, at_s=NOW)
    assert first.abandon(key_of(1), fence=1)
    assert second.claim(key_of(1), fence=2, at_s=NOW) is Claimed.OURS
    assert not first.abandon(key_of(1), fence=1)
    assert not first.publish(key_of(1), fence=1, offset=310)
    assert first.claim(key_of(1), fence=1, at_s=NOW) == Found(2, 0)


def test_an_answered_key_cannot_be_abandoned_or_answered_again(opened):
    claims = opened()
    claims.claim(key_of(1), fence=1, at_s=NOW)
    claims.publish(key_of(1), fence=1, offset=310)
    assert not claims.abandon(key_of(1), fence=1)
    assert not claims.publish(key_of(1), fence=1, offset=999)
    assert claims.claim(key_of(1), fence=2, at_s=NOW) == Found(1, 310)


def test_a_key_is_kept_600_seconds_of_the_clock_that_is_passed(opened):
    claims = opened()
    claims.claim(key_of(1), fence=1, at_s=NOW)
    claims.publish(key_of(1), fence=1, offset=310)
    assert claims.claim(key_of(1), fence=2, at_s=NOW + KEPT_S - 1) == Found(1, 310)
    assert claims.claim(key_of(1), fence=2, at_s=NOW + KEPT_S) is Claimed.OURS
    assert claims.claim(key_of(1), fence=1, at_s=NOW + KEPT_S) == Found(2, 0)


def test_a_claimer_that_slept_too_long_changes_nobody_elses_slot(opened):
    first, second = opened(), opened()
    first.claim(key_of(1), fence=1, at_s=NOW)
    assert second.claim(key_of(1), fence=2, at_s=NOW + KEPT_S) is Claimed.OURS
    assert not first.publish(key_of(1), fence=1, offset=310)
    assert not first.abandon(key_of(1), fence=1)
    assert first.claim(key_of(1), fence=1, at_s=NOW + KEPT_S) == Found(2, 0)


def test_a_full_page_says_so_and_forgets_nothing(opened):
    claims = opened(slots=SLOTS)
    for name in range(SLOTS):
        assert claims.claim(key_of(name), fence=1, at_s=NOW + name) is Claimed.OURS
    assert claims.claim(key_of("more"), fence=1, at_s=NOW + SLOTS) is Claimed.FULL
    for name in range(SLOTS):
        assert claims.claim(key_of(name), fence=2, at_s=NOW + SLOTS) == Found(1, 0)
    assert claims.claim(key_of("more"), fence=1, at_s=NOW + KEPT_S) is Claimed.OURS
    assert claims.claim(key_of("and more"), fence=1, at_s=NOW + KEPT_S) is Claimed.FULL
    # The oldest made room, none else.
    assert claims.claim(key_of(1), fence=2, at_s=NOW + KEPT_S) == Found(1, 0)


def test_a_hole_in_a_full_page_is_used(opened):
    claims = opened(slots=SLOTS)
    for name in range(SLOTS):
        claims.claim(key_of(name), fence=1, at_s=NOW)
    claims.abandon(key_of(50), fence=1)
    assert claims.claim(key_of("more"), fence=1, at_s=NOW) is Claimed.OURS
    assert claims.claim(key_of("and more"), fence=1, at_s=NOW) is Claimed.FULL


def test_a_clock_that_steps_back_forgets_nothing(opened):
    claims = opened()
    claims.claim(key_of(1), fence=1, at_s=NOW)
    claims.publish(key_of(1), fence=1, offset=310)
    assert claims.claim(key_of(1), fence=2, at_s=NOW - 3_600) == Found(1, 310)


def test_a_young_clock_is_no_reason_to_think_an_empty_slot_is_used(opened):
    claims = opened(slots=SLOTS)
    for name in range(SLOTS):
        assert claims.claim(key_of(name), fence=1, at_s=1) is Claimed.OURS
    assert claims.claim(key_of(3), fence=2, at_s=2) == Found(1, 0)
    assert claims.claim(key_of("more"), fence=2, at_s=2) is Claimed.FULL


def test_a_key_made_of_the_parts_of_two_others_is_not_found(opened):
    claims = opened(slots=SLOTS)
    left, right = key_of(1), key_of(2)
    claims.claim(left, fence=1, at_s=NOW)
    claims.claim(right, fence=1, at_s=NOW)
    between = left[8:] + right[:8]
    assert claims.claim(between, fence=1, at_s=NOW) is Claimed.OURS
    assert claims.claim(between, fence=2, at_s=NOW) == Found(1, 0)
    assert claims.publish(between, fence=1, offset=310)
    assert claims.claim(left, fence=2, at_s=NOW) == Found(1, 0)


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17)])
def test_only_keys_of_16_bytes_are_taken(opened, key):
    with pytest.raises(ValueError, match="16 bytes"):
        opened().claim(key, fence=1, at_s=NOW)


def test_the_first_record_of_a_journal_answers_nobody(opened):
    claims = opened()
    claims.claim(key_of(1), fence=1, at_s=NOW)
    with pytest.raises(ValueError, match="first record"):
        claims.publish(key_of(1), fence=1, offset=0)


def test_a_file_keeps_its_size_and_is_only_for_its_owner(path, opened):
    opened(slots=1_000)
    size = path.stat().st_size
    opened(slots=100_000)
    assert path.stat().st_size == size == 11 * 4_096
    assert path.stat().st_mode & 0o777 == 0o600
    # Every page has its room: a full disk cannot kill who touches one.
    assert path.stat().st_blocks * 512 >= size


@pytest.mark.parametrize("spoil", ["another boot", "another format", "a cut file", "no header"])
def test_a_file_that_is_not_of_this_boot_starts_anew(path, opened, spoil):
    claims = opened()
    claims.claim(key_of(1), fence=1, at_s=NOW)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "another boot": whole[:16] + bytes(36) + whole[52:],
            "another format": b"x" + whole[1:],
            "a cut file": whole[:-1],
            "no header": b"",
        }[spoil]
    ) if spoil != "a cut file" else os.truncate(path, len(whole) - 4_096)
    assert opened().claim(key_of(1), fence=2, at_s=NOW) is Claimed.OURS


def test_no_room_for_the_file_is_unavailable(path, monkeypatch):
    def full(fd, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(Unavailable):
        Claims.open(path)
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.undo()
    claims = Claims.open(path, slots=SLOTS)
    assert claims.claim(key_of(1), fence=1, at_s=NOW) is Claimed.OURS
    claims.close()


RACER = """
import random, sys
from pathlib import Path
from o10.lease.claims import Claims, Claimed
from tests.core.lease.test_claims import key_of, NOW
path, fence, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
claims = Claims.open(path, slots=20_000)
names = list(range(count))
random.Random(fence).shuffle(names)
print("ready", flush=True)
input()
ours = []
for name in names:
    if claims.claim(key_of(name), fence=fence, at_s=NOW) is Claimed.OURS:
        ours.append(name)
        claims.publish(key_of(name), fence=fence, offset=name + 1)
print(*ours)
"""


def child(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_processes_that_race_for_the_same_keys_get_each_key_once(path, opened):
    count = 4_000
    racers = [child(RACER, path, fence, count) for fence in range(1, 6)]
    for racer in racers:
        assert racer.stdout.readline() == b"ready\n"
    for racer in racers:
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    won: dict[int, int] = {}
    for fence, racer in enumerate(racers, 1):
        names = [int(name) for name in racer.communicate()[0].split()]
        assert racer.returncode == 0
        for name in names:
            assert won.setdefault(name, fence) == fence
    assert len(won) == count
    assert len(set(won.values())) > 1, "they did not race"
    claims = opened()
    for name, fence in won.items():
        assert claims.claim(key_of(name), fence=9, at_s=NOW) == Found(fence, name + 1)


def test_threads_that_race_for_the_same_keys_get_each_key_once(opened):
    shared, start, ours = opened(), Barrier(4), [[], [], [], []]

    def life(fence):
        start.wait()
        for name in range(1_500):
            if shared.claim(key_of(name), fence=fence, at_s=NOW) is Claimed.OURS:
                ours[fence].append(name)

    threads = [Thread(target=life, args=(fence,)) for fence in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for names in ours for name in names) == list(range(1_500))


def in_child_until_it_dies(life):
    """Runs this in a forked process that ends by SIGKILL, whatever it does."""
    pid = os.fork()
    if pid == 0:
        try:
            life()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_the_key_of_a_claimer_that_died_is_taken_over_once(path, opened):
    def life():
        Claims.open(path, slots=2_000).claim(key_of(1), fence=1, at_s=NOW)

    in_child_until_it_dies(life)
    first, second = opened(), opened()
    assert first.claim(key_of(1), fence=2, at_s=NOW) == Found(1, 0)
    assert not first.take_over(key_of(1), of=7, fence=2)
    assert first.take_over(key_of(1), of=1, fence=2)
    assert not second.take_over(key_of(1), of=1, fence=3)
    assert second.claim(key_of(1), fence=3, at_s=NOW) == Found(2, 0)
    assert first.publish(key_of(1), fence=2, offset=310)
    assert second.claim(key_of(1), fence=3, at_s=NOW) == Found(2, 310)


def test_an_answered_key_of_a_dead_claimer_is_not_taken_over(opened):
    claims = opened()
    claims.claim(key_of(1), fence=1, at_s=NOW)
    claims.publish(key_of(1), fence=1, offset=310)
    assert not claims.take_over(key_of(1), of=1, fence=2)
    assert not claims.take_over(key_of("nobody's"), of=1, fence=2)


class Dying:
    """Words that kill their process at the n-th store."""

    def __init__(self, words, stores):
        self.words = words
        self.left = stores

    def __getitem__(self, at):
        return self.words[at]

    def __setitem__(self, at, word):
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        self.words[at] = word


@pytest.mark.parametrize("stores", range(6))
def test_who_dies_in_the_middle_of_a_claim_leaves_the_truth(path, opened, stores):
    # One page, all its slots used long ago: the claim writes over the oldest.
    old = opened(slots=SLOTS)
    for name in range(SLOTS):
        old.claim(key_of(name), fence=8, at_s=NOW - KEPT_S)
        old.publish(key_of(name), fence=8, offset=5_000 + name)

    def life():
        claims = Claims.open(path)
        claims._words = Dying(claims._words, stores)
        claims.claim(key_of("new"), fence=1, at_s=NOW)

    in_child_until_it_dies(life)
    claims = opened()
    whole = stores == 5
    expected = Found(1, 0) if whole else Claimed.OURS
    assert claims.claim(key_of("new"), fence=2, at_s=NOW) == expected
    for name in range(SLOTS):
        # Forgotten or remembered as it was, never with the answer of another.
        found = claims.claim(key_of(name), fence=3, at_s=NOW - 1)
        assert found in {Claimed.OURS, Claimed.FULL, Found(8, 5_000 + name)}


HOLDER = """
import sys, time
from pathlib import Path
from o10.lease import claims as module
from tests.core.lease.test_claims import key_of, NOW
claims = module.Claims.open(Path(sys.argv[1]))
real = module._fcntl
def stuck(fd, command, argument):
    if argument == claims._ranges[claims._place(key_of(1))[1]][1]:
        print("locked", flush=True)
        time.sleep(60)
    return real(fd, command, argument)
module._fcntl = stuck
claims.claim(key_of(1), fence=1, at_s=NOW)
"""


def test_a_lock_is_gone_with_the_process_that_held_it(path, opened):
    claims = opened()
    holder = child(HOLDER, path)
    assert holder.stdout.readline() == b"locked\n"
    found = []
    waiting = Thread(
        target=lambda: found.append(claims.claim(key_of(1), fence=2, at_s=NOW)), daemon=True
    )
    waiting.start()
    waiting.join(0.1)
    assert found == []
    holder.send_signal(signal.SIGKILL)
    waiting.join(10)
    assert found == [Found(1, 0)]
    holder.communicate()


@pytest.mark.parametrize("waits", ["another process", "another thread"])
def test_nobody_looks_at_a_page_while_another_does(opened, monkeypatch, waits):
    first, third = opened(), opened()
    second = opened() if waits == "another process" else first
    inside, go, found = Event(), Event(), []
    real = module._fcntl
    _, unlock = first._ranges[first._place(key_of(1))[1]]

    def stuck(fd, command, argument):
        if fd == first._fd and argument == unlock and not inside.is_set():
            inside.set()
            assert go.wait(10)
        return real(fd, command, argument)

    monkeypatch.setattr(module, "_fcntl", stuck)
    holding = Thread(target=lambda: first.claim(key_of(1), fence=1, at_s=NOW))
    holding.start()
    assert inside.wait(10)
    # Closing one mapping does not drop the locks of another.
    third.close()
    waiting = Thread(target=lambda: found.append(second.claim(key_of(1), fence=2, at_s=NOW)))
    waiting.start()
    time.sleep(0.05)
    assert found == []
    go.set()
    waiting.join(10)
    holding.join(10)
    assert found == [Found(1, 0)]


def test_one_at_a_time_makes_the_file(path):
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    made = []
    opening = Thread(target=lambda: made.append(Claims.open(path, slots=SLOTS)))
    opening.start()
    opening.join(0.05)
    assert made == []
    os.close(folder)
    opening.join(10)
    made[0].close()


def test_processes_that_open_a_new_file_together_share_it(path):
    code = """
import sys
from pathlib import Path
input()
from o10.lease.claims import Claims
claims = Claims.open(Path(sys.argv[1]), slots=1_000)
print("open", flush=True)
input()
"""
    openers = [child(code, path) for _ in range(4)]
    try:
        for opener in openers:
            opener.stdin.write(b"\n")
            opener.stdin.flush()
        for opener in openers:
            assert opener.stdout.readline() == b"open\n"
        inode = path.stat().st_ino
        for opener in openers:
            maps = Path(f"/proc/{opener.pid}/maps").read_text()
            (line,) = [line for line in maps.splitlines() if line.endswith(str(path))]
            assert int(line.split()[4]) == inode
    finally:
        for opener in openers:
            opener.communicate(b"\n")
