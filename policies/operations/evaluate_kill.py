"""Has a criterion tripped, now? Read, measure, evaluate; act where something follows.

Money is looked at right after it was booked, by a watcher beside the bookkeeper; everything
else, and money once more, every minute. Never on a caller's path.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog
from django.db import InterfaceError, OperationalError, connection

from ledger import facade as ledger
from policies.core.kill import Event, Evidence, Verdict, evaluate
from policies.core.metrics import METRICS, Measured, measure
from policies.models import KillCriterion
from policies.operations.fire_kill import (
    CriterionMoved,
    inputs_document,
    lift,
    note_look,
    pull,
    rearm,
)
from policies.operations.kill_changes import ask_for_lever
from policies.operations.tell_kill import tell_proposed, tell_restorable
from policies.queries.kill_inputs import inputs_at
from policies.queries.kill_rows import (
    counts_from,
    list_watched,
    scope_of,
    spec_of,
    spenders_watched,
    standing_of,
)
from policies.queries.kill_sight import look_now

LOOK_EVERY_S: Final = 0.2
"""The watcher asks the ledger so often who spent."""
LOOK_AGAIN_S: Final = 0.5
"""One criterion is measured so often at most, however busy its use case is."""
ROWS_EVERY_S: Final = 1.0
LATE: Final = timedelta(seconds=20)
"""Entries of a transaction that committed so late are still seen."""
IDLE_S: Final = 2.0
_ASKING: Final = (Event.RESTORABLE, Event.PROPOSE)

_log = structlog.get_logger("policies.kill")


class Stop(Protocol):
    """When does the loop end? The part of threading.Event that it uses."""

    def is_set(self) -> bool:
        """Shall it end?"""
        ...

    def wait(self, timeout: float) -> bool:
        """Rests, at most this many seconds; true when it shall end."""
        ...


def look_at_criterion(row: KillCriterion, *, at: datetime) -> Verdict:
    """What does this criterion say now? Whatever follows has been done."""
    spec, standing = spec_of(row), standing_of(row)
    sight = look_now(spec=spec, scope=scope_of(row), at=at)
    measured = measure(METRICS[spec.metric], inputs_at(sight, at=at, since=counts_from(row)))
    verdict = evaluate(spec=spec, standing=standing, measured=measured, at=at)
    firing = [each for each in verdict.events if each not in _ASKING]
    # People are asked before the look is kept: after a crash they are asked again, under the
    # same request. What fires changes the state in a transaction of its own.
    for event in verdict.events:
        if event in _ASKING:
            _ask_people(row, event, measured, at)
    kept = standing if firing else verdict.standing
    note_look(row, standing=kept, last=last_of(verdict, measured), at=at)
    with contextlib.suppress(CriterionMoved):
        for event in firing:
            _follow(row, event, verdict, measured, at)
    return verdict


def look_at_all(*, now: datetime, money: int | None = None) -> int:
    """How many criteria were looked at? All that are watched, or only some."""
    rows = list_watched(money=money)
    for row in rows:
        try:
            look_at_criterion(row, at=now)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - one criterion must not hide the others
            _log.error("criterion_not_measured", criterion=row.public, error=str(error)[:300])
    return len(rows)


def last_of(verdict: Verdict, measured: Measured) -> dict[str, Any]:
    """How is the last look kept, for the screens?"""
    found = inputs_document(measured)
    found["evidence"] = verdict.evidence.value
    if verdict.evidence is Evidence.NOT_ENOUGH:
        found["missing"] = list(measured.missing)
    return found


def watch_criteria(
    *, now: Callable[[], datetime], stop: Stop, monotonic: Callable[[], float]
) -> None:
    """Looks at the criteria of whoever spent, right after it was booked, until `stop`.

    Asks nothing of the ledger while no criterion is armed.
    """
    watcher = Watcher(now=now, monotonic=monotonic)
    while not stop.is_set():
        try:
            rest = watcher.round()
        except (OperationalError, InterfaceError):
            with contextlib.suppress(Exception):
                connection.close()
            rest = IDLE_S
        stop.wait(rest)
    connection.close()


class Watcher:
    """Which criteria concern whom, and up to which entry was it looked?"""

    def __init__(self, *, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self.now = now
        self.monotonic = monotonic
        self.concerned: dict[int, list[KillCriterion]] = {}
        self.looked: dict[int, float] = {}
        self.waiting: dict[int, KillCriterion] = {}
        self._rows_at = float("-inf")
        # Numbers are given before commit: whoever commits late has a smaller one.
        self._seen: deque[tuple[float, int]] = deque()
        self._counts: dict[int, int] = {}

    def round(self) -> float:
        """One round; for how long may it rest?"""
        at = self.monotonic()
        if at - self._rows_at >= ROWS_EVERY_S:
            self.concerned = spenders_watched(list_watched(money=1))
            self._rows_at = at
        if not self.concerned:
            return ROWS_EVERY_S
        now = self.now()
        newest, spenders = ledger.list_spenders(
            ledger_id=ledger.COMPANY_LEDGER, after_id=self._after(at), since=now - LATE
        )
        self._seen.append((at, newest))
        for use_case in spenders:
            for row in self.concerned.get(use_case, ()):
                self.waiting[row.id] = row
        for number in list(self.waiting):
            if at - self.looked.get(number, float("-inf")) < LOOK_AGAIN_S:
                continue
            self.looked[number] = at
            del self.waiting[number]
            fresh = KillCriterion.objects.select_related("use_case", "department").get(
                id=number
            )
            look_at_criterion(fresh, at=now)
        return LOOK_EVERY_S

    def _after(self, at: float) -> int:
        """The newest entry of two seconds ago; younger ones may have had company since."""
        while len(self._seen) > 1 and at - self._seen[1][0] >= IDLE_S:
            self._seen.popleft()
        return self._seen[0][1] if self._seen else 0


def _ask_people(row: KillCriterion, event: Event, measured: Measured, at: datetime) -> None:
    if event is Event.RESTORABLE:
        tell_restorable(row, now=at)
    else:
        approval = ask_for_lever(row=row, measured=measured, now=at)
        tell_proposed(row, approval=approval, measured=measured, now=at)


def _follow(
    row: KillCriterion, event: Event, verdict: Verdict, measured: Measured, at: datetime
) -> None:
    match event:
        case Event.TRIP:
            pull(
                criterion=row.public,
                measured=measured,
                at=at,
                over_since=verdict.standing.over_since,
            )
        case Event.RESTORE:
            lift(
                criterion=row.public,
                at=at,
                measured=measured,
                reason="back inside its restore threshold",
            )
        case Event.REARM:
            rearm(criterion=row.public, at=at)
