"""How is a month closed for good? Drained, its balances under one root, an entry, a lock.

`begin_close` says that somebody prepares it; `seal_period` ends it. In one transaction: nobody
else writes entries, everything of the month is sealed and signed, the closing balances get
their root, the `period_close` entry says who closed what on which evidence, and a CHECK in the
database refuses whatever would still move the month. There is no way back.
Source: ledger.md section 10; docs/algorithms/period-close.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.utils import OperationalError

from ledger.core.bundle import balances_root
from ledger.core.document import canonical_json
from ledger.core.entry import Entry, Kind
from ledger.core.prior_period import month_before, month_bounds
from ledger.operations.funnel import write
from ledger.operations.put_document import put_document
from ledger.queries.ledgers import LedgerRow, ledger_of_company
from ledger.queries.periods import PeriodRow, closed_until, find_period, sum_period
from ledger.queries.seal_status import latest_checkpoint
from o10.kernel.errors import Conflict, NotSealedYet, PeriodClosed, SelfApproval, Unavailable

LOCK_TIMEOUT_MS: Final = 4_000
"""How long writers and readers are waited for; then nothing is done and one may try again."""
LATE_RULE: Final = "open_period"
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NotOver(Conflict):
    """Is the month still running? Fields: `period`, `ends_at`."""

    code = "period_not_over"


class OutOfOrder(Conflict):
    """Is an earlier month still open? Months close one after the other. Fields: `period`."""

    code = "period_out_of_order"


class NotClosing(Conflict):
    """Did nobody prepare this close? Fields: `period`, `status`."""

    code = "period_not_closing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingBalance:
    """What stands in one envelope at the close? Nanos; cap None = no cap of its own."""

    envelope: str
    cap_nanos: int | None
    settled_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What was sealed? `uid` names the `period_close` entry."""

    period: str
    uid: UUID
    closed_at: datetime
    first_seq: int
    last_seq: int
    amount_nanos: int
    balances_root: bytes
    lines: int


def begin_close(*, period: str, now: datetime) -> PeriodRow:
    """Is this month being closed from now on? Nothing happens when it was before.

    Raises: PeriodClosed (`period_closed`); NotOver (`period_not_over`); OutOfOrder
    (`period_out_of_order`); ValidationFailed for what is no month.
    Locks: the row of the period.
    """
    ledger = ledger_of_company()
    starts, ends = month_bounds(period, time_zone=ledger.time_zone)
    if ends > now:
        raise NotOver(period=period, ends_at=ends)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_period (ledger_id, period, starts_at, ends_at)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [ledger.id, period, starts, ends],
        )
        row = find_period(period)
        if row is not None and row.status == "closed":
            raise PeriodClosed(period=period, closed_at=row.closed_at)
        _check_order(period, starts)
        cursor.execute(
            "UPDATE ledger_period SET status = 'closing'"
            " WHERE ledger_id = %s AND period = %s AND status = 'open'",
            [ledger.id, period],
        )
    found = find_period(period)
    if found is None:
        raise NotClosing(period=period, status="open")
    return found


def seal_period(
    *,
    period: str,
    balances: Callable[[datetime, datetime], Sequence[ClosingBalance]],
    evidence: Mapping[str, object],
    requested_by: str,
    approved_by: str,
    actor_id: int,
    price_version: int,
    policy_version: int,
    now: datetime,
) -> Closed:
    """What was sealed? `balances(start, end)` is asked once nobody can change them.

    `evidence` is kept in the document of the entry; `actor_id` is the checker's number.
    Raises: SelfApproval (`self_approval`); PeriodClosed (`period_closed`); NotClosing
    (`period_not_closing`); NotSealedYet (`not_sealed_yet`) while an entry of the month has no
    signed position; Unavailable (`unavailable`) when writers or readers don't end in time.
    Locks: all writers of entries, until the transaction of the caller ends.
    """
    if requested_by == approved_by:
        raise SelfApproval(action="period.close", person=requested_by)
    ledger = ledger_of_company()
    starts, ends = month_bounds(period, time_zone=ledger.time_zone)
    if ends > now:
        raise NotOver(period=period, ends_at=ends)
    with transaction.atomic():
        _hold_entries()
        row = find_period(period)
        if row is not None and row.status == "closed":
            raise PeriodClosed(period=period, closed_at=row.closed_at)
        if row is None or row.status != "closing":
            raise NotClosing(period=period, status=row.status if row else "open")
        _check_order(period, starts)
        closing = _Closing(
            ledger=ledger,
            period=period,
            starts=starts,
            ends=ends,
            people=(requested_by, approved_by),
            actor_id=actor_id,
            versions=(price_version, policy_version),
            evidence=evidence,
            now=now,
        )
        return _seal(closing, balances(starts, ends))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Closing:
    ledger: LedgerRow
    period: str
    starts: datetime
    ends: datetime
    people: tuple[str, str]
    actor_id: int
    versions: tuple[int, int]
    evidence: Mapping[str, object]
    now: datetime


