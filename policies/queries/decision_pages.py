"""Which decisions were taken, with which reasons, and what became of each?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models.expressions import RawSQL

from o10.kernel import ids
from o10.kernel.errors import FieldError, NotFound, ValidationFailed
from o10.kernel.money import Nanos
from policies.models import DecisionLog, Reservation

PAGE_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLogFilter:
    """Which decisions are asked for? Empty tuples and None ask for all.

    Shape: `use_cases` slugs; `envelope_numbers` of the deepest envelope; `reasons` first codes;
    `decided_from` inclusive, `decided_to` exclusive.
    """

    outcomes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    envelope_numbers: tuple[int, ...] = ()
    decided_from: datetime | None = None
    decided_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """What does one line of the log say?

    Units: nanos for `worst`, the most the call could cost.
    Shape: `codes` all reason codes in order; `binding` env_… of the limit that binds, or empty;
    `caller` key_… or usr_…; `asked` the model as the call named it, `offer` the route answered;
    `folded` true = one of many denials of a second, which share one ledger entry.
    """

    public: str
    decided_at: datetime
    use_case: str
    outcome: str
    would: str
    mode: str
    codes: tuple[str, ...]
    model: str
    worst: Nanos
    reservation: str
    entry_uid: UUID | None
    folded: bool
    policy_version: int
    price_version: int
    binding: str
    caller: str
    asked: str
    offer: str


@dataclass(frozen=True, slots=True)
class DecisionLogPage:
    """Which decisions are on this page, and with which cursor does the next one begin?"""

    items: tuple[DecisionRow, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class DecisionCount:
    """How many decisions had this outcome and first reason in one use case?

    Units: `worst` nanos, the most that these calls could have cost.
    """

    outcome: str
    reason: str
    use_case: str
    count: int
    worst: Nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldState:
    """What became of the hold?

    Units: nanos; `open` is still held, or unsettled once expired.
    """

    public: str
    uuid: UUID
    state: str
    held: bool
    amount: Nanos
    open: Nanos
    settled: Nanos
    attempts: int
    authorized_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    venue: str
    region: str
    tier: str
    input_bound: int
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class DecisionDetail:
    """What was asked, what was answered, on which ground, and what became of it?

    Shape: `record` is the canonical record that ledger entries bind by hash; `answer` the
    bytes that were sent.
    """

    row: DecisionRow
    caller: str
    request_id: str
    record: Mapping[str, Any]
    answer: bytes
    hold: HoldState | None


def list_decision_rows(
    *, where: DecisionLogFilter, cursor: str | None = None, limit: int = 50
) -> DecisionLogPage:
    """Which decisions match, newest first?

    Raises: ValidationFailed (`validation_failed`) for a cursor that is none of ours.
    """
    found = DecisionLog.objects.filter(**_conditions(where)).defer("answer", "request_hash")
    if cursor is not None:
        at, number = _cursor(cursor)
        found = found.extra(where=["(decided_at, id) < (%s, %s)"], params=[at, number])  # noqa: S610
    rows = list(found.order_by("-decided_at", "-id")[: min(limit, PAGE_MAX) + 1])
    page = rows[:limit]
    more = len(rows) > limit
    return DecisionLogPage(
        items=tuple(_row(row) for row in page),
        next=f"{page[-1].decided_at.isoformat()}~{page[-1].id.hex}" if more else None,
    )


def count_decisions(*, where: DecisionLogFilter) -> list[DecisionCount]:
    """How many decisions match, by outcome, first reason and use case?"""
    clauses, values = _sql(where)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT decision, reason, use_case_slug, count(*), sum(worst_nanos)::bigint"
            f" FROM policies_decision_log WHERE {' AND '.join(clauses)}"
            " GROUP BY decision, reason, use_case_slug",
            values,
        )
        return [DecisionCount(*row) for row in cursor.fetchall()]


def count_by_hour(
    *, where: DecisionLogFilter, hours: int, until: datetime
) -> list[tuple[int, int]]:
    """How many calls went ahead and how many were denied in each of the last hours?

    Shape: one pair (went ahead, denied or on hold) an hour, oldest first.
    """
    clauses, values = _sql(where)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT floor(extract(epoch FROM %s - decided_at) / 3600)::int AS back,"
            " count(*) FILTER (WHERE decision NOT IN ('deny', 'hold')),"
            " count(*) FILTER (WHERE decision IN ('deny', 'hold'))"
            f" FROM policies_decision_log WHERE {' AND '.join(clauses)} GROUP BY back",
            [until, *values],
        )
        found = {row[0]: (row[1], row[2]) for row in cursor.fetchall()}
    return [found.get(back, (0, 0)) for back in range(hours - 1, -1, -1)]


def get_decision_detail(*, decision: str) -> DecisionDetail:
    """What stands behind this decision (dec_…)?

    Raises: NotFound (`not_found`); IdMalformed (`validation_failed`).
    """
    row = DecisionLog.objects.filter(id=ids.uuid_of(decision, "dec")).first()
    if row is None:
        raise NotFound(kind="decision", id=decision)
    hold = None
    if row.reservation is not None:
        found = Reservation.objects.filter(id=row.reservation).first()
        hold = _hold(found) if found else None
    return DecisionDetail(
        row=_row(row),
        caller=row.caller,
        request_id=row.request_id,
        record=row.record,
        answer=bytes(row.answer),
        hold=hold,
    )


def list_open_holds(*, envelope_number: int, limit: int = 20) -> list[tuple[HoldState, int]]:
    """Which calls hold money of this envelope now, soonest to expire first?

    Shape: each with the number of its use case.
    """
    found = Reservation.objects.filter(
        state__in=("open", "expired"), held=True, path_ids__contains=[envelope_number]
    ).order_by("expires_at")
    return [(_hold(row), row.use_case) for row in found[:limit]]


def count_open_holds() -> tuple[int, int]:
    """How many calls hold money now, and how many expired without an answer?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE state = 'open'),"
            " count(*) FILTER (WHERE state = 'expired') FROM reservation"
            " WHERE held AND state IN ('open', 'expired')"
        )
        row = cursor.fetchone()
    return (row[0], row[1]) if row else (0, 0)


