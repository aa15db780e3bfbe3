"""What still has to be told to o10, and how is nothing of it lost?

What waits stands in a file (fact_file.py) and is sent by one thread, in order, with the same
keys, until o10 has answered. Calls that went out while o10 could not decide are told as usage
with the code FAIL_OPEN once it answers again, with the outage they belong to. No prompt and no
key is ever written down.
Source: docs/algorithms/fail-mode.md.
"""

import logging
import os
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec

from o10.client.errors import StateUnusable, error_of
from o10.client.exchange import Ask, Lost, Outcome, Reply
from o10.client.fact_file import Fact, FactFile, Opened, Over, Queued, Sent, Used
from o10.kernel import clock
from o10.wire.decisions import Decision

MOST_WAITING: Final = 10_000
"""Facts that wait; one more is refused with an error, never dropped silently."""
FIRST_WAIT_S: Final = 0.25
MOST_WAIT_S: Final = 15.0
SOURCE: Final = "o10.client.fail_open"
CROWDED: Final = 100
"""With so many facts waiting, answers that never came are left to expire."""
USAGE_PATH: Final = "/api/v1/usage"
AUTHORIZE_PATH: Final = "/api/v1/authorize"
RELEASE_PATH: Final = "/api/v1/release"
PROBE_PATH: Final = "/api/v1/authorize:dry-run"
_KEEP_STATUS: Final = frozenset({401, 408, 425, 429})
"""A key that is being rotated, and what time cures: the fact waits."""
_DECISION = msgspec.json.Decoder(Decision)
_log = logging.getLogger("o10.client")


@dataclass(slots=True)
class _Part:
    """One billed attempt of a call that went out undecided."""

    opened: Opened
    told: dict[str, Any]
    number: int


