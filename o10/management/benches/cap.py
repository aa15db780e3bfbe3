"""How much money gets through a cap, with many callers, several workers and workers that die?

The judge is the provider: a process that knows nothing of o10 and writes down what it billed.
Each call costs what it may cost at most, so what is admitted is what is spent.
"""

import itertools
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.management import get_commands

from o10.management.benches import server as servers
from o10.management.benches.callers import Call, Told, calls
from o10.management.benches.crew import connect
from o10.management.benches.drive import Driven, drive
from o10.management.benches.litellm_peer import installed_litellm, peer_cap
from o10.management.benches.provider import (
    INPUT_NANOS,
    MODEL,
    OUTPUT_NANOS,
    Provider,
    provider,
)
from o10.management.benches.proxy import INSTALL
from o10.management.benches.result import Bench, Ratio, Side
from o10.management.benches.scene import NANOS, Scene, found_scene, open_use_case
from o10.management.benches.server import BOOKS, PLANE, Site, site

INPUT_TOKENS, OUTPUT_TOKENS = 7_336, 1_000
WORST = INPUT_TOKENS * INPUT_NANOS + OUTPUT_TOKENS * OUTPUT_NANOS
"""10,002,000 nanos: the call the peer was measured with."""
CALLS, CONCURRENCY = 1_000, 100
FEW, MANY, DYING = 2, 8, 4
KILLS, KILL_EVERY_S = 10, 0.7
SERVING_S = 2.5
"""A worker that is older is not just importing."""
CLIENTS = 50
PAUSE_S = 0.02
HEARD_S = 1.0
"""A change of policy reaches every worker in less."""
RETRIES = 60
RECONCILED_S = 30.0


@dataclass(slots=True)
class Outcome:
    """What came of one envelope? Nanos; `billed` by the provider, the rest by the database."""

    cap: int
    billed: int
    served_twice: int
    told: Told
    driven: Driven
    balance: dict[str, int]
    stranded: dict[str, int] = field(default_factory=dict)

    @property
    def fits(self) -> int:
        """How much can be admitted in whole calls?"""
        return self.cap // WORST * WORST

    @property
    def standing(self) -> int:
        """What does the envelope count at most, by what the database says?"""
        now = self.balance
        return now["settled"] - now["unguarded"] + now["held"] + now["unsettled"]


def run(*, rounds: int) -> Bench:
    """What is admitted over the cap, and over what fits? Goals: never above 1, >= 0.995."""
    scene = found_scene()
    with provider(input_nanos=INPUT_NANOS, output_nanos=OUTPUT_NANOS) as path:
        judge = _Judge(scene, Provider(path))
        few, eight, open_ended, dying = [], [], [], []
        with site(workers=FEW, names=(PLANE, BOOKS)) as running:
            for _ in range(rounds):
                few.append(judge.dollar(running, OUTPUT_TOKENS))
                open_ended.append(judge.dollar(running, None))
        with site(workers=MANY, names=(PLANE, BOOKS)) as running:
            eight += [judge.dollar(running, OUTPUT_TOKENS) for _ in range(rounds)]
        with site(workers=DYING, names=(PLANE, BOOKS)) as running:
            dying.append(judge.hundred_dollars(running))
    peer = _peer()
    return Bench(
        name="cap",
        ratios=(
            *_admitted(few, FEW),
            _never_above(open_ended, "max_tokens not sent"),
            *_admitted(eight, MANY),
            *_killed(dying[0]),
            _without_max_tokens(open_ended),
        ),
        facts=_facts(
            {
                f"{FEW} workers": few,
                f"{MANY} workers": eight,
                "no max_tokens": open_ended,
                f"{KILLS} kills": dying,
            }
        )
        | peer,
    )


