"""How do a close, a difference and an accrual wait for a second person, and how are they told?

Three rows of the table of maker and checker: `period.close`, `reconcile.book`, `accrual.book`.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.errors import FieldError, ValidationFailed
from policies import facade as policies
from reports.operations.close_period import KIND, apply_close, close_base, subject_of
from reports.queries.close_checklist import read_checklist

Change = Mapping[str, Any]
RECONCILE: Final = "reconcile.book"
ACCRUE: Final = "accrual.book"
_NAMES: Final = ("day", "last_day", "model", "tier", "account")
_NEVER: Final = "A closed month never opens again; what comes later stands in the open one."


def register_close_changes() -> None:
    """Makes the three kinds possible. Called when reports start."""
    for kind in (
        policies.ChangeKind(
            name=KIND,
            apply=_close,
            base_of=_close_base,
            describe=_tell_close,
            check=_check_close,
        ),
        policies.ChangeKind(
            name=RECONCILE,
            apply=_reconcile,
            base_of=_bill_base,
            describe=_tell_bill,
            weight_of=_bill_weight,
            check=_check_bill,
        ),
        policies.ChangeKind(
            name=ACCRUE,
            apply=_accrue,
            base_of=_accrual_base,
            describe=_tell_accrual,
            weight_of=lambda change: policies.Weight(nanos=int(change["amount_nanos"])),
            check=lambda change, actor, now: ledger.check_accrual(_accrued(change), now=now),
        ),
    ):
        policies.register_change_kind(kind)


def propose_differences(
    *,
    invoice: str,
    causes: Mapping[str, str],
    reason: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> policies.ApprovalView:
    """Which request waits to book what this bill differs by? `causes`: class -> cause.

    Differences within tolerance go along as rounding, so that ledger and bill are equal then;
    not in a closed month, where each would be a prior-period line of its own.
    Raises: NotFound; ValidationFailed when nothing differs, or a class has no cause.
    """
    now_so = ledger.reconcile_invoice(invoice)
    closed = ledger.get_period(now_so.invoice.period).status == "closed"
    lines = []
    for line in now_so.matching.lines:
        if not line.difference or (closed and not line.is_open):
            continue
        cause = causes.get(line.found.value, "") if line.is_open else "rounding"
        if not cause:
            if line.is_open:
                message = "Say the cause of each class of differences."
                raise ValidationFailed(errors=[FieldError("/causes", "required", message)])
            continue
        lines.append(
            {
                **{name: str(getattr(line.key, name)) for name in _NAMES},
                "amount_nanos": str(line.difference),
                "cause": cause,
                "class": line.found.value,
            }
        )
    if not lines:
        message = "Nothing differs: there is nothing to book."
        raise ValidationFailed(errors=[FieldError("/lines", "required", message)])
    return policies.propose_change(
        kind=RECONCILE,
        subject=f"invoice/{invoice}",
        change={"invoice": invoice, "lines": lines, "reason": reason},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def propose_accrual(
    *,
    period: str,
    venue: str,
    amount_nanos: int,
    reason: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> policies.ApprovalView:
    """Which request waits to book what is expected of this venue?

    Raises: ValidationFailed; PeriodClosed; NotOver; Forbidden.
    """
    change = {
        "amount_nanos": str(amount_nanos),
        "period": period,
        "reason": reason,
        "venue": venue,
    }
    return policies.propose_change(
        kind=ACCRUE,
        subject=subject_of(period),
        change=change,
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


# ---- period.close ---------------------------------------------------------------------


def _close(
    change: Change, approval: policies.ApprovalView, actor: Caller, now: datetime
) -> policies.Applied:
    done = apply_close(change, requested_by=approval.maker.id, actor=actor, now=now)
    policies.raise_alert(
        kind="period_closed",
        subject=done.period,
        window=done.period,
        title=f"{done.period} is closed",
        detail=f"Sealed up to entry {done.last_seq:,}. {_NEVER}",
        severity="info",
        now=now,
        evidence={"settled_nanos": str(done.amount_nanos)},
        url=f"/close/{done.period}/",
    )
    return policies.Applied(ids={"period": done.period}, entries=(done.uid,))


def _close_base(change: Change) -> str:
    return close_base(str(change["period"]))


def _check_close(change: Change, actor: Caller | None, now: datetime) -> None:
    row = ledger.get_period(str(change["period"]))
    if row.status != "closing":
        raise ledger.NotClosing(period=row.period, status=row.status)


def _tell_close(change: Change) -> policies.ChangeText:
    period = str(change["period"])
    row = ledger.get_period(period)
    checklist = read_checklist(period=period, now=row.ends_at, waivers=change.get("waivers"))
    amount = figures.money(checklist.sums.amount_nanos, checklist.currency).text
    waivers: Mapping[str, str] = change.get("waivers") or {}
    return policies.ChangeText(
        title=f"Close {period}",
        rows=(
            policies.DiffRow("State", "closing", "closed for good"),
            policies.DiffRow("Spent", amount, amount),
            *(
                policies.DiffRow(f"Passed over: {name}", "", reason)
                for name, reason in sorted(waivers.items())
            ),
        ),
        effect=(
            policies.EffectRow(
                "The month",
                "is sealed, signed and locked; later facts stand in the open month",
                "stays in preparation and can still change",
                "stays in preparation; the request ends by itself",
            ),
        ),
        evidence=tuple(
            policies.EvidenceRow(each.title, "met" if each.ok else "passed over", each.found)
            for each in checklist.conditions
            if each.key not in ("over", "verified")
        ),
        url=f"/close/{period}/",
    )


# ---- reconcile.book -------------------------------------------------------------------


def _differences(change: Change) -> tuple[ledger.Difference, ...]:
    try:
        return tuple(
            ledger.Difference(
                ledger.MatchKey(
                    date.fromisoformat(line["day"]),
                    date.fromisoformat(line["last_day"]),
                    line["model"],
                    line["tier"],
                    line["account"],
                ),
                int(line["amount_nanos"]),
                line["cause"],
            )
            for line in change["lines"]
        )
    except (KeyError, TypeError, ValueError) as error:
        message = "A line has day, last_day, model, tier, account, amount_nanos and cause."
        raise ValidationFailed(errors=[FieldError("/lines", "malformed", message)]) from error


def _reconcile(
    change: Change, approval: policies.ApprovalView, actor: Caller, now: datetime
) -> policies.Applied:
    actor_id = ledger.intern(
        ledger.Domain.ACTOR,
        {"id": actor.actor},
        ledger_id=ledger.COMPANY_LEDGER,
        actor=0,
        now=now,
    )
    written = ledger.book_differences(
        bookings=ledger.Bookings(
            invoice=str(change["invoice"]),
            differences=_differences(change),
            reason=str(change.get("reason", "")),
            requested_by=approval.maker.id,
            approved_by=actor.principal,
            actor_id=actor_id,
            key=approval.id,
        ),
        now=now,
    )
    entries: tuple[UUID, ...] = tuple(entry.uid for entry in written.entries) or (written.uid,)
    return policies.Applied(ids={"invoice": str(change["invoice"])}, entries=entries[:50])


def _bill_base(change: Change) -> str:
    now_so = ledger.reconcile_invoice(str(change["invoice"]))
    lines = "\n".join(f"{line.key}{line.difference}" for line in now_so.matching.lines)
    return sha256(lines.encode()).hexdigest()


def _check_bill(change: Change, actor: Caller | None, now: datetime) -> None:
    ledger.get_invoice(str(change["invoice"]))
    ledger.check_differences(_differences(change))


def _bill_weight(change: Change) -> policies.Weight:
    return policies.Weight(nanos=sum(abs(each.amount_nanos) for each in _differences(change)))


def _tell_bill(change: Change) -> policies.ChangeText:
    now_so = ledger.reconcile_invoice(str(change["invoice"]))
    bill, currency = now_so.invoice, now_so.invoice.currency
    differences = _differences(change)
    total = sum(each.amount_nanos for each in differences)
    spent = now_so.matching.spent + now_so.matching.booked
    return policies.ChangeText(
        title=f"Book what the bill of {bill.venue} for {bill.period} differs by",
        rows=(
            policies.DiffRow(
                f"Spent at {bill.venue} in {bill.period}",
                figures.money_exact(spent, currency).text,
                figures.money_exact(spent + total, currency).text,
            ),
            *_by_cause(differences, currency),
        ),
        effect=(
            policies.EffectRow(
                "Ledger and bill",
                "agree; the difference has its cause",
                "differ; the month can't be closed",
                "differ; the month can't be closed",
            ),
        ),
        evidence=(
            policies.EvidenceRow(
                "Bill",
                figures.money_exact(now_so.matching.billed, currency).text,
                f"{bill.lines} lines, {bill.number or 'no number'}",
                f"/invoices/{bill.public}/",
            ),
            policies.EvidenceRow(
                "Unexplained", figures.money_exact(now_so.matching.unexplained, currency).text
            ),
        ),
        money_nanos=total,
        url=f"/invoices/{bill.public}/",
    )


def _by_cause(
    differences: Sequence[ledger.Difference], currency: str
) -> tuple[policies.DiffRow, ...]:
    sums: dict[str, int] = {}
    for each in differences:
        sums[each.cause] = sums.get(each.cause, 0) + each.amount_nanos
    return tuple(
        policies.DiffRow(
            ledger.CAUSES.get(cause, cause), "", figures.money_exact(nanos, currency).text
        )
        for cause, nanos in sorted(sums.items())
    )


# ---- accrual.book ---------------------------------------------------------------------


def _accrued(change: Change) -> ledger.Accrued:
    return ledger.Accrued(
        period=str(change["period"]),
        venue=str(change["venue"]),
        amount_nanos=int(change["amount_nanos"]),
        reason=str(change["reason"]),
    )


def _accrue(
    change: Change, approval: policies.ApprovalView, actor: Caller, now: datetime
) -> policies.Applied:
    actor_id = ledger.intern(
        ledger.Domain.ACTOR,
        {"id": actor.actor},
        ledger_id=ledger.COMPANY_LEDGER,
        actor=0,
        now=now,
    )
    written = ledger.book_accrual(
        accrued=_accrued(change),
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        actor_id=actor_id,
        key=approval.id,
        now=now,
    )
    entries: tuple[UUID, ...] = tuple(entry.uid for entry in written.entries) or (written.uid,)
    return policies.Applied(ids={"period": str(change["period"])}, entries=entries)


def _accrual_base(change: Change) -> str:
    return ledger.get_period(str(change["period"])).status


def _tell_accrual(change: Change) -> policies.ChangeText:
    accrued = _accrued(change)
    currency = ledger.ledger_of_company().currency
    amount = figures.money_exact(accrued.amount_nanos, currency).text
    following = ledger.month_after(accrued.period)
    return policies.ChangeText(
        title=f"Accrue {amount} of {accrued.venue} for {accrued.period}",
        rows=(
            policies.DiffRow(accrued.period, "", f"+{amount}"),
            policies.DiffRow(following, "", f"{figures.MINUS}{amount}"),
        ),
        effect=(
            policies.EffectRow(
                "The month",
                f"carries the expected cost; {following} takes it out again",
                "does not carry it",
                "does not carry it",
            ),
        ),
        money_nanos=accrued.amount_nanos,
        url=f"/close/{accrued.period}/",
    )