def _seal(closing: _Closing, balances: Sequence[ClosingBalance]) -> Closed:
    ledger, period = closing.ledger, closing.period
    sums = sum_period(starts_at=closing.starts, ends_at=closing.ends, ledger_id=ledger.id)
    checkpoint = latest_checkpoint(ledger_id=ledger.id)
    if sums.unsealed or checkpoint is None or checkpoint.size < sums.last_seq:
        raise NotSealedYet(retry_after_s=2)
    lines = closing_lines(period=period, balances=balances)
    root = balances_root(b"".join(line + b"\n" for line in lines))
    _keep_lines(ledger.id, period, balances, lines)
    body = {
        "approved_by": closing.people[1],
        "balances_root": root.hex(),
        "chain": checkpoint.chain.hex(),
        "end": _text(closing.ends),
        "entries": sums.entries,
        "evidence": dict(closing.evidence),
        "first_seq": sums.first_seq,
        "last_seq": sums.last_seq,
        "late": LATE_RULE,
        "lines": len(lines),
        "period": period,
        "policy_version": closing.versions[1],
        "price_version": closing.versions[0],
        "requested_by": closing.people[0],
        "root": checkpoint.root.hex(),
        "settled_nanos": sums.amount_nanos,
        "size": checkpoint.size,
        "start": _text(closing.starts),
    }

    def run(uid: UUID) -> list[Entry]:
        head = {name: body[name] for name in ("chain", "root", "size")}
        return [
            _entry(closing, uid, Kind.PERIOD_CLOSE, put_document(body, now=closing.now)),
            _entry(
                closing,
                UUID(int=uid.int ^ 1),
                Kind.CHECKPOINT_REF,
                put_document(head, now=closing.now),
            ),
        ]

    written = write(
        ledger_id=ledger.id,
        scope="period_close",
        key=f"{ledger.id}/{period}",
        request_hash=sha256(canonical_json({"period": period})).digest(),
        origin_ms=(closing.ends - _UNIX_EPOCH) // timedelta(milliseconds=1),
        run=run,
    )
    _call(
        "SELECT ledger_lock_period(%s, %s, %s, %s, %s, %s, %s)",
        *(ledger.id, period, closing.now, sums.first_seq, sums.last_seq),
        *(checkpoint.root, root),
    )
    return Closed(
        period=period,
        uid=written.uid,
        closed_at=closing.now,
        first_seq=sums.first_seq,
        last_seq=sums.last_seq,
        amount_nanos=sums.amount_nanos,
        balances_root=root,
        lines=len(lines),
    )


def closing_lines(*, period: str, balances: Sequence[ClosingBalance]) -> list[bytes]:
    """Which leaves has the balances root? Canonical JSON lines, sorted by envelope."""
    return [
        canonical_json(
            {
                "cap_nanos": each.cap_nanos,
                "envelope": each.envelope,
                "period": period,
                "settled_nanos": each.settled_nanos,
            }
        )
        for each in sorted(balances, key=lambda each: each.envelope)
    ]


def _check_order(period: str, starts: datetime) -> None:
    """The first close may be of any month; from then on one after the other."""
    bound = closed_until()
    if bound is not None and starts != bound:
        raise OutOfOrder(period=month_before(period))


def _hold_entries() -> None:
    _call(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
    _call("SELECT ledger_hold_entries()")


def _call(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement, list(values))
        except OperationalError as error:
            what = "the end of a long read or write of the ledger"
            raise Unavailable(what=what, retry_after_s=5) from error


def _keep_lines(
    ledger_id: int, period: str, balances: Sequence[ClosingBalance], lines: Sequence[bytes]
) -> None:
    names = sorted(each.envelope for each in balances)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_period_balance (ledger_id, period, place, envelope, line)"
            " SELECT %s, %s, (n - 1)::int, name, line FROM unnest(%s::text[], %s::bytea[])"
            " WITH ORDINALITY AS given (name, line, n)",
            [ledger_id, period, names, list(lines)],
        )


def _entry(closing: _Closing, uid: UUID, kind: Kind, doc: bytes) -> Entry:
    return Entry(
        ledger_id=closing.ledger.id,
        kind=kind,
        uid=uid,
        effective_at=closing.now,
        recorded_at=closing.now,
        actor_id=closing.actor_id,
        price_version=closing.versions[0],
        policy_version=closing.versions[1],
        doc=doc,
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
