"""What would a real day of traffic do? Drives a request trace through authorize and settle."""

import argparse
import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.roles import Role
from o10.kernel import clock
from o10.kernel.errors import O10Error
from o10.kernel.ids import new_uuid
from o10.kernel.money import Money
from o10.management.policy_connection import PolicyConnection
from o10.management.traces import TraceCall, read_trace
from policies import facade as policies

KEY_LIFETIME = timedelta(days=1)


@dataclass(slots=True)
class Tally:
    """What happened so far? Money in nanos, times in seconds."""

    requests: int = 0
    settled: int = 0
    spend_nanos: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    authorize_seconds: list[float] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True)
class Load:
    """Whose calls are these, and of which model?"""

    run: str
    use_case: str
    model: str


class Command(BaseCommand):
    """Replays a trace over HTTP and prints what the ledger says about it."""

    help = "Drive a request trace (CSV, gzip too) through authorize and settle over HTTP."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--use-case", required=True, metavar="SLUG")
        parser.add_argument("--model", required=True, metavar="M")
        parser.add_argument("--speed", default="max", help="X times real time, or max")
        parser.add_argument("--concurrency", type=int, default=8, metavar="N")
        parser.add_argument("--limit", type=int, default=None, metavar="N")
        parser.add_argument("--url", default="http://127.0.0.1:8011", help="decision plane")
        parser.add_argument("--key", default=None, help="router key; default: made, one day")
        parser.add_argument(
            "--run", default=None, help="name of this replay: the same name repeats nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Reads, drives, waits for the books and the sealer, reports."""
        if not options["file"].exists():
            raise CommandError(f"there is no file {options['file']}")
        try:
            calls = list(islice(read_trace(options["file"]), options["limit"]))
        except O10Error as error:
            raise CommandError("; ".join(row.message for row in error.errors)) from error
        load = Load(
            run=options["run"] or f"replay-{new_uuid()}",
            use_case=options["use_case"],
            model=options["model"],
        )
        key = options["key"] or _router_key(load.use_case)
        first_seq = ledger.seal_state(now=clock.now()).seq + 1
        tally = Tally()
        started = time.perf_counter()
        connection = PolicyConnection(base_url=options["url"], key=key)
        try:
            self._drive(calls, load, connection, tally, options)
        except ConnectionError as error:
            raise CommandError(f"{error}; is `make up` running?") from error
        self._report(load, tally, first_seq, time.perf_counter() - started)

    def _drive(
        self,
        calls: list[TraceCall],
        load: Load,
        connection: PolicyConnection,
        tally: Tally,
        options: dict[str, Any],
    ) -> None:
        speed = None if options["speed"] == "max" else float(options["speed"])
        room = Semaphore(options["concurrency"] * 4)
        with (
            _progress(len(calls)) as advance,
            ThreadPoolExecutor(max_workers=options["concurrency"]) as pool,
        ):
            started = time.monotonic()
            waiting = []
            for call in calls:
                if speed:
                    time.sleep(max(0.0, call.at_seconds / speed - (time.monotonic() - started)))
                room.acquire()

                def work(call: TraceCall = call) -> None:
                    try:
                        one_call(call, load, connection, tally)
                    finally:
                        room.release()
                        advance()

                waiting.append(pool.submit(work))
            for future in waiting:
                future.result()

    def _report(self, load: Load, tally: Tally, first_seq: int, seconds: float) -> None:
        _booked_everything()
        last_seq = _sealed_everything()
        state = policies.get_use_case(slug=load.use_case)
        currency = ledger.ledger_of_company().currency
        times = sorted(tally.authorize_seconds)
        say = self.stdout.write
        say(f"replay      {load.run}")
        rate = tally.requests / seconds
        say(f"requests    {tally.requests} in {seconds:.1f} s ({rate:.0f}/s)")
        say(f"settled     {tally.settled}")
        for code, count in tally.denials.most_common():
            say(f"denied      {count} {code}")
        for code, count in tally.failures.most_common():
            say(f"failed      {count} {code}")
        say(f"spend       {Money(currency, tally.spend_nanos).amount} {currency}")
        held = policies.held_by_use_case(use_case=state.slug)
        say(f"held now    {Money(currency, held).amount} {currency}")
        if times:
            p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
            p50 = statistics.median(times)
            say(f"authorize   p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms")
        say(f"ledger      entries {first_seq} to {last_seq}")
        if tally.failures:
            raise CommandError(f"{sum(tally.failures.values())} calls got no decision")


def one_call(call: TraceCall, load: Load, connection: PolicyConnection, tally: Tally) -> None:
    """What happens to one call: authorize, then settle what the trace says was used."""
    name = f"{load.run}-{call.number}"
    asked = connection.post(
        "/api/v1/authorize",
        {
            "request_id": name,
            "use_case": load.use_case,
            "model": load.model,
            "input_tokens": call.input_tokens,
            "cached_input_tokens": call.cached_input_tokens,
            "max_output_tokens": max(1, call.output_tokens),
        },
    )
    with tally.lock:
        tally.requests += 1
        tally.authorize_seconds.append(asked.seconds)
        if asked.status != 200:
            tally.failures[str(asked.body.get("code", asked.status))] += 1
            return
        if asked.body["decision"] in {"deny", "hold"}:
            tally.denials[asked.body["reasons"][0]["code"]] += 1
            return
    used = connection.post(
        "/api/v1/settle",
        {
            "reservation": asked.body["reservation"]["token"],
            "request_id": f"{name}-settle",
            "usage": {
                "input_tokens": call.input_tokens,
                "cached_input_tokens": call.cached_input_tokens,
                "output_tokens": call.output_tokens,
            },
            "status": "ok",
        },
    )
    with tally.lock:
        if used.status != 200:
            tally.failures[str(used.body.get("code", used.status))] += 1
            return
        tally.settled += 1
        tally.spend_nanos += int(used.body["cost"]["amount_nanos"])


def _router_key(use_case: str) -> str:
    made = access.create_key(
        name=f"replay {use_case}",
        role=Role.ROUTER,
        use_cases=(use_case,),
        expires_at=clock.now() + KEY_LIFETIME,
        actor=access.COMMAND_LINE,
        now=clock.now(),
    )
    return made.secret.text


def _booked_everything(patience_seconds: float = 60.0) -> None:
    """Waits until the bookkeeper has read what the decision workers of this host wrote."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline and policies.backlog(now=clock.now()).unbooked_bytes:
        time.sleep(0.1)


def _sealed_everything(patience_seconds: float = 20.0) -> int:
    """The last position once nothing waits for the sealer any more."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        state = ledger.seal_state(now=clock.now())
        if not state.waiting:
            return state.seq
        time.sleep(0.1)
    return ledger.seal_state(now=clock.now()).seq


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Any]:
    with Progress(
        TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as progress:
        task = progress.add_task("calls", total=total)
        yield lambda: progress.advance(task)
