"""What happens to the books when everything that can go wrong goes wrong, in a seeded order?

`Simulator` lives one life of a small company on a real PostgreSQL, under a virtual clock that
jumps both ways: policy verbs, repeated and reordered ones, usage, reversals, sweeps, sealing,
writers and sealers that lose their connection at any statement, a sealer with an older fence.
It keeps its own list of facts: which entries must exist because an answer said so. After a
crash an operation is whole or absent; it is asked again and then there exactly once.
Not simulated: the close of a period.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from django.db import connection, connections

from ledger import facade as ledger
from ledger.operations.open_sealer import SealerElsewhere
from ledger.operations.seal import FenceLost
from ledger.operations.sign import Signed, read_signed, sign_if_due
from o10.kernel import ids
from o10.kernel.errors import O10Error
from o10.wire.facts import UsageRecord
from policies import facade as policies
from policies.models import DecisionLog
from tests.operations.policies.company import (
    DOLLAR,
    FINANCE,
    NOW,
    ROUTER,
    ask,
    forget_everything,
    let_go,
    make_tree,
    make_use_case,
    pay,
    prolong,
)

from .crash import dies_at

Fact = tuple[str, str]
"""Kind of entry and what makes it one of its kind: a reservation, an attempt, a uid."""
LONGEST_CRASH = 30
"""Points before and after a statement; a crash beyond the last one does not happen."""
GRACE = timedelta(seconds=5)
CALL = {"input_tokens": 400, "max_output_tokens": 300}

READ_FACTS = """
SELECT kind, uid::text, reservation::text, reverses::text, attempt FROM ledger_entry
WHERE kind = ANY(%s)
"""


@dataclass
class Held:
    """What does the model know of one reservation?"""

    answer: dict[str, Any]
    expires_at: datetime
    state: str = "open"
    reopened: int = 0
    settles: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    """Requests of settles and how they were answered."""

    @property
    def uuid(self) -> UUID:
        return ids.uuid_of(self.answer["reservation"]["id"].split(".")[0])


@dataclass
class Done:
    """What must be there since an operation was acknowledged, and what is remembered of it?"""

    facts: list[Fact]
    remember: Callable[[], None] = lambda: None


class Simulator:
    """One seeded life. `step(name)` does one thing; `check()` looks at everything."""

    def __init__(self, *, seed: int, urls: Any, key_file: Path) -> None:
        self.chance = random.Random(seed)
        self.urls, self.now = urls, NOW
        self.tally: Counter[str] = Counter()
        self.story: list[str] = []
        self.facts: Counter[Fact] = Counter()
        self.holds: list[Held] = []
        self.requests: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.usages: list[UsageRecord] = []
        self.reversible: list[UUID] = []
        self.late: dict[UUID, Held] = {}
        self.reversals: list[tuple[UUID, str, UUID]] = []
        self.number = 0
        self.company = ledger.ledger_of_company()
        self.key = ledger.load_signing_key(path=key_file, name=self.company.origin)
        self.links: list[psycopg.Connection[Any]] = []
        self.kept = ""
        over = {"allow_overallocation": True}
        make_tree(company=DOLLAR, department=DOLLAR // 2, use_case=DOLLAR // 4, **over)
        make_use_case(slug="search")
        self.sealer = self._open_sealer()
        self.signed: Signed = read_signed(self.sealer)

    @classmethod
    def kinds(cls) -> list[str]:
        """What can happen in a step?"""
        return [name.removeprefix("do_") for name in dir(cls) if name.startswith("do_")]

    def step(self, name: str) -> None:
        """One thing happens, a moment after the last one."""
        self.now += timedelta(milliseconds=self.chance.randrange(150, 4_000))
        self.story.append(f"{self.now:%d %H:%M:%S} {name}")
        getattr(self, f"do_{name}")()

    def close(self) -> None:
        """Lets go of every connection."""
        for link in self.links:
            link.close()
        connections.close_all()

    # --- what a caller does -----------------------------------------------------------------

    def do_authorize(self) -> None:
        self._authorize(**CALL)

    def do_deny(self) -> None:
        answer = self._authorize(input_tokens=10**8, max_output_tokens=1)
        assert answer["decision"] == "deny"
        self.tally["denied"] += 1

    def do_repeat(self) -> None:
        """A request from any time before comes again and gets the same bytes."""
        if not self.requests:
            self.do_authorize()
        request, first = self.chance.choice(self.requests)
        assert self._acknowledged(lambda: ask(now=self.now, **request)) == first
        self.tally["repeated"] += 1

    def do_settle(self) -> None:
        self._settle(self._a_hold("open"))
        self.tally["settled"] += 1

    def do_settle_in_parts_reordered(self) -> None:
        """The second attempt arrives before the first; then each of them once more."""
        held = self._a_hold("open")
        for attempt in (3, 2, 3, 2):
            self._settle(held, attempt=attempt, final=False, usage=(10, 5 + attempt))
        self._settle(held, attempt=1)
        self.tally["settled in parts"] += 1

    def do_settle_late(self) -> None:
        if not any(held.state == "expired" for held in self.holds):
            self._expire_all()
        self._settle(self._a_hold("expired"))
        self.tally["settled late"] += 1

    def do_settle_again(self) -> None:
        """The same settle gets its bytes; another one is refused and leaves nothing."""
        ended = [held for held in self.holds if held.state == "settled"]
        if not ended:
            ended = [self._a_hold("open")]
            self._settle(ended[0])
        held = self.chance.choice(ended)
        request, first = self.chance.choice(held.settles)
        assert self._acknowledged(lambda: pay(held.answer, now=self.now, **request)) == first
        assert self._refused(lambda: pay(held.answer, now=self.now, attempt=77))
        assert self._refused(lambda: let_go(held.answer, now=self.now))
        self.tally["settled again"] += 1

    def do_release(self) -> None:
        held = self._a_hold("open")
        self._write(
            lambda: let_go(held.answer, now=self.now),
            lambda _: Done([("release", str(held.uuid))], _state(held, "released")),
        )
        self.tally["released"] += 1

    def do_extend(self) -> None:
        held = self._a_hold("open")
        before = self._booked()
        self._acknowledged(lambda: prolong(held.answer, now=self.now, ttl_s=7_200))
        row = self._query("SELECT expires_at FROM reservation WHERE id = %s", held.uuid)
        held.expires_at = row[0][0]
        self.facts = before + Counter([("reserve", str(held.uuid))])
        assert self._booked() == self.facts
        self.tally["extended"] += 1

    def do_usage(self) -> None:
        """New records beside some that were sent before, in any order."""
        fresh = [self._record() for _ in range(self.chance.randrange(1, 4))]
        sent = [record for record in self.usages if record.at <= self.now]
        records = [*fresh, *self.chance.sample(sent, min(2, len(sent)))]
        self.chance.shuffle(records)
        new = {record.key for record in fresh}

        def done(report: Any) -> Done:
            uids = [
                item.uid
                for record, item in zip(records, report.items, strict=True)
                if record.key in new
            ]
            return Done(
                [("usage", str(uid)) for uid in uids],
                lambda: (self.usages.extend(fresh), self.reversible.extend(uids)),
            )

        self._write(
            lambda: ledger.record_usage(records=records, caller=ROUTER, now=self.now), done
        )
        self.tally["usage"] += len(fresh)

    def do_reversal(self) -> None:
        if not self.reversible:
            self.do_usage()
        uid = self.reversible.pop(self.chance.randrange(len(self.reversible)))
        key = f"reversal-{uid}"
        self._write(
            lambda: self._reverse(uid, key),
            lambda written: Done(
                [("reversal", str(uid))],
                lambda: self._keep_reversal(uid, key, written.uid),
            ),
        )
        self.tally["reversed"] += 1

    def _keep_reversal(self, uid: UUID, key: str, own: UUID) -> None:
        self.reversals.append((uid, key, own))
        held = self.late.pop(uid, None)
        if held is not None:
            # What the late settle had proven is open again, to another attempt.
            held.state, held.reopened = "expired", held.reopened + 1

    def do_reversal_again(self) -> None:
        """The same key is answered as before; another is refused, and so is its reversal."""
        if not self.reversals:
            self.do_reversal()
        uid, key, first = self.chance.choice(self.reversals)
        assert self._acknowledged(lambda: self._reverse(uid, key)).uid == first
        assert self._refused(lambda: self._reverse(uid, f"other-{self._next()}"))
        assert self._refused(lambda: self._reverse(first, f"of-{self._next()}"))
        self.tally["reversed again"] += 1

    # --- what time does ---------------------------------------------------------------------

    def do_clock_forwards(self) -> None:
        self.now += timedelta(minutes=self.chance.choice((1, 12, 90, 700, 2_000)))
        self.tally["clock forwards"] += 1

    def do_clock_backwards(self) -> None:
        """Never to before the company was founded: its policy would not be there yet."""
        self.now = max(NOW, self.now - timedelta(minutes=self.chance.choice((1, 30, 3_000))))
        self.tally["clock backwards"] += 1

    def do_expiry_sweep(self) -> None:
        self._expire_all()

    def do_write_off_sweep(self) -> None:
        held = self._a_hold("open")
        self.now = max(self.now, held.expires_at + GRACE)
        self._expire_all()
        self.now += timedelta(hours=25)
        before = self._booked()
        count = self._acknowledged(lambda: policies.write_off_due(now=self.now))
        added = self._booked() - before
        assert {kind for kind, _ in added} <= {"write_off"}
        assert sum(added.values()) == count >= 1
        for each in self.holds:
            if each.state == "expired" and ("write_off", str(each.uuid)) in added:
                each.state = "written_off"
        assert held.state == "written_off"
        self.facts += added
        self.tally["written off"] += count

    # --- what breaks ------------------------------------------------------------------------

    def do_writer_crash(self) -> None:
        """The next write of any kind dies at any point; `_write` asks it again."""
        self.crash_at = self.chance.randrange(LONGEST_CRASH)
        doing = self.chance.choice((self.do_authorize, self.do_usage, self.do_reversal))
        if any(held.state == "open" for held in self.holds) and self.chance.random() < 0.6:
            doing = self.chance.choice((self.do_settle, self.do_release))
        doing()

    crash_at: int | None = None

    def do_sweep_crash(self) -> None:
        """A sweep dies between two holds or inside one; the next sweep goes on."""
        held = self._a_hold("open")
        self.now = max(self.now, held.expires_at + GRACE)
        self.crash_at = self.chance.randrange(LONGEST_CRASH)
        self._expire_all()

    def do_seal(self) -> None:
        sealed = ledger.seal_once(self.sealer, now=self.now, limit=self.chance.randrange(1, 60))
        self.signed = sign_if_due(self.sealer, self.signed, key=self.key, now=self.now)
        self.tally["sealed"] += sealed.count

    def do_sealer_crash(self) -> None:
        """The sealer dies at any point, commit and signature included; the next one goes on."""
        self.do_usage()
        self._wait_for_horizon()
        before = self.sealer.seq
        with dies_at(self.chance.randrange(LONGEST_CRASH)) as death:
            ledger.seal_once(self.sealer, now=self.now)
            sign_if_due(self.sealer, self.signed, key=self.key, now=self.now)
        self.tally["sealer crashed"] += death.happened
        self.sealer.connection.close()
        self.sealer = self._open_sealer()
        self.signed = read_signed(self.sealer)
        assert self.sealer.seq in (before, self._count("ledger_seal"))

    def do_second_sealer(self) -> None:
        """One more is sent away; one whose session lost its lock changes nothing."""
        self.do_usage()
        self._wait_for_horizon()
        stranger = self._link()
        try:
            ledger.open_sealer(
                stranger, ledger=self.company, keys=(self.key.verifier,), now=self.now
            )
        except SealerElsewhere:
            self.tally["second sealer sent away"] += 1
        stranger.close()
        old, sealed = self.sealer, self._count("ledger_seal")
        old.connection.execute("SELECT pg_advisory_unlock_all()")
        self.sealer = self._open_sealer()
        try:
            ledger.seal_once(old, now=self.now)
        except FenceLost:
            self.tally["older fence refused"] += 1
        assert self._count("ledger_seal") == sealed
        old.connection.close()
        self.do_seal()

    # --- the rules that must hold -------------------------------------------------------------

    def check(self) -> None:
        """Acknowledged exactly once, nothing half there, no finding anywhere, no gap."""
        assert self._booked() == self.facts
        assert self._query(_HALF_DECISIONS) == []
        positions = [row[0] for row in self._query("SELECT seq FROM ledger_seal ORDER BY seq")]
        assert positions == list(range(1, len(positions) + 1))
        assert ledger.find_altered_prices() is None
        audit = ledger.verify_ledger(
            mode=ledger.VerifierMode.FULL,
            keys=(self.key.verifier,),
            trusted=(self.kept,) if self.kept else (),
            and_also=self._drifts,
        )
        lines = [finding.line() for finding in audit.findings]
        assert lines == [], "\n".join([*lines, *self.story])
        assert audit.size == len(positions)
        self.kept = audit.note or self.kept
        self.tally["verified"] += 1

    def seal_all(self) -> None:
        """Everything written gets its position and a signature over all of it."""
        self._wait_for_horizon()
        while ledger.seal_once(self.sealer, now=self.now).count:
            pass
        self.now = max(self.now, self.signed.at + timedelta(seconds=2))
        self.signed = sign_if_due(self.sealer, self.signed, key=self.key, now=self.now)
        while ledger.seal_once(self.sealer, now=self.now).count:
            pass
        assert self.sealer.seq == self._count("ledger_entry")

    def _drifts(self) -> list[Any]:
        return [
            ledger.Finding(
                "balance_drift", 0, "", row.column, str(row.expected), str(row.found)
            )
            for row in policies.check_conservation()
        ]

    # --- one write ----------------------------------------------------------------------------

    def _write(self, call: Callable[[], Any], done: Callable[[Any], Done]) -> Any:
        """Runs a write of one transaction; after a crash: whole or absent, and repeated."""
        before = self._booked()
        answer, middle = self._attempt(call)
        what = done(answer)
        self.facts = before + Counter(what.facts)
        assert middle is None or middle in (before, self.facts), "half of it is there"
        assert self._booked() == self.facts
        what.remember()
        return answer

    def _attempt(self, call: Callable[[], Any]) -> tuple[Any, Counter[Fact] | None]:
        """The answer, and what was there after the crash, if there was one."""
        point, self.crash_at = self.crash_at, None
        if point is None:
            return self._acknowledged(call), None
        with dies_at(point) as death:
            answer = call()
        if not death.happened:
            return answer, None
        self.tally["writer crashed"] += 1
        connections["default"].close()
        if self.chance.random() < 0.5:
            # The process is gone; else only its connection is, and it remembers.
            forget_everything()
        middle = self._booked()
        assert policies.check_conservation() == []
        self.now += timedelta(seconds=self.chance.randrange(3))
        return self._acknowledged(call), middle

    @staticmethod
    def _acknowledged(call: Callable[[], Any]) -> Any:
        return call()

    def _refused(self, call: Callable[[], Any]) -> bool:
        """Is it refused and leaves nothing behind?"""
        before = self._booked()
        try:
            call()
        except O10Error as error:
            self.tally[f"refused {error.code}"] += 1
            return self._booked() == before
        return False

    def _authorize(self, **fields: Any) -> dict[str, Any]:
        request = {"request_id": f"r{self._next()}", **fields}

        def done(answer: dict[str, Any]) -> Done:
            log = DecisionLog.objects.get(id=ids.uuid_of(answer["decision_id"]))
            held = _held(answer) if answer["reservation"] else None
            facts = [("reserve", str(held.uuid))] if held else []
            if held is None and log.entry_uid is not None:
                facts = [("deny", str(log.entry_uid))]
            return Done(facts, lambda: self._keep(request, answer, held))

        return self._write(lambda: ask(now=self.now, **request), done)

    def _keep(self, request: dict[str, Any], answer: dict[str, Any], held: Held | None) -> None:
        self.requests.append((request, answer))
        if held is not None:
            self.holds.append(held)
            self.tally["authorized"] += 1

    def _settle(self, held: Held, **fields: Any) -> None:
        output = self.chance.choice((0, 60, 300, 900))
        request: dict[str, Any] = {
            "usage": (400, output),
            "attempt": 1 + 10 * held.reopened,
            **fields,
        }
        attempt = request["attempt"]
        again = [answer for known, answer in held.settles if known["attempt"] == attempt]

        def done(answer: dict[str, Any]) -> Done:
            if again:
                assert answer == again[0]
                return Done([])
            uid = ids.uuid_of(answer["entry_id"])
            facts = [("settle", str(uid))]
            if int(answer["overrun"]["amount_nanos"]):
                facts.append(("overrun", f"{held.uuid}#{attempt}"))
            return Done(facts, lambda: settled(answer, uid))

        def settled(answer: dict[str, Any], uid: UUID) -> None:
            held.settles.append((request, answer))
            self.reversible.append(uid)
            if answer["late"]:
                self.late[uid] = held
            if request.get("final", True):
                held.state = "settled"

        self._write(lambda: pay(held.answer, now=self.now, **request), done)

    def _expire_all(self) -> None:
        """Whoever is due expires, once; nobody else does."""
        if not any(self._is_due(held) for held in self.holds):
            held = self._a_hold("open")
            self.now = max(self.now, held.expires_at + GRACE)
        before = self._booked()
        _, middle = self._attempt(lambda: policies.expire_due(now=self.now))
        due = [held for held in self.holds if self._is_due(held)]
        self.facts = before + Counter(("expire", str(held.uuid)) for held in due)
        assert middle is None or before <= middle <= self.facts
        assert self._booked() == self.facts
        for held in due:
            held.state = "expired"
        self.tally["expired"] += len(due)

    def _is_due(self, held: Held) -> bool:
        return held.state == "open" and held.expires_at + GRACE <= self.now

    def _a_hold(self, state: str) -> Held:
        """One in this state; a fresh one when there is none and it can be had."""
        having = [held for held in self.holds if held.state == state]
        if having:
            return self.chance.choice(having)
        crash, self.crash_at = self.crash_at, None
        for _ in range(2):
            self._authorize(**CALL)
            if self.holds and self.holds[-1].state == state:
                self.crash_at = crash
                return self.holds[-1]
            self._raise_caps()
        raise AssertionError(f"no hold is {state}")

    def _raise_caps(self) -> None:
        for line in policies.list_envelopes(now=self.now).items:
            change = policies.EnvelopeChange(
                amount_nanos=int(line.cap_nanos or 0) * 10, reason="more"
            )
            policies.change_envelope(
                envelope=line.id, change=change, actor=FINANCE, now=self.now
            )
        self.tally["caps raised"] += 1

    def _record(self) -> UsageRecord:
        at = self.now - timedelta(minutes=self.chance.randrange(0, 600))
        body = {
            "id": f"u{self._next()}",
            "source": "router",
            "at": at,
            "use_case": self.chance.choice(("support", "support", "search", "nobody")),
            "model": "gpt-x",
            "usage": {"input_tokens": 10, "output_tokens": self.chance.randrange(50)},
        }
        return msgspec.convert(body, UsageRecord)

    def _reverse(self, uid: UUID, key: str) -> Any:
        return ledger.reverse(
            uid=uid,
            key=key,
            reason="wrong price",
            requested_by="usr_maker",
            approved_by="usr_checker",
            actor_id=0,
            now=self.now,
        )

    # --- the database as it is ----------------------------------------------------------------

    def _booked(self) -> Counter[Fact]:
        """Which facts do the entries state?"""
        names = {int(kind): kind.name.lower() for kind in ledger.Kind}
        names = {number: name for number, name in names.items() if name in _KEYS}
        rows = self._query(READ_FACTS, list(names))
        return Counter((names[row[0]], _KEYS[names[row[0]]](*row[1:])) for row in rows)

    def _query(self, statement: str, *parameters: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall()

    def _count(self, table: str) -> int:
        return int(self._query(f"SELECT count(*) FROM {table}")[0][0])

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _link(self) -> "psycopg.Connection[Any]":
        self.links.append(psycopg.connect(self.urls.sealer_url, autocommit=True))
        return self.links[-1]

    def _open_sealer(self) -> ledger.Sealer:
        """The server needs a moment to see that the last session is gone."""
        for _ in range(200):
            link = self._link()
            try:
                return ledger.open_sealer(
                    link, ledger=self.company, keys=(self.key.verifier,), now=self.now
                )
            except SealerElsewhere:
                link.close()
                time.sleep(0.02)
        raise TimeoutError("the advisory lock was never released")

    def _wait_for_horizon(self) -> None:
        """Transactions of dropped connections end before what follows is sealed."""
        newest = self._query("SELECT max(xid)::text FROM ledger_entry")[0][0]
        for _ in range(200):
            if self._query("SELECT %s::xid8 < pg_snapshot_xmin(pg_current_snapshot())", newest)[
                0
            ][0]:
                return
            time.sleep(0.02)
        raise TimeoutError("a transaction never ended")


_KEYS: dict[str, Callable[[str, str, str, int], str]] = {
    "reserve": lambda uid, reservation, reverses, attempt: reservation,
    "settle": lambda uid, reservation, reverses, attempt: uid,
    "overrun": lambda uid, reservation, reverses, attempt: f"{reservation}#{attempt}",
    "release": lambda uid, reservation, reverses, attempt: reservation,
    "expire": lambda uid, reservation, reverses, attempt: reservation,
    "write_off": lambda uid, reservation, reverses, attempt: reservation,
    "usage": lambda uid, reservation, reverses, attempt: uid,
    "reversal": lambda uid, reservation, reverses, attempt: reverses,
    "deny": lambda uid, reservation, reverses, attempt: uid,
}
_HALF_DECISIONS = """
SELECT d.id FROM policies_decision_log d
LEFT JOIN ledger_entry e ON e.uid = d.entry_uid
LEFT JOIN reservation r ON r.id = d.reservation
WHERE (d.entry_uid IS NOT NULL AND e.uid IS NULL)
   OR (d.decision IN ('allow', 'allow_with_caps')) <> (r.id IS NOT NULL)
"""


def _held(answer: dict[str, Any]) -> Held:
    return Held(answer, datetime.fromisoformat(answer["reservation"]["expires_at"]))


def _state(held: Held, state: str) -> Callable[[], None]:
    def change() -> None:
        held.state = state

    return change