_COLUMNS: Final = {
    "outcomes": ("decision", "decision__in"),
    "reasons": ("reason", "reason__in"),
    "use_cases": ("use_case_slug", "use_case_slug__in"),
    "models": ("model", "model__in"),
    "modes": ("mode", "mode__in"),
    "envelope_numbers": ("envelope", "envelope__in"),
}


def _conditions(where: DecisionLogFilter) -> dict[str, object]:
    found: dict[str, object] = {
        lookup: getattr(where, name)
        for name, (_, lookup) in _COLUMNS.items()
        if getattr(where, name)
    }
    if where.envelope_numbers:
        # One parameter: an envelope may have ten thousand below it.
        numbers = f"{{{','.join(map(str, where.envelope_numbers))}}}"
        found["envelope__in"] = RawSQL("SELECT unnest(%s::int[])", [numbers])
    if where.decided_from is not None:
        found["decided_at__gte"] = where.decided_from
    if where.decided_to is not None:
        found["decided_at__lt"] = where.decided_to
    return found


def _sql(where: DecisionLogFilter) -> tuple[list[str], list[object]]:
    clauses, values = ["true"], []
    for field in fields(where):
        value = getattr(where, field.name)
        if field.name in _COLUMNS and value:
            clauses.append(f"{_COLUMNS[field.name][0]} = ANY(%s)")
            values.append(list(value))
    if where.decided_from is not None:
        clauses.append("decided_at >= %s")
        values.append(where.decided_from)
    if where.decided_to is not None:
        clauses.append("decided_at < %s")
        values.append(where.decided_to)
    return clauses, values


def _row(row: DecisionLog) -> DecisionRow:
    reasons: Sequence[Mapping[str, Any]] = row.record.get("reasons", ())
    return DecisionRow(
        public=ids.id_of("dec", row.id),
        decided_at=row.decided_at,
        use_case=row.use_case_slug,
        outcome=row.decision,
        would=row.would_decision,
        mode=row.mode,
        codes=tuple(str(each.get("code", "")) for each in reasons) or (row.reason,),
        model=row.model,
        worst=row.worst_nanos,
        reservation="" if row.reservation is None else ids.id_of("rsv", row.reservation),
        entry_uid=row.entry_uid,
        folded=row.folded,
        policy_version=row.policy_version,
        price_version=row.price_version,
        binding=str(row.record.get("binding", "")),
        caller=row.caller,
        asked=str((row.record.get("request") or {}).get("model") or ""),
        offer=str((row.record.get("route") or {}).get("offer") or ""),
    )


def _hold(row: Reservation) -> HoldState:
    return HoldState(
        public=ids.id_of("rsv", row.id),
        uuid=row.id,
        state=row.state,
        held=row.held,
        amount=row.amount_nanos,
        open=row.open_nanos,
        settled=row.settled_nanos,
        attempts=row.attempts,
        authorized_at=row.authorized_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        venue=row.venue,
        region=row.region,
        tier=row.tier,
        input_bound=row.input_bound,
        max_output_tokens=row.max_output_tokens,
    )


def _cursor(text: str) -> tuple[datetime, UUID]:
    at, _, number = text.partition("~")
    try:
        return datetime.fromisoformat(at), UUID(hex=number)
    except ValueError as error:
        message = "A cursor is what `next` of the page before said."
        raise ValidationFailed(errors=[FieldError("/cursor", "invalid", message)]) from error