class Outbox:
    """What waits to be told? Shared by all threads of one client."""

    def __init__(self, *, folder: Path, send: Callable[[Ask], Outcome]) -> None:
        """`send` tries once."""
        self._folder = folder
        self._send = send
        self._begin()
        for facts in self._file.left_by_the_dead():
            self._take_over(facts)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._file = FactFile(self._folder)
        self._waiting: deque[Queued] = deque()
        self._undecided: dict[str, Opened] = {}
        self._parts: dict[str, int] = {}
        self._untold: list[_Part] = []
        self._spans: dict[datetime, datetime] = {}
        self._number = 0
        self._thread: threading.Thread | None = None
        self._closing = self._hurry = False

    @property
    def waiting(self) -> int:
        """How many facts are not told yet?"""
        return len(self._waiting) + len(self._untold)

    @property
    def is_crowded(self) -> bool:
        """Does so much wait that nothing is added that can do without?"""
        return len(self._waiting) >= CROWDED

    @property
    def awaits_answer(self) -> bool:
        """Is there an outage whose end is not known yet?"""
        return bool(self._untold or self._undecided)

    def put(self, path: str, body: bytes) -> None:
        """Keeps a request and sends it, in order, until it is answered.

        Raises: StateUnusable when too much waits or the file cannot be written.
        """
        with self._ours():
            if len(self._waiting) >= MOST_WAITING:
                raise StateUnusable(what="outbox", path=str(self._folder), cause="full")
            self._queue(path, body)
            self._wake()

    def open_call(self, opened: Opened) -> None:
        """A call goes out undecided. On disk before it goes.

        Raises: StateUnusable when it cannot be written: then it must not go.
        """
        with self._ours():
            self._file.write_durably(opened)
            self._undecided[opened.id] = opened

    def knows(self, reservation: str) -> bool:
        """Is this a call that went out undecided?"""
        return reservation in self._undecided

    def use_call(self, used: Used) -> None:
        """What did an undecided call use? Told once o10 answers.

        Raises: StateUnusable when it cannot be written.
        """
        with self._ours():
            if used.id in self._undecided:
                self._file.write_durably(used)
                self._note(used)
                self._wake()

    def answered(self, now: datetime) -> None:
        """o10 answers: outages end here, and their calls are told."""
        if not self.awaits_answer:
            return
        with self._ours():
            opened = [*self._undecided.values(), *(part.opened for part in self._untold)]
            for since in {each.since for each in opened} - self._spans.keys():
                # A clock that was set back in between makes no negative minutes.
                self._end_outage(Over(since, max(now, since)))
            self._tell()
            self._wake()

    def flush(self, *, timeout_s: float) -> int:
        """Waits until all is told, or the time is over. How many facts still wait?"""
        ends = monotonic() + timeout_s
        with self._ours():
            self._hurry = True
            self._wake()
            while self.waiting and monotonic() < ends:
                self._changed.wait(min(0.05, max(ends - monotonic(), 0.001)))
            return self.waiting

    def close(self, *, timeout_s: float) -> int:
        """Tells what can be told in this time; the rest stays for the next process."""
        left = self.flush(timeout_s=timeout_s)
        with self._ours():
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s + 1.0)
        with self._ours():
            if self.waiting or self._undecided:
                self._file.close()
            else:
                self._file.remove()
        return left

    def refuse(self, path: str, body: bytes, *, why: str) -> None:
        """o10 will never take this: it is kept apart for a person, and said aloud."""
        _log.error("o10 refused what the router had to tell: %s (%s)", why, path)
        line = msgspec.json.encode(
            {"at": clock.now(), "path": path, "why": why, "body": msgspec.Raw(body)}
        )
        try:
            with (self._folder / "refused.jsonl").open("ab") as file:
                file.write(line + b"\n")
        except OSError as error:
            _log.error("and it could not be kept: %s", error)

    # From here on the condition is held by the caller, but for the thread's own loop.

    def _ours(self) -> threading.Condition:
        if self._pid != os.getpid():
            # A forked child: file, thread and facts are the parent's.
            self._begin()
        return self._changed

    def _wake(self) -> None:
        if (self.waiting or self._hurry) and self._thread is None and not self._closing:
            if self.waiting:
                self._thread = threading.Thread(
                    target=self._run, args=(self._pid,), name="o10-outbox", daemon=True
                )
                self._thread.start()
        self._changed.notify_all()

    def _queue(self, path: str, body: bytes) -> None:
        item = Queued(self._number + 1, path, msgspec.Raw(body))
        self._file.write(item)
        self._number += 1
        self._waiting.append(item)

    def _note(self, used: Used) -> None:
        opened = self._undecided[used.id]
        if used.told is not None:
            number = self._parts[used.id] = self._parts.get(used.id, 0) + 1
            self._untold.append(_Part(opened, used.told, number))
        if used.final:
            self._undecided.pop(used.id)
            self._parts.pop(used.id, None)
        self._tell()

    def _end_outage(self, over: Over) -> None:
        self._file.write_durably(over)
        self._spans[over.since] = over.until

    def _tell(self) -> None:
        """Calls of an outage that is over become usage to be sent."""
        while self._untold:
            part = next((p for p in self._untold if p.opened.since in self._spans), None)
            if part is None:
                return
            body = usage_of(part.opened, part.told, part.number, self._spans)
            self._queue(USAGE_PATH, msgspec.json.encode(body))
            self._untold.remove(part)
        if not self._undecided:
            self._spans.clear()

    def _take_over(self, facts: list[Fact]) -> None:
        """What a dead process left becomes ours, in our file."""
        sent = {fact.n for fact in facts if isinstance(fact, Sent)}
        with self._changed:
            for fact in facts:
                if isinstance(fact, Queued) and fact.n not in sent:
                    if fact.path != USAGE_PATH or b"FAIL_OPEN" not in bytes(fact.body):
                        self._queue(fact.path, bytes(fact.body))
            self._take_over_undecided(facts)
            self._wake()

    def _take_over_undecided(self, facts: list[Fact]) -> None:
        """Undecided calls are told anew from the same facts: equal bodies, booked once."""
        orphans = []
        for fact in facts:
            if isinstance(fact, Over):
                self._end_outage(fact)
            elif isinstance(fact, Opened):
                self._file.write_durably(fact)
                self._undecided[fact.id] = fact
                orphans.append(fact.id)
        for fact in facts:
            if isinstance(fact, Used) and fact.id in self._undecided:
                self._file.write_durably(fact)
                self._note(fact)
        for id_ in orphans:
            if id_ in self._undecided:
                # It died with its process: nobody will say what it used.
                used = Used(id_, final=True, told={"status": "error"})
                self._file.write_durably(used)
                self._note(used)

    def _run(self, pid: int) -> None:
        """The thread: sends the oldest fact until it is answered."""
        wait_s = FIRST_WAIT_S
        while True:
            with self._changed:
                while not self.waiting and not self._closing:
                    self._hurry = False
                    self._changed.wait(60.0)
                if self._closing or self._pid != pid:
                    return
                item = self._waiting[0] if self._waiting else None
            if self._sent(item):
                wait_s = FIRST_WAIT_S
                continue
            if not self._waited(wait_s * (1 + random.random())):  # noqa: S311 - spreads
                return
            wait_s = min(wait_s * 2, MOST_WAIT_S)

    def _waited(self, seconds: float) -> bool:
        """Waits before the next attempt, less when somebody flushes. False: close now."""
        ends = monotonic() + seconds
        with self._changed:
            while not self._closing and not self._hurry and monotonic() < ends:
                self._changed.wait(max(ends - monotonic(), 0.001))
            if self._hurry and not self._closing:
                self._changed.wait(0.02)
            return not self._closing

    def _sent(self, item: Queued | None) -> bool:
        """Is the oldest fact told? Without one: does o10 answer again?"""
        ask = self._probe() if item is None else Ask("POST", item.path, bytes(item.body))
        outcome = self._send(ask)
        if isinstance(outcome, Lost) or outcome.status >= 500:
            return False
        if item is not None:
            if outcome.status in _KEEP_STATUS:
                return False
            if item.path == AUTHORIZE_PATH:
                self._release_unanswered(outcome)
            elif outcome.status >= 400:
                error = error_of(outcome)
                self.refuse(item.path, ask.body, why=str(error)[:300])
            self._mark_sent(item)
        self.answered(clock.now())
        return True

    def _release_unanswered(self, outcome: Reply) -> None:
        """The router had given up on this answer: what it holds is given back."""
        try:
            view = _DECISION.decode(outcome.body).reservation
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            return
        if view is not None:
            body = {"reservation": view.token or view.id, "reason": "the router had given up"}
            self.put(RELEASE_PATH, msgspec.json.encode(body))

    def _probe(self) -> Ask:
        """Could o10 decide again? A question that holds nothing, for an untold call's case."""
        with self._changed:
            use_case = self._untold[0].opened.record.get("use_case") if self._untold else ""
        asked = {"use_case": use_case, "input_tokens": 1, "max_output_tokens": 1}
        return Ask("POST", PROBE_PATH, msgspec.json.encode(asked))

    def _mark_sent(self, item: Queued) -> None:
        with self._changed:
            self._waiting.popleft()
            try:
                if self._waiting or self.awaits_answer:
                    self._file.write(Sent(item.n))
                else:
                    self._file.empty()
            except StateUnusable as error:
                # Sent twice after a restart then; the key makes it once.
                _log.warning("what was told cannot be marked: %s", error)
            self._changed.notify_all()


def usage_of(
    opened: Opened, told: dict[str, Any], number: int, spans: dict[datetime, datetime]
) -> dict[str, Any]:
    """Which usage record tells of a call that went out undecided? Equal facts, equal body."""
    known = {name: value for name, value in told.items() if value is not None}
    counts = known.pop("usage", None)
    return {
        **opened.record,
        **known,
        "model": known.get("model") or opened.record.get("model") or "unknown",
        "id": f"{opened.id}.{number}",
        "source": SOURCE,
        "usage": opened.bound if counts is None else counts,
        "code": "FAIL_OPEN",
        "fail_open": {
            "since": opened.since,
            "until": spans[opened.since],
            "estimated": counts is None,
        },
    }
