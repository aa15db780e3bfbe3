"""How does a business result get into o10: once, with the way it finds its calls?

Each result is an `outcome` entry of amount 0. Its type and id are its identity for good; while
the attribution window is open, the next revision may say that it was otherwise. A wrong result
among many is told by its place; the right ones are written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger import facade as ledger
from o10.access.checks import can_see_use_case, check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import FieldError, O10Error
from o10.kernel.periods import zone_of
from policies import facade as policies
from reports.models import Outcome, OutcomeValue, RunCost
from reports.queries.outcome_values import WINDOW_DAYS

FUTURE_MAX: Final = timedelta(minutes=5)
YEARS: Final = range(2000, 2201)
_ZERO: Final = ledger.ZERO_UUID
_SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeDraft:
    """Which result happened, as a business system tells it?

    Shape: `kind` and `name` are its type and id; `use_case` a slug, or None when the decision,
    the run or the approved type says whose it is. `at` None = now. `count` above 1 = it stands
    for so many results of one day; then it names no call.
    """

    kind: str
    name: str
    success: bool
    count: int = 1
    revision: int = 1
    at: datetime | None = None
    use_case: str | None = None
    decision: str | None = None
    run_id: str | None = None
    customer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeResult:
    """What became of one result? `error` names what is wrong with a refused one."""

    kind: str
    name: str
    revision: int
    status: str
    entry_id: str | None
    join: str | None
    error: FieldError | None


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """What became of the results, in the order sent?"""

    items: tuple[OutcomeResult, ...]

    def count(self, status: str) -> int:
        """How many have this status?"""
        return sum(item.status == status for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Which result did a router tell beside a settle or a usage record?"""

    use_case: int
    kind: str
    name: str
    success: bool
    at: datetime
    run: UUID
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    use_case: int
    kind: str
    name: str
    revision: int
    success: bool
    count: int
    at: datetime
    run: UUID
    customer: UUID
    join: str
    source: str
    body: Mapping[str, object]

    @property
    def uid(self) -> UUID:
        key = f"{self.kind}\n{self.name}\n{self.revision}"
        return ids.uid(scope="outcome", key=key, origin_ms=0)

    @property
    def hash(self) -> bytes:
        said = f"{self.kind}\n{self.name}\n{self.revision}\n{self.use_case}\n{self.success}"
        return sha256(f"{said}\n{self.count}".encode()).digest()


class _Wrong(ValueError):
    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code, self.message = field, code, message


def record_outcomes(
    *, drafts: Sequence[OutcomeDraft], actor: Caller, now: datetime
) -> OutcomeReport:
    """What was written for these results? Idempotent by type, id and revision of each.

    Raises: Forbidden (`forbidden`) when the caller may not tell results at all.
    Locks: the keys of the results in ascending order.
    """
    check(caller=actor, action=Action.RECORD_USAGE)
    known = _Known.of(drafts)
    problems: dict[int, FieldError] = {}
    ready: dict[int, _Ready] = {}
    for place, draft in enumerate(drafts):
        try:
            ready[place] = known.resolve(draft, actor=actor, now=now)
        except _Wrong as wrong:
            problems[place] = FieldError(f"/{place}/{wrong.field}", wrong.code, wrong.message)
    with transaction.atomic():
        written = _write(ready, problems, actor=actor.actor, now=now)
    seen: set[UUID] = set()
    items = []
    for place, draft in enumerate(drafts):
        each = None if place in problems else ready[place]
        # Of two equal results in one request the first is the one that was recorded.
        again = each is not None and each.uid in seen
        items.append(_result(draft, each, problems.get(place), written, again=again))
        if each is not None:
            seen.add(each.uid)
    return OutcomeReport(tuple(items))


def keep_told(*, told: Sequence[Told], now: datetime) -> int:
    """How many of these results were new? Called by the counter, inside its transaction.

    A result that is there already stays as it was told first.
    """
    ready: dict[int, _Ready] = {}
    seen: set[UUID] = set()
    for place, each in enumerate(told):
        draft = _Ready(
            use_case=each.use_case,
            kind=each.kind,
            name=each.name,
            revision=1,
            success=each.success,
            count=1,
            at=each.at,
            run=each.run,
            customer=_ZERO,
            join="run",
            source=each.source,
            body={},
        )
        if each.kind and each.name and draft.uid not in seen:
            seen.add(draft.uid)
            ready[place] = draft
    return len(_write(ready, {}, actor=_SYSTEM, now=now)) if ready else 0


