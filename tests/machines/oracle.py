"""What should spend control answer? An independent model in plain dictionaries.

Written from product.md sections 4-6 alone; it shares no code with `policies`. It predicts the
decision, the first reason code, the amount held and every balance. All prices are those of the
tests: 2,500 nanos for a token in, 15,000 for a token out.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

IN, OUT = 2_500, 15_000
TTL = timedelta(seconds=600)
GRACE = timedelta(seconds=5)
WINDOW = timedelta(hours=24)
DEFAULT_OUTPUT = 1_024
USEFUL_OUTPUT = 128


@dataclass
class Row:
    """One envelope in one period, in nanos."""

    cap: int | None
    limit: int | None
    settled: int = 0
    held: int = 0
    unsettled: int = 0
    unguarded: int = 0

    def exposure(self) -> int:
        return self.settled + self.held + self.unsettled

    def guarded(self) -> int:
        return self.exposure() - self.unguarded

    def left(self) -> int | None:
        return None if self.cap is None else self.cap - self.exposure()


@dataclass
class Env:
    """One envelope as it is in force. `kind` is month or day, in UTC."""

    name: str
    parent: str | None
    kind: str
    cap: int | None
    frozen: bool = False
    per_call: int | None = None


@dataclass
class Res:
    """One reservation."""

    cells: list[tuple[str, datetime]]
    amount: int
    open: int
    at: datetime
    expires: datetime
    tokens: tuple[int, int]
    state: str = "open"
    settled: int = 0
    attempts: dict[int, tuple[object, ...]] = field(default_factory=dict)


@dataclass
class Answer:
    """What authorize or extend must say."""

    goes: bool
    code: str
    amount: int = 0
    output: int = 0


@dataclass
class Booked:
    """What settle must say."""

    cost: int
    refunded: int
    overrun: int
    late: bool


class Oracle:
    """The whole company: a use case name is also the name of its envelope."""

    def __init__(self, envelopes: list[Env]) -> None:
        self.envelopes = {each.name: each for each in envelopes}
        self.rows: dict[tuple[str, datetime], Row] = {}
        self.reservations: dict[str, Res] = {}

    # --- places -----------------------------------------------------------------------------

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

    def cells(self, leaf: str, at: datetime) -> list[tuple[str, datetime]]:
        return [(env.name, self.start(env.kind, at)) for env in self.path(leaf)]

    def row(self, cell: tuple[str, datetime]) -> Row:
        """The row of a cell, or what it would be if it began now."""
        env = self.envelopes[cell[0]]
        return self.rows.get(cell, Row(env.cap, env.cap))

    def begin(self, cells: list[tuple[str, datetime]]) -> None:
        for cell in cells:
            if cell not in self.rows:
                self.rows[cell] = self.row(cell)

    # --- verbs ------------------------------------------------------------------------------

    def decide(
        self, leaf: str, cells: list[tuple[str, datetime]], tokens: int, output: int | None
    ) -> Answer:
        path = self.path(leaf)
        if any(env.frozen for env in path):
            return Answer(False, "ENVELOPE_FROZEN")
        rows = [self.row(cell) for cell in cells]
        own = rows[-1].left()
        above = [left for left in (row.left() for row in rows[:-1]) if left is not None]
        limits: list[tuple[str, int]] = [
            ("PER_CALL_LIMIT", env.per_call)
            for env in reversed(path)
            if env.per_call is not None
        ]
        if own is not None:
            limits.append(("ENVELOPE_HARD_LIMIT", own))
        if above:
            limits.append(("PARENT_ENVELOPE_EXHAUSTED", min(above)))
        wanted = DEFAULT_OUTPUT if output is None else output
        if output is None and limits:
            room = min(limit for _, limit in limits) - tokens * IN
            wanted = min(wanted, room // OUT if room >= 0 else 0)
            wanted = max(wanted, USEFUL_OUTPUT)
        worst = tokens * IN + wanted * OUT
        for code, limit in limits:
            if worst > limit:
                return Answer(False, code)
        code = "CAPPED_TOKENS" if output is None else "OK_WITHIN_ENVELOPE"
        return Answer(True, code, worst, wanted)

    def authorize(self, leaf: str, now: datetime, tokens: int, output: int | None) -> Answer:
        return self.decide(leaf, self.cells(leaf, now), tokens, output)

    def hold(self, key: str, leaf: str, now: datetime, tokens: int, answer: Answer) -> None:
        cells = self.cells(leaf, now)
        self.begin(cells)
        for cell in cells:
            self.rows[cell].held += answer.amount
        self.reservations[key] = Res(
            cells, answer.amount, answer.amount, now, now + TTL, (tokens, answer.output)
        )

    def settle(
        self, key: str, cost: int | None, *, attempt: int, final: bool, body: tuple
    ) -> Booked | str:
        """`cost` None = not reported. A text is the error's code."""
        res = self.reservations[key]
        if attempt in res.attempts:
            return "repeat" if res.attempts[attempt] == body else "idempotency_mismatch"
        if res.state in ("settled", "released"):
            return "reservation_finalized"
        late = res.state in ("expired", "written_off")
        if cost is None:
            cost = res.open or max(0, res.amount - res.settled)
        covered = min(cost, res.open)
        freed = res.open if final else covered
        unguarded = cost - covered
        for cell in res.cells:
            row = self.rows[cell]
            row.settled += cost
            row.unguarded += unguarded
            if late:
                row.unsettled -= freed
            else:
                row.held -= freed
        self.ratchet(res.cells)
        res.open -= freed
        res.settled += cost
        res.attempts[attempt] = body
        if final:
            res.state = "settled"
        return Booked(cost, freed - covered, cost - covered, late)

    def release(self, key: str) -> int | str:
        res = self.reservations[key]
        if res.state not in ("open", "expired"):
            return "reservation_finalized"
        for cell in res.cells:
            row = self.rows[cell]
            if res.state == "open":
                row.held -= res.open
            else:
                row.unsettled -= res.open
        self.ratchet(res.cells)
        given, res.open, res.state = res.open, 0, "released"
        return given

    def lengthen(self, key: str, now: datetime, seconds: int) -> str:
        res = self.reservations[key]
        if res.state != "open":
            return "reservation_finalized"
        res.expires = max(res.expires, now + timedelta(seconds=seconds))
        return "ok"

    def grow(self, key: str, output: int) -> Answer | str:
        res = self.reservations[key]
        if res.state != "open":
            return "reservation_finalized"
        for cell in res.cells:
            self.rows[cell].held -= res.open
        answer = self.decide(res.cells[-1][0], res.cells, res.tokens[0], output)
        for cell in res.cells:
            self.rows[cell].held += res.open
        if answer.goes:
            more = max(0, answer.amount - res.open)
            for cell in res.cells:
                self.rows[cell].held += more
            res.open += more
            res.amount += more
            res.tokens = (res.tokens[0], output)
        return answer

    def expire(self, now: datetime) -> int:
        due = [
            res
            for res in self.reservations.values()
            if res.state == "open" and res.expires + GRACE <= now
        ]
        for res in due:
            for cell in res.cells:
                self.rows[cell].held -= res.open
                self.rows[cell].unsettled += res.open
            res.state = "expired" if res.open else "written_off"
        return len(due)

    def write_off(self, now: datetime) -> int:
        due = [
            res
            for res in self.reservations.values()
            if res.state == "expired" and res.expires + WINDOW <= now
        ]
        for res in due:
            for cell in res.cells:
                self.rows[cell].unsettled -= res.open
            self.ratchet(res.cells)
            res.open, res.state = 0, "written_off"
        return len(due)

    def set_cap(self, name: str, cap: int, now: datetime) -> None:
        env = self.envelopes[name]
        env.cap = cap
        for (owner, start), row in self.rows.items():
            if owner == name and self.end(env.kind, start) > now:
                row.cap = cap
                before = row.guarded() if row.limit is None else row.limit
                row.limit = max(cap, min(before, row.guarded()))

    @staticmethod
    def end(kind: str, start: datetime) -> datetime:
        if kind == "day":
            return start + timedelta(days=1)
        return (start + timedelta(days=32)).replace(day=1)

    def ratchet(self, cells: list[tuple[str, datetime]]) -> None:
        for cell in cells:
            row = self.rows[cell]
            if row.cap is not None and row.limit is not None:
                row.limit = max(row.cap, min(row.limit, row.guarded()))
