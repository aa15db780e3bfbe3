"""What should the leased plane answer? An independent model of calls, without any lease.

It shares no code with `policies`: own worst cases, own costs, own account of each envelope and
period. It knows calls and who wrote what down; leases only show as money that stands in the
balances beyond what calls hold. So a call *must* be allowed where even that leaves room,
*must* be denied where the calls alone leave none, and may be either in between.

An ending is heard in three places: at the claim of its host, in a journal that waits for the
books, and in the books. Where two places do not know of each other (two hosts, the web form)
both answer; the books take the first and book what the second spent as unguarded.
Prices are those of the tests: 2,500 nanos for a token in, 15,000 for a token out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

IN, OUT = 2_500, 15_000
DEFAULT_OUTPUT, USEFUL_OUTPUT = 1_024, 128
TTL = timedelta(seconds=60)
ENDS_IN_LEASE = timedelta(seconds=3)
GRACE = timedelta(seconds=5)
WINDOW = timedelta(hours=24)
WEB = "web"
STRICT = "strict"
"""The claim of an ending that was answered by the database."""
Cell = tuple[str, datetime]


def worst_of(tokens: int, output: int) -> int:
    """Nanos at most for a call."""
    return tokens * IN + output * OUT


@dataclass
class Env:
    """One envelope as it is in force; `kind` is month or day, in UTC."""

    name: str
    parent: str | None
    kind: str
    cap: int
    frozen: bool = False


@dataclass
class Worker:
    """One process. `known` = caps and freezes as it learned them last."""

    name: str
    host: str
    known: dict[str, tuple[int, bool]]
    alive: bool = True
    over: bool = False
    journal: list["Written"] = field(default_factory=list)


@dataclass
class Written:
    """One record that waits for the books."""

    kind: str
    key: str | None
    request: tuple[str, Any] | None = None
    cost: int = 0
    overrun: int = 0
    attempt: int = 0
    body: Any = None
    answer: Any = None


@dataclass
class Ended:
    """Who claimed the ending of a call on its host, and what was answered?"""

    kind: str
    attempt: int = 0
    body: Any = None
    answer: Any = None


@dataclass
class Call:
    """One reservation. `worker` None = a hold of its own from the start.

    `inside` = its money lies in a lease; `doubt` = that lease may have expired meanwhile.
    """

    key: str
    cells: list[Cell]
    worker: Worker | None
    amount: int
    tokens: int
    output: int
    at: datetime
    expires: datetime
    token: str
    booked: bool
    inside: bool
    state: str = "open"
    open: int = 0
    settled: int = 0
    attempts: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    released: Any = None
    claim: Ended | None = None
    waits: list[Written] = field(default_factory=list)
    named: bool = True
    lost: bool = False
    doubt: bool = False
    alias_of: str | None = None
    first_end: datetime | None = None
    first_amount: int = 0


@dataclass
class Sum:
    """What stands in one cell: booked cost, and between which bounds it is unguarded."""

    settled: int = 0
    least: int = 0
    most: int = 0


@dataclass
class Verdict:
    """What may authorize say? `codes` of a denial; `full` if nothing needs to be cut."""

    must_allow: bool
    may_allow: bool
    codes: set[str]
    least: int
    full: int
    fits: int


@dataclass
class Expected:
    """What must be answered? `error` a code; `same` the first bytes; else figures."""

    error: str = ""
    same: Any = None
    cost: int = 0
    refunded: tuple[int, int] = (0, 0)
    overrun: tuple[int, int] = (0, 0)
    late: bool | None = False
    commit: Callable[[Any], None] = lambda answer: None


class PlaneOracle:
    """The whole company. A use case has the name of its envelope."""

    def __init__(self, envelopes: list[Env]) -> None:
        self.envelopes = {each.name: each for each in envelopes}
        self.workers: list[Worker] = []
        self.calls: dict[str, Call] = {}
        self.sums: dict[Cell, Sum] = {}
        self.limits: dict[Cell, int] = {}
        self.logged: dict[str, tuple[str | None, Any, Any]] = {}
        self.answered: dict[tuple[str, str], tuple[Any, Any]] = {}
        self.died: set[tuple[str, str]] = set()

    # --- places and workers -----------------------------------------------------------------

    def path(self, leaf: str) -> list[Env]:
        """Root first."""
        found = [self.envelopes[leaf]]
        while found[0].parent is not None:
            found.insert(0, self.envelopes[found[0].parent])
        return found

    @staticmethod
    def start(kind: str, at: datetime) -> datetime:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight if kind == "day" else midnight.replace(day=1)

    def end(self, cell: Cell) -> datetime:
        if self.envelopes[cell[0]].kind == "day":
            return cell[1] + timedelta(days=1)
        return (cell[1] + timedelta(days=32)).replace(day=1)

    def cells(self, leaf: str, at: datetime) -> list[Cell]:
        return [(env.name, self.start(env.kind, at)) for env in self.path(leaf)]

    def hire(self, name: str, host: str) -> Worker:
        worker = Worker(name, host, self.policy())
        self.workers.append(worker)
        return worker

    def policy(self) -> dict[str, tuple[int, bool]]:
        return {name: (env.cap, env.frozen) for name, env in self.envelopes.items()}

    # --- what calls hold --------------------------------------------------------------------

    def weight(self, call: Call) -> int:
        """What of it counts against a cap at least, whatever becomes of its lease? Nanos."""
        if call.state in ("settled", "released"):
            return call.settled
        if call.waits:
            first = call.waits[0]
            spent = 0 if first.kind == "released" else min(first.cost, call.amount)
            return call.settled + min(spent, call.open)
        if call.lost and call.state == "written_off":
            return call.settled
        return call.settled + call.open

    def exposure(self, cell: Cell) -> int:
        """What do calls alone make of this cell? Nanos."""
        return sum(self.weight(call) for call in self.calls.values() if cell in call.cells)

    def guarded(self, cell: Cell) -> int:
        return self.exposure(cell) - self.sum(cell).most

    def held(self, cell: Cell) -> int:
        """What is held for calls that have not ended? Nanos."""
        return sum(
            call.open
            for call in self.calls.values()
            if cell in call.cells
            and call.state in ("open", "expired")
            and not call.waits
            and not call.lost
            and not call.doubt
        )

    def sum(self, cell: Cell) -> Sum:
        return self.sums.setdefault(cell, Sum())

    def pay(self, call: Call, cost: int, least: int, most: int) -> None:
        call.settled += cost
        for cell in call.cells:
            row = self.sum(cell)
            row.settled += cost
            row.least += least
            row.most += most

    # --- authorize --------------------------------------------------------------------------

    def verdict(
        self,
        worker: Worker | None,
        cells: list[Cell],
        tokens: int,
        output: int | None,
        stands: Mapping[Cell, tuple[int, int]],
        *,
        again: int = 0,
    ) -> Verdict:
        """`stands` = cap and exposure in the balances; `again` is held for the call already."""
        policies = [self.policy()]
        if worker is not None:
            policies.append(worker.known)
        frozen = [any(each[cell[0]][1] for cell in cells) for each in policies]
        lows, highs = [], []
        for cell in cells:
            caps = [each[cell[0]][0] for each in policies]
            exposed = 0
            if cell in stands:
                cap, exposed = stands[cell]
                caps = [*(caps if worker is not None else ()), cap]
            low = min(caps) - exposed + again
            lows.append(low)
            highs.append(max(max(caps) - self.exposure(cell), low) if worker else low)
        full = worst_of(tokens, DEFAULT_OUTPUT if output is None else output)
        least = full
        if output is None:
            least = worst_of(tokens, USEFUL_OUTPUT)
        codes: set[str] = set()
        if any(frozen):
            codes.add("ENVELOPE_FROZEN")
        if not all(frozen):
            if least > lows[-1]:
                codes.add("ENVELOPE_HARD_LIMIT")
            if least > min(lows[:-1]) and least <= highs[-1]:
                codes.add("PARENT_ENVELOPE_EXHAUSTED")
        return Verdict(
            must_allow=not any(frozen) and least <= min(lows),
            may_allow=not all(frozen) and least <= min(highs),
            codes=codes,
            least=least,
            full=full,
            fits=min(lows),
        )

    def allow(
        self,
        *,
        key: str,
        worker: Worker | None,
        cells: list[Cell],
        amount: int,
        tokens: int,
        output: int,
        now: datetime,
        token: str,
        request: tuple[str, Any] | None,
        answer: Any,
    ) -> Call:
        """It was allowed; `worker` None = by the database."""
        call = Call(
            key=key,
            cells=cells,
            worker=worker,
            amount=amount,
            tokens=tokens,
            output=output,
            at=now,
            expires=now + TTL,
            token=token,
            booked=worker is None,
            inside=worker is not None,
            open=amount,
            first_end=now + TTL,
            first_amount=amount,
        )
        self.calls[key] = call
        self.log(key, worker, request, answer, "reserved")
        return call

    def deny(self, worker: Worker | None, request: tuple[str, Any] | None, answer: Any) -> None:
        self.log(None, worker, request, answer, "denied")

    def log(
        self,
        key: str | None,
        worker: Worker | None,
        request: tuple[str, Any] | None,
        answer: Any,
        kind: str,
    ) -> None:
        if worker is not None:
            worker.journal.append(Written(kind, key, request=request, answer=answer))
        elif request is not None:
            self.logged.setdefault(request[0], (key, request[1], answer))

    # --- endings ----------------------------------------------------------------------------

    def in_lease(self, call: Call, at: Worker | None, now: datetime, by_token: bool) -> bool:
        """Does this worker end the call from its holder's journal?"""
        holder = call.worker
        return (
            at is not None
            and holder is not None
            and holder.alive
            and holder.host == at.host
            and call.first_end is not None
            and now < call.first_end + ENDS_IN_LEASE
            and (by_token or (at is holder and call.named))
        )

    def target(self, call: Call) -> Call:
        return self.calls[call.alias_of] if call.alias_of else call

    def unknown(self, call: Call, by_token: bool, promised: bool) -> str:
        """Which error hears who asks the database for a call it does not know? '' = none."""
        if call.booked:
            return ""
        if not by_token or call.worker is None:
            return "reservation_unknown"
        if not promised:
            return "unavailable"
        # A token proves what was reserved in a lease that expired.
        call.booked, call.state, call.inside, call.open = True, "expired", True, 0
        call.doubt = True
        return ""

    def settle(
        self,
        call: Call,
        at: Worker | None,
        cost: int | None,
        *,
        attempt: int,
        final: bool,
        body: Any,
        by_token: bool,
        now: datetime,
        promised: bool,
    ) -> Expected:
        """`cost` None = not reported; `at` None = the web form."""
        if self.in_lease(call, at, now, by_token) and at is not None:
            claim = call.claim
            if claim is not None and claim.kind != STRICT:
                if claim.kind == "settled" and claim.attempt == attempt:
                    if claim.body == body:
                        return Expected(same=claim.answer)
                    return Expected(error="idempotency_mismatch")
                return Expected(error="reservation_finalized")
            if claim is None and final:
                return self._settle_inside(call, at, cost, attempt, body)
            call.claim = Ended(STRICT)
        error = self.unknown(call, by_token, promised)
        if error:
            return Expected(error=error)
        return self._settle_strictly(self.target(call), cost, attempt, final, body)

    def _settle_inside(
        self, call: Call, at: Worker, cost: int | None, attempt: int, body: Any
    ) -> Expected:
        cost = call.amount if cost is None else cost
        # A call is first paid by its hold. What it cost beyond may be free in the lease.
        first = call.first_amount

        def commit(answer: Any) -> None:
            call.claim = Ended("settled", attempt, body, answer)
            over = int(answer["overrun"]["amount_nanos"])
            written = Written("settled", call.key, None, cost, over, attempt, body, answer)
            self._write(call, at, written)

        return Expected(
            cost=cost,
            refunded=(max(0, first - cost),) * 2,
            overrun=(0, max(0, cost - first)),
            commit=commit,
        )

    def _write(self, call: Call, at: Worker, written: Written) -> None:
        call.waits.append(written)
        at.journal.append(written)
        if at is call.worker:
            call.named = False

    def _settle_strictly(
        self, call: Call, cost: int | None, attempt: int, final: bool, body: Any
    ) -> Expected:
        if attempt in call.attempts:
            before, answer = call.attempts[attempt]
            if before == body:
                return Expected(same=answer)
            return Expected(error="idempotency_mismatch")
        if call.state in ("settled", "released"):
            return Expected(error="reservation_finalized")
        late = call.state != "open"
        if cost is None:
            cost = call.open or max(0, call.amount - call.settled)
        covered = min(cost, call.open)
        overrun = (cost - covered,) * 2
        refunded = (call.open - covered if final else 0,) * 2
        if late and call.inside:
            overrun, refunded = (max(0, cost - call.amount), cost), (0, 0)

        def commit(answer: Any) -> None:
            over = int(answer["overrun"]["amount_nanos"])
            self.pay(call, cost, over, over)
            call.attempts[attempt] = (body, answer)
            if not (late and call.inside):
                call.inside = call.inside and final
                call.open -= covered
            if final:
                call.state, call.open = "settled", 0

        return Expected(cost=cost, refunded=refunded, overrun=overrun, late=late, commit=commit)

    def release(
        self,
        call: Call,
        at: Worker | None,
        *,
        by_token: bool,
        now: datetime,
        promised: bool,
    ) -> Expected:
        if self.in_lease(call, at, now, by_token) and at is not None:
            claim = call.claim
            if claim is not None and claim.kind != STRICT:
                if claim.kind == "released":
                    return Expected(same=claim.answer)
                return Expected(error="reservation_finalized")
            if claim is None:

                def write(answer: Any) -> None:
                    call.claim = Ended("released", 0, None, answer)
                    self._write(call, at, Written("released", call.key, answer=answer))

                return Expected(refunded=(call.first_amount,) * 2, late=None, commit=write)
        error = self.unknown(call, by_token, promised)
        if error:
            return Expected(error=error)
        found = self.target(call)
        if found.state == "released" and found.released is not None:
            return Expected(same=found.released)
        if found.state not in ("open", "expired"):
            return Expected(error="reservation_finalized")
        lost = found.state == "expired" and found.inside

        def commit(answer: Any) -> None:
            found.state, found.open, found.released = "released", 0, answer

        refunded = (0, found.amount) if lost else (found.open,) * 2
        return Expected(refunded=refunded, late=None, commit=commit)

    def extend(
        self, call: Call, at: Worker | None, *, by_token: bool, now: datetime, promised: bool
    ) -> str:
        """Which error must be answered? '' = the hold is there, and leaves its lease."""
        if self.in_lease(call, at, now, by_token):
            if call.claim is not None and call.claim.kind != STRICT:
                return "reservation_finalized"
            call.claim = Ended(STRICT)
        error = self.unknown(call, by_token, promised)
        if error:
            return error
        return "" if self.target(call).state == "open" else "reservation_finalized"

    # --- the books --------------------------------------------------------------------------

    def book(self, host: str) -> None:
        """All that the workers of this host wrote is booked; the dead are over."""
        mine = [worker for worker in self.workers if worker.host == host and not worker.over]
        written = [each for worker in mine for each in worker.journal]
        for each in written:
            if each.kind in ("reserved", "denied"):
                self._begin(each)
        for each in written:
            if each.kind in ("settled", "released") and each.key is not None:
                call = self.calls[each.key]
                call.waits.remove(each)
                if each.kind == "settled":
                    self._book_settle(self.target(call), each)
                elif self.target(call).state in ("open", "expired"):
                    found = self.target(call)
                    found.state, found.open, found.released = "released", 0, each.answer
        for worker in mine:
            worker.journal.clear()
            worker.over = not worker.alive

    def _begin(self, each: Written) -> None:
        call = self.calls[each.key] if each.key else None
        if call is not None:
            call.booked = True
        if each.request is None:
            return
        request_id, body = each.request
        first = self.logged.setdefault(request_id, (each.key, body, each.answer))
        if call is not None and first[0] not in (None, call.key) and first[1] == body:
            call.alias_of, call.state, call.open = first[0], "released", 0

    def _book_settle(self, call: Call, each: Written) -> None:
        if each.attempt in call.attempts:
            return
        call.attempts[each.attempt] = (each.body, each.answer)
        if call.state in ("settled", "released"):
            self.pay(call, each.cost, each.cost, each.cost)
            return
        beyond = max(0, each.cost - call.open)
        least, most = (min(each.overrun, beyond), beyond) if call.inside else (beyond, beyond)
        if call.doubt:
            least, most = 0, each.cost
        self.pay(call, each.cost, least, most)
        call.state, call.open = "settled", 0

    def lose(self, host: str) -> None:
        """The host is gone with its journals; what waited there is known to callers alone."""
        for worker in self.workers:
            if worker.host == host and not worker.over:
                worker.alive, worker.over = False, True
                worker.journal.clear()
        for call in self.calls.values():
            if call.worker is not None and call.worker.host == host:
                call.waits.clear()
                call.lost = call.lost or not call.booked

    def set_cap(self, name: str, cap: int, now: datetime, guarded: Mapping[Cell, int]) -> None:
        """`guarded` = what stood in the balances when it was changed."""
        for cell, stood in guarded.items():
            if cell[0] == name and self.end(cell) > now:
                before = self.limits.get(cell, self.envelopes[name].cap)
                self.limits[cell] = max(cap, min(before, stood))
        self.envelopes[name].cap = cap