@dataclass(frozen=True, slots=True)
class _Known:
    """What must be known to find the use case of each result? Read once for all of them."""

    numbers: Mapping[str, int]
    slugs: Mapping[int, str]
    decisions: Mapping[UUID, policies.CallOfDecision]
    runs: Mapping[UUID, int]
    types: Mapping[str, int]
    windows: Mapping[tuple[int, str], int]
    before: Mapping[tuple[str, str], Outcome]

    @classmethod
    def of(cls, drafts: Sequence[OutcomeDraft]) -> "_Known":
        decisions = [uid for uid in (_decision(d.decision) for d in drafts) if uid is not None]
        runs = {_run_uid(d.run_id) for d in drafts if d.run_id}
        types: dict[str, int] = {}
        windows: dict[tuple[int, str], int] = {}
        for row in OutcomeValue.objects.order_by("from_day", "version"):
            types[row.kind] = row.use_case
            windows[row.use_case, row.kind] = row.window_days
        revised = [d.name for d in drafts if d.revision > 1]
        rows = Outcome.objects.filter(name__in=revised).order_by("revision")
        cases = policies.list_use_case_rows()
        return cls(
            numbers={row.slug: row.number for row in cases},
            slugs={row.number: row.slug for row in cases},
            decisions=policies.calls_of_decisions(decisions=decisions),
            runs=dict(RunCost.objects.filter(run__in=runs).values_list("run", "use_case")),
            types=types,
            windows=windows,
            before={(row.kind, row.name): row for row in rows},
        )

    def resolve(self, draft: OutcomeDraft, *, actor: Caller, now: datetime) -> _Ready:
        if draft.at is not None and draft.at.year not in YEARS:
            raise _Wrong("at", "out_of_range", "`at` lies between the years 2000 and 2200.")
        at = (draft.at or now).astimezone(UTC)
        if at > now + FUTURE_MAX:
            raise _Wrong("at", "in_the_future", "A result lies at most 5 minutes ahead.")
        named = {"run_id": draft.run_id, "customer": draft.customer, "decision": draft.decision}
        if draft.count > 1 and any(named.values()):
            message = "An aggregate of many results belongs to no single call or customer."
            raise _Wrong("count", "not_possible", message)
        call = self._call(draft)
        run = _ZERO
        if draft.run_id:
            run = _run_uid(draft.run_id)
        elif call is not None:
            run = _run_uid(call.run_id) if call.run_id else call.reservation or _ZERO
        use_case = self._use_case(draft, call, run)
        if not can_see_use_case(caller=actor, slug=self.slugs.get(use_case, "")):
            raise _Wrong("use_case", "not_scoped", "Outside this key's use cases.")
        self._check_revision(draft, use_case, now)
        customer = (
            ids.uid(scope="customer", key=draft.customer, origin_ms=0)
            if draft.customer
            else _ZERO
        )
        join = "run" if run != _ZERO else "customer" if customer != _ZERO else "use_case"
        return _Ready(
            use_case=use_case,
            kind=draft.kind,
            name=draft.name,
            revision=draft.revision,
            success=draft.success,
            count=draft.count,
            at=at,
            run=run,
            customer=customer,
            join=join,
            source="api",
            body={key: value for key, value in named.items() if value},
        )

    def _call(self, draft: OutcomeDraft) -> policies.CallOfDecision | None:
        if draft.decision is None:
            return None
        uid = _decision(draft.decision)
        call = self.decisions.get(uid) if uid is not None else None
        if call is None:
            raise _Wrong("decision", "unknown", "There is no decision of this id.")
        return call

    def _use_case(
        self, draft: OutcomeDraft, call: policies.CallOfDecision | None, run: UUID
    ) -> int:
        if draft.use_case is not None:
            number = self.numbers.get(draft.use_case, 0)
            if not number:
                raise _Wrong("use_case", "unknown", "There is no use case of this slug.")
            if call is not None and call.use_case not in (0, number):
                raise _Wrong("use_case", "differs", "The decision is of another use case.")
            return number
        found = (call.use_case if call else 0) or self.runs.get(run, 0)
        found = found or self.types.get(draft.kind, 0)
        if not found:
            message = "Name the use case: neither decision, run nor type says whose it is."
            raise _Wrong("use_case", "required", message)
        return found

    def _check_revision(self, draft: OutcomeDraft, use_case: int, now: datetime) -> None:
        if draft.revision == 1:
            return
        newest = self.before.get((draft.kind, draft.name))
        if newest is None or newest.revision < draft.revision - 1:
            raise _Wrong("revision", "no_revision_before", "The revision before is missing.")
        days = self.windows.get((use_case, draft.kind), WINDOW_DAYS)
        if newest.revision < draft.revision and now > newest.at + timedelta(days=days):
            message = f"The attribution window of {days} days is closed: the result stands."
            raise _Wrong("revision", "window_closed", message)