class _Judge:
    """Opens envelopes, lets callers loose on them, and looks at what happened."""

    def __init__(self, scene: Scene, line: Provider) -> None:
        self.scene, self.line = scene, line
        self.number = itertools.count(1)

    def dollar(self, running: Site, max_output_tokens: int | None) -> Outcome:
        """1,000 calls, 100 at a time, on one dollar."""
        call = self._call(NANOS, max_output_tokens)
        told = Told()
        driven = self._let_loose(running, call, told, CALLS, CONCURRENCY)
        return self._judged(call, NANOS, told, driven)

    def hundred_dollars(self, running: Site) -> Outcome:
        """Half more calls than fit on a hundred dollars, while workers are killed."""
        cap = 100 * NANOS
        call = self._call(cap, OUTPUT_TOKENS)
        told = Told()
        killer = _Killer(running, told, cap)
        call.pause_s = killer.pause_s
        killer.start()
        driven = self._let_loose(running, call, told, cap * 3 // WORST // 2, CLIENTS)
        killer.join()
        outcome = self._judged(call, cap, told, driven)
        outcome.stranded = killer.stranded
        return outcome

    def _call(self, cap: int, max_output_tokens: int | None) -> Call:
        slug = f"cap-{next(self.number)}"
        open_use_case(self.scene, slug, nanos=cap)
        # Until a worker has heard of the new envelope, within a second, its calls are held by
        # the one above, as they were before: they would not count against this cap.
        time.sleep(HEARD_S)
        return Call(
            key=self.scene.key,
            use_case=slug,
            model=MODEL,
            input_tokens=INPUT_TOKENS,
            max_output_tokens=max_output_tokens,
            # Who sends no bound gets a little more than the provider uses.
            manner="full" if max_output_tokens else f"at-{OUTPUT_TOKENS}",
        )

    def _let_loose(
        self, running: Site, call: Call, told: Told, count: int, connections: int
    ) -> Driven:
        numbers = iter(range(count))
        scripts = [
            calls(call, numbers=numbers, provider=self.line, told=told)
            for _ in range(connections)
        ]
        driven = drive(port=running[PLANE].port, scripts=scripts, retries=RETRIES)
        if told.wrong:
            raise ValueError(f"no answer of the contract: {told.wrong[0]}")
        return driven

    def _judged(self, call: Call, cap: int, told: Told, driven: Driven) -> Outcome:
        servers.drain()
        bills = [
            bill
            for name, bill in self.line.bills().items()
            if name.startswith(f"{call.use_case}-")
        ]
        return Outcome(
            cap=cap,
            billed=sum(bill.nanos for bill in bills),
            served_twice=sum(bill.times - 1 for bill in bills),
            told=told,
            driven=driven,
            balance=balance_of(call.use_case),
        )


class _Killer(threading.Thread):
    """Kills a random worker now and then, and looks what it leaves behind.

    The callers spend nine tenths of the money in step with the kills, so that each of them
    hits workers that hold some.
    """

    def __init__(self, running: Site, told: Told, cap: int) -> None:
        super().__init__(daemon=True)
        self.running, self.told, self.cap = running, told, cap
        self.chance = random.Random(7)  # noqa: S311 - repeatable
        self.dead: list[int] = []
        self.stranded: dict[str, int] = {}

    def pause_s(self) -> float:
        """How long does a caller wait before it goes on?"""
        allowed = self.cap * 9 * (len(self.dead) + 1) // (10 * KILLS)
        return PAUSE_S if len(self.dead) < KILLS and self.told.held > allowed else 0.0

    def run(self) -> None:
        """Ten kills; then the money of the dead: at once, after a second, when reconciled."""
        most = 0
        while len(self.dead) < KILLS:
            time.sleep(KILL_EVERY_S)
            pid = self.running.kill_worker(self.chance, older_than_s=SERVING_S)
            if pid:
                most = max(most, stranded([*self.dead, pid]))
                self.dead.append(pid)
        self.stranded["at a kill, most"] = most
        time.sleep(1.0)
        self.stranded["after 1 s"] = stranded(self.dead)
        servers.wait_until(lambda: not stranded(self.dead), patience_s=RECONCILED_S)
        self.stranded["reconciled"] = stranded(self.dead)


def stranded(dead: Sequence[int]) -> int:
    """How much lent to these processes is in no reservation and not given back? Nanos."""
    statement = """
        SELECT coalesce(sum(l.granted_nanos - l.returned_nanos - l.settled_nanos
                            - l.expired_nanos - l.open_nanos), 0)
        FROM lease l JOIN lease_holder h ON h.fence = l.fence
        WHERE h.pid = ANY(%s) AND l.state IN ('open', 'draining')
    """
    with connect("default") as connection:
        row = connection.execute(statement, [list(dead)]).fetchone()
    return int(row[0]) if row else 0


def balance_of(slug: str) -> dict[str, int]:
    """What does the database count in the use case's own envelope? Nanos."""
    statement = """
        SELECT b.settled_nanos, b.held_nanos, b.unsettled_nanos, b.unguarded_nanos
        FROM envelope_balance b JOIN policies_envelope e ON e.id = b.envelope_id
        JOIN policies_use_case u ON u.id = e.use_case_id
        WHERE u.slug = %s AND e.scope_kind = 'use_case'
    """
    with connect("default") as connection:
        row = connection.execute(statement, [slug]).fetchone()
    names = ("settled", "held", "unsettled", "unguarded")
    return {name: int(value) for name, value in zip(names, row or (0, 0, 0, 0), strict=True)}


def _admitted(outcomes: Sequence[Outcome], workers: int) -> list[Ratio]:
    what = f"{workers} workers"
    return [
        _never_above(outcomes, what),
        _worst_of(
            f"D6 money admitted over what fits, {CALLS} calls at {CONCURRENCY}, {what}",
            ">= 0.995",
            [(each.billed, each.fits) for each in outcomes],
            ("admitted", "fits in whole calls"),
            largest_is_worst=False,
        ),
    ]


def _never_above(outcomes: Sequence[Outcome], what: str) -> Ratio:
    return _worst_of(
        f"D6 money admitted over the cap, {CALLS} calls at {CONCURRENCY}, {what}",
        "<= 1.000000",
        [(max(each.billed, each.standing), each.cap) for each in outcomes],
        ("admitted", "cap"),
        largest_is_worst=True,
    )


def _killed(outcome: Outcome) -> list[Ratio]:
    what = f"hundred dollars, {KILLS} SIGKILLs, {DYING} workers"
    over = max(0, outcome.billed - outcome.cap, outcome.standing - outcome.cap)
    moments = (("after 1 s", "<= 0.005"), ("reconciled", "<= 0"))
    return [
        _worst_of(
            f"D7 money over the cap, {what}",
            "<= 0",
            [(over, outcome.cap)],
            ("over the cap", "cap"),
            largest_is_worst=True,
        ),
        *(
            _worst_of(
                f"D7 stranded {moment} over the cap, {what}",
                goal,
                [(outcome.stranded[moment], outcome.cap)],
                ("lent to the dead, unused", "cap"),
                largest_is_worst=True,
            )
            for moment, goal in moments
        ),
    ]


def _without_max_tokens(outcomes: Sequence[Outcome]) -> Ratio:
    return _worst_of(
        "D8 affordable calls admitted when max_tokens is not sent",
        ">= 0.95",
        [(each.billed, each.fits) for each in outcomes],
        ("admitted", "affordable"),
        largest_is_worst=False,
    )


def _worst_of(
    name: str,
    goal: str,
    pairs: Sequence[tuple[int, int]],
    labels: tuple[str, str],
    *,
    largest_is_worst: bool,
) -> Ratio:
    """A promise is judged by its worst round, not by the middle one."""
    values = [a / b for a, b in pairs]
    value = max(values) if largest_is_worst else min(values)
    a, b = pairs[values.index(value)]
    return Ratio(
        name=name,
        value=value,
        goal=goal,
        a=Side(labels[0], a / NANOS, "dollars"),
        b=Side(labels[1], b / NANOS, "dollars"),
        spread=(min(values), max(values)),
    )


def _peer() -> dict[str, Any]:
    """What does LiteLLM admit on a dollar, beside us, with as many workers?"""
    installed = installed_litellm()
    if installed is None:
        return {"LiteLLM": f"not measured: {INSTALL} installs it"}
    found = peer_cap(installed, workers=FEW, calls=CALLS, concurrency=CONCURRENCY)
    return {
        f"LiteLLM {found.version}": found.configuration,
        f"LiteLLM {found.version}: money admitted over the cap": round(found.ratio, 6),
        f"LiteLLM {found.version}: admitted calls": found.admitted,
        f"LiteLLM {found.version}: refused calls": found.refused,
    }


def _facts(sides: dict[str, Sequence[Outcome]]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "call": f"{INPUT_TOKENS} tokens in, {OUTPUT_TOKENS} out: {WORST} nanos",
        "leased": str(settings.O10_HOT_PATH and "keep_books" in get_commands()),
    }
    for name, outcomes in sides.items():
        last = outcomes[-1]
        facts[f"{name}: admitted calls"] = last.told.allowed
        facts[f"{name}: denied calls"] = last.told.denied
        facts[f"{name}: unanswered calls"] = last.told.unanswered
        facts[f"{name}: settles without an answer"] = last.told.unsettled
        facts[f"{name}: asked again (broken or 503)"] = last.driven.broken
        facts[f"{name}: served twice by the provider"] = last.served_twice
        facts[f"{name}: still held, dollars"] = last.balance["held"] / NANOS
        facts[f"{name}: seconds"] = round(last.driven.seconds, 2)
        for moment, nanos in last.stranded.items():
            facts[f"{name}: stranded {moment}, dollars"] = nanos / NANOS
    return facts
