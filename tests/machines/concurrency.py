"""What happens when many processes spend from one tree at once?

`hammer` forks processes that authorize and end calls as fast as they can, and counts what was
admitted by what the answers said, not by what the database says. Call it with bigger numbers
for a longer run; the caller compares the report with the caps.
"""

import multiprocessing
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connections

from policies import facade as policies
from tests.operations.policies.company import (
    NOW,
    ask,
    forget_everything,
    let_go,
    make_caller,
    pay,
    reason_of,
)

FORK = multiprocessing.get_context("fork")


@dataclass
class Report:
    """What did all processes see?

    Units: nanos. `admitted` sums the holds of the answers by use case; `given_back` what
    settles and releases refunded; `codes` counts first reasons; `errors` what was raised.
    """

    admitted: Counter[str] = field(default_factory=Counter)
    given_back: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: "Report") -> None:
        self.admitted += other.admitted
        self.given_back += other.given_back
        self.codes += other.codes
        self.errors += other.errors

    @property
    def allowed(self) -> int:
        return sum(self.codes[code] for code in self.codes if code in _YES)


_YES = ("OK_WITHIN_ENVELOPE", "CAPPED_TOKENS", "ENVELOPE_SOFT_LIMIT", "OK_UNLIMITED")


def hammer(
    *,
    processes: int = 8,
    attempts: int = 500,
    use_cases: Sequence[str] = ("support",),
    call: dict[str, Any] | None = None,
    ends: float = 0.0,
    now: datetime = NOW,
) -> Report:
    """`processes` x `attempts` authorizes of `call`; a share `ends` of the yeses is ended."""

    def work(number: int) -> Report:
        return _spend(number, attempts, use_cases, call or {}, ends, now)

    return in_processes(processes, work)


def in_processes(processes: int, work: Callable[[int], Report]) -> Report:
    """Runs `work(number)` in forked processes at once and adds up their reports."""
    connections.close_all()
    queue: Any = FORK.SimpleQueue()
    gate = FORK.Event()
    children = [
        FORK.Process(target=_child, args=(number, work, queue, gate))
        for number in range(processes)
    ]
    for child in children:
        child.start()
    begun = time.perf_counter()
    gate.set()
    total = Report()
    for _ in children:
        total.add(queue.get())
    for child in children:
        child.join(60)
    total.seconds = time.perf_counter() - begun
    return total


def _child(number: int, work: Callable[[int], Report], queue: Any, gate: Any) -> None:
    report = Report()
    try:
        forget_everything()
        gate.wait()
        report = work(number)
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        report.errors[repr(error)[:200]] += 1
    finally:
        connections.close_all()
        queue.put(report)


def _spend(
    number: int,
    attempts: int,
    use_cases: Sequence[str],
    call: dict[str, Any],
    ends: float,
    now: datetime,
) -> Report:
    report = Report()
    chance = random.Random(number)
    caller = make_caller(key=f"key_{number}")
    for attempt in range(attempts):
        use_case = chance.choice(use_cases)
        at = now + timedelta(milliseconds=attempt)
        answer = ask(
            now=at, caller=caller, use_case=use_case, request_id=f"{number}-{attempt}", **call
        )
        report.codes[reason_of(answer)] += 1
        if answer["reservation"] is None:
            continue
        report.admitted[use_case] += int(answer["reservation"]["amount_nanos"])
        if chance.random() < ends:
            ended = _end(answer, chance, at, caller)
            report.given_back[use_case] += int(ended["refunded"]["amount_nanos"])
    return report


def _end(
    answer: dict[str, Any], chance: random.Random, now: datetime, caller: Any
) -> dict[str, Any]:
    if chance.random() < 0.3:
        return let_go(answer, now=now, caller=caller)
    output = chance.randrange(0, answer["caps"]["max_output_tokens"] + 1)
    return pay(answer, usage=(100, output), now=now, caller=caller)


def kill_at_statement(operation: Callable[[], Any], statement: int) -> bool:
    """Is a forked process killed (-9) before its n-th statement? False = it came through."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        _die_at(statement)
        try:
            forget_everything()
            operation()
        except BaseException:  # noqa: BLE001 - the parent looks at the exit code
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise AssertionError("the operation failed instead of being killed")
    return False


def _die_at(statement: int) -> None:
    """Counts every statement on its way to the server, COMMIT included."""
    import psycopg

    left = statement

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def before(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return before

    psycopg.Cursor.execute = counted(psycopg.Cursor.execute)  # type: ignore[method-assign]
    psycopg.Connection.commit = counted(psycopg.Connection.commit)  # type: ignore[method-assign]


def held_now(envelope: Any, *, now: datetime = NOW) -> int:
    """What the database says is held in an envelope."""
    return int(policies.get_envelope(envelope=envelope.id, now=now).held_nanos)