def _write(
    ready: Mapping[int, _Ready],
    problems: dict[int, FieldError],
    *,
    actor: str,
    now: datetime,
) -> dict[UUID, bool]:
    """Which uids stand in the ledger now? True = written just now, False = before."""
    if not ready:
        return {}
    company = ledger.ledger_of_company()
    first: dict[UUID, _Ready] = {}
    for place, each in ready.items():
        if first.setdefault(each.uid, each).hash != each.hash:
            message = "The same type and id came before with another result."
            problems[place] = FieldError(f"/{place}/id", "duplicate_key", message)
    number = ledger.intern(
        ledger.Domain.ACTOR, {"id": actor}, ledger_id=company.id, actor=0, now=now
    )
    hashes = {uid: each.hash for uid, each in first.items()}
    ours, taken = ledger.claim(ledger_id=company.id, hashes=hashes)
    for place, each in ready.items():
        if each.uid in taken and taken[each.uid] != each.hash:
            message = "Recorded before with another result; send it as the next revision."
            problems[place] = FieldError(f"/{place}/id", "idempotency_mismatch", message)
    fresh = [each for uid, each in first.items() if uid in ours]
    bodies = [ledger.canonical_json(_body(each)) for each in fresh]
    if fresh:
        ledger.put_documents(bodies, now=now)
        ledger.append(
            [
                ledger.Draft(
                    ledger_id=company.id,
                    kind=ledger.Kind.OUTCOME,
                    uid=each.uid,
                    effective_at=each.at,
                    recorded_at=now,
                    use_case_id=each.use_case,
                    actor_id=number,
                    parent=each.run,
                    doc=ledger.document_hash(body),
                )
                for each, body in zip(fresh, bodies, strict=True)
            ],
            claimed=ours,
        )
        zone = zone_of(company.time_zone)
        Outcome.objects.bulk_create(
            [
                Outcome(
                    use_case=each.use_case,
                    kind=each.kind,
                    name=each.name,
                    revision=each.revision,
                    success=each.success,
                    count=each.count,
                    at=each.at,
                    day=each.at.astimezone(zone).date(),
                    run=each.run,
                    customer=each.customer,
                    join=each.join,
                    source=each.source,
                    entry_uid=each.uid,
                    recorded_at=now,
                )
                for each in fresh
            ],
            batch_size=1_000,
        )
    return {uid: uid in ours for uid in first if uid in ours or uid in taken}


def _body(each: _Ready) -> dict[str, object]:
    return {
        "outcome": {
            "count": each.count,
            "id": each.name,
            "join": each.join,
            "revision": each.revision,
            "source": each.source,
            "success": int(each.success),
            "type": each.kind,
            **each.body,
        }
    }


def _result(
    draft: OutcomeDraft,
    each: _Ready | None,
    error: FieldError | None,
    written: Mapping[UUID, bool],
    *,
    again: bool,
) -> OutcomeResult:
    status = "rejected"
    if each is not None:
        status = "recorded" if written.get(each.uid) and not again else "replayed"
    return OutcomeResult(
        kind=draft.kind,
        name=draft.name,
        revision=draft.revision,
        status=status,
        entry_id=ids.id_of("ent", each.uid) if each else None,
        join=each.join if each else None,
        error=error,
    )


def _decision(stated: str | None) -> UUID | None:
    if stated is None:
        return None
    try:
        return ids.uuid_of(stated, "dec")
    except O10Error:
        return None


def _run_uid(name: str) -> UUID:
    return ids.uid(scope="run", key=name, origin_ms=0)
