"""What do several routers live through while servers die? Each a process with many connections.

Every call that is let through goes to a provider that knows nothing of o10 and keeps its own
record. Some requests are sent twice, some settles too, some holds are released, some are
settled only when their time has long ended. No Django here: these are other machines.
"""

import json
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from o10.management.benches.callers import ALLOWED, settle_request
from o10.management.benches.drive import Script, build_request, drive
from o10.management.benches.provider import MODEL, Provider

SPAWN = multiprocessing.get_context("spawn")
INPUT_TOKENS, OUTPUT_TOKENS = 1_200, 800
Kept = tuple[str, str, str, tuple[int, int]]
"""Call, reservation, its id or token, what was billed."""
RETRIES = 80
NAMED_BY = ("id", "token")
"""How a settle names its reservation."""
GRACE_S = 5.0
"""Holds expire so long after their time."""


@dataclass(frozen=True)
class Order:
    """What does one router process do? `rest_s` is the mean pause of a connection."""

    name: str
    port: int
    key: str
    provider: Path
    use_cases: Sequence[str]
    calls: int
    connections: int = 6
    rest_s: float = 0.05
    ttl_s: int = 1
    twice: float = 0.1
    released: float = 0.05
    late: float = 0.05


@dataclass
class Seen:
    """What was one router told? `served` names the reservation of each call, by request id,
    which begins with the use case.

    `wrong` are answers that break the contract; `unanswered` requests whose retries ran out.
    """

    asked: int = 0
    denied: Counter[str] = field(default_factory=Counter)
    held: dict[str, int] = field(default_factory=dict)
    served: dict[str, str] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    released: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    unanswered: int = 0
    asked_again: int = 0

    def add(self, other: "Seen") -> None:
        """Both together; nobody has the other's request ids."""
        self.asked += other.asked
        self.unanswered += other.unanswered
        self.asked_again += other.asked_again
        self.denied += other.denied
        self.wrong += other.wrong
        for name in ("held", "served", "settled", "released", "late"):
            getattr(self, name).update(getattr(other, name))


@dataclass
class Routers:
    """Running router processes."""

    pool: Any
    jobs: list[Any]

    def are_done(self) -> bool:
        """Have all of them ended?"""
        return all(job.ready() for job in self.jobs)

    def seen(self) -> Seen:
        """What were all of them told? Waits for the last.

        Raises: what was raised in one of them.
        """
        total = Seen()
        for job in self.jobs:
            total.add(job.get(timeout=900))
        self.pool.close()
        self.pool.join()
        return total


def start_routers(orders: Sequence[Order]) -> Routers:
    """Lets them loose."""
    pool = SPAWN.Pool(len(orders))
    return Routers(pool, [pool.apply_async(route, (order,)) for order in orders])


def route(order: Order) -> Seen:
    """One router's life, in its own process."""
    seen = Seen()
    router = _Router(order, seen)
    numbers = iter(range(order.calls))
    lives = [router.life(numbers) for _ in range(order.connections)]
    driven = drive(port=order.port, scripts=lives, retries=RETRIES)
    seen.asked_again += driven.broken
    if router.kept:
        # The last of them was let through just now.
        time.sleep(order.ttl_s + GRACE_S + 1.2)
        kept = iter(router.kept)
        late = [router.settle_late(kept) for _ in range(order.connections)]
        seen.asked_again += drive(port=order.port, scripts=late, retries=RETRIES).broken
    router.line.close()
    return seen


class _Router:
    def __init__(self, order: Order, seen: Seen) -> None:
        self.order, self.seen = order, seen
        self.line = Provider(order.provider)
        self.chance = random.Random(order.name)
        self.kept: list[Kept] = []

    def life(self, numbers: Iterator[int]) -> Script:
        """One connection: a call after the other."""
        for number in numbers:
            yield self.order.rest_s * 2 * self.chance.random()
            use_case = self.chance.choice(self.order.use_cases)
            call = f"{use_case}/{self.order.name}-{number}"
            asked = self._authorize(call, use_case)
            status, body, _ = yield asked
            self.seen.asked += 1
            answer = self._decoded(status, body)
            if answer is None:
                continue
            if self.chance.random() < self.order.twice:
                status, body, _ = yield asked
                self._same(answer, self._decoded(status, body), "decision_id")
            if answer["decision"] not in ALLOWED:
                self.seen.denied[answer["reasons"][0]["code"]] += 1
                continue
            self.seen.held[call] = int(answer["reservation"]["amount_nanos"])
            yield from self._end(call, answer)

    def _end(self, call: str, answer: dict[str, Any]) -> Script:
        reservation = answer["reservation"]["id"]
        named = answer["reservation"][self.chance.choice(NAMED_BY)]
        max_output_tokens = answer["caps"]["max_output_tokens"]
        fate = self.chance.random()
        if fate < self.order.released:
            status, body, _ = yield self._release(named)
            if self._decoded(status, body) is not None:
                self.seen.released[call] = reservation
            return
        billed = self.line.serve(
            call,
            input_tokens=INPUT_TOKENS,
            max_output_tokens=max_output_tokens,
            manner="some",
        )
        self.seen.served[call] = reservation
        if fate > 1.0 - self.order.late:
            self.kept.append((call, reservation, named, billed))
            return
        asked = settle_request(self.order.key, named, billed)
        status, body, _ = yield asked
        answer = self._decoded(status, body)
        if answer is None:
            return
        self.seen.settled[call] = reservation
        if self.chance.random() < self.order.twice:
            status, body, _ = yield asked
            self._same(answer, self._decoded(status, body), "entry_id")

    def settle_late(self, kept: Iterator[Kept]) -> Script:
        """Settles what has expired long ago."""
        for call, reservation, named, billed in kept:
            status, body, _ = yield settle_request(self.order.key, named, billed)
            answer = self._decoded(status, body)
            if answer is None:
                continue
            self.seen.late[call] = reservation
            if answer["late"] is not True:
                self.seen.wrong.append(f"{call} was settled late and is not marked: {answer}")

    def _authorize(self, call: str, use_case: str) -> bytes:
        body = {
            "request_id": call,
            "use_case": use_case,
            "model": MODEL,
            "input_tokens": INPUT_TOKENS,
            "max_output_tokens": OUTPUT_TOKENS,
            "ttl_s": self.order.ttl_s,
        }
        return build_request(path="/api/v1/authorize", key=self.order.key, body=body).plain

    def _release(self, reservation: str) -> bytes:
        body = {"reservation": reservation, "reason": "the provider was away"}
        return build_request(path="/api/v1/release", key=self.order.key, body=body).plain

    def _decoded(self, status: int, body: bytes) -> dict[str, Any] | None:
        if status == 200:
            answer: dict[str, Any] = json.loads(body)
            return answer
        if status in {0, 503}:
            self.seen.unanswered += 1
        else:
            self.seen.wrong.append(f"{status} {body[:300]!r}")
        return None

    def _same(self, first: dict[str, Any], again: dict[str, Any] | None, name: str) -> None:
        if again is not None and again.get(name) != first.get(name):
            self.seen.wrong.append(f"asked twice: {first} and {again}")


def orders_of(template: Order, *, processes: int) -> list[Order]:
    """The same order for so many processes, each with a name of its own."""
    return [replace(template, name=f"{template.name}{number}") for number in range(processes)]
