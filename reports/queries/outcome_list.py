"""Which outcomes were told, newest first, and which amounts, rules, values and lines are there?

Pages of the API: plain values, a cursor, the position of the ledger beside them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import FieldError, NotFound, ValidationFailed
from o10.kernel.money import Nanos
from policies import facade as policies
from reports.core.cost_components import Component
from reports.models import AllocationRule, ComponentAmount, Outcome, OutcomeValue
from reports.queries.components import list_amounts

_EVER = (date(2000, 1, 1), date(2201, 1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """Which result was told? `use_case` is a slug."""

    pk: int
    kind: str
    name: str
    revision: int
    success: bool
    count: int
    use_case: str
    at: datetime
    join: str
    source: str
    entry_id: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountRow:
    """What is stated for a component and month? Nanos; `use_case` a slug, "" = the company.

    `inputs` what the amount was computed from, empty when it was stated as it is.
    """

    component: str
    month: date
    use_case: str
    nanos: Nanos
    source: str
    basis: str
    grade: str
    coverage_ppm: int
    inputs: Mapping[str, Any]
    version: int
    entered_at: datetime
    entered_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """By what is a component shared out, from when on, by whom? `weights` slug to weight."""

    component: str
    version: int
    method: str
    weights: Mapping[str, int]
    driver: str
    from_month: date
    reason: str
    entered_at: datetime
    requested_by: str
    approved_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRow:
    """What is an outcome worth, from when on, by whom? Nanos; days."""

    use_case: str
    kind: str
    version: int
    value: Nanos
    hurdle: Nanos
    window_days: int
    from_day: date
    reason: str
    entered_at: datetime
    requested_by: str
    approved_by: str


@dataclass(frozen=True, slots=True)
class Slugs:
    """How are use cases called? By number, and back."""

    names: Mapping[int, str]

    def of(self, number: int) -> str:
        """Which slug? Empty for no use case."""
        return self.names.get(number, "") if number else ""


def slugs() -> Slugs:
    """How are all use cases called now?"""
    return Slugs({row.number: row.slug for row in policies.list_use_case_rows()})


def list_outcomes(
    *,
    use_case: str = "",
    kind: str = "",
    among: Collection[str] | None,
    cursor: str = "",
    limit: int,
) -> tuple[list[OutcomeRow], str | None]:
    """Which outcomes were told, newest first, and with which cursor does it go on?

    `among` are the slugs a caller may see, None = all.
    Raises: NotFound (`not_found`) for an unknown use case; ValidationFailed for a cursor that
    is none of ours.
    """
    rows = Outcome.objects.order_by("-id")
    if kind:
        rows = rows.filter(kind=kind)
    called = slugs()
    found, more = newest_page(
        rows, called=called, use_case=use_case, among=among, cursor=cursor, limit=limit
    )
    return [_outcome(row, called) for row in found], more


def newest_page(
    rows: Any,
    *,
    called: "Slugs",
    use_case: str,
    among: Collection[str] | None,
    cursor: str,
    limit: int,
) -> tuple[list[Any], str | None]:
    """Which of these facts of use cases, newest first, are on the page after this cursor?

    `rows` is a query with a `use_case` number; the second part is the next cursor.
    Raises: as `list_outcomes`.
    """
    if use_case:
        number = next((n for n, slug in called.names.items() if slug == use_case), None)
        if number is None:
            raise NotFound(kind="use_case", id=use_case)
        rows = rows.filter(use_case=number)
    if among is not None:
        rows = rows.filter(
            use_case__in=[n for n, slug in called.names.items() if slug in among]
        )
    if cursor:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            message = "The cursor is `next` of the page before."
            raise ValidationFailed(errors=[FieldError("/cursor", "bad_format", message)])
        rows = rows.filter(id__lt=int(cursor))
    found = list(rows[: limit + 1])
    return found[:limit], str(found[limit - 1].id) if len(found) > limit else None


def list_stated(*, month: date | None = None) -> list[AmountRow]:
    """Which statements hold, of one month or of all? By component, month, use case."""
    called = slugs()
    rows = list_amounts(first=_EVER[0], after=_EVER[1])
    return [_amount(row, called) for row in rows if month is None or row.month == month]


def list_rule_rows() -> list[RuleRow]:
    """Which rules were ever approved? By component, newest first."""
    called = slugs()
    return [
        RuleRow(
            component=row.component,
            version=row.version,
            method=row.method,
            weights={called.of(int(n)): weight for n, weight in row.weights.items()},
            driver=row.driver,
            from_month=row.from_month,
            reason=row.reason,
            entered_at=row.entered_at,
            requested_by=row.requested_by,
            approved_by=row.approved_by,
        )
        for row in AllocationRule.objects.order_by("component", "-version")
    ]


def list_value_rows() -> list[ValueRow]:
    """Which values were ever approved? By use case, newest first."""
    called = slugs()
    return [
        ValueRow(
            use_case=called.of(row.use_case),
            kind=row.kind,
            version=row.version,
            value=row.value_nanos,
            hurdle=row.hurdle_nanos,
            window_days=row.window_days,
            from_day=row.from_day,
            reason=row.reason,
            entered_at=row.entered_at,
            requested_by=row.requested_by,
            approved_by=row.approved_by,
        )
        for row in OutcomeValue.objects.order_by("use_case", "-version")
    ]


def cost_position() -> ledger.Position:
    """How far is the ledger?"""
    return ledger.position_of(ledger_id=ledger.COMPANY_LEDGER)


def cost_currency() -> str:
    """In which currency does the ledger stand?"""
    return ledger.ledger_of_company().currency


def use_case_slugs() -> Mapping[int, str]:
    """How is each use case called? By number."""
    return slugs().names


def _outcome(row: Outcome, called: Slugs) -> OutcomeRow:
    return OutcomeRow(
        pk=row.id,
        kind=row.kind,
        name=row.name,
        revision=row.revision,
        success=row.success,
        count=row.count,
        use_case=called.of(row.use_case),
        at=row.at,
        join=row.join,
        source=row.source,
        entry_id=ids.id_of("ent", row.entry_uid),
        recorded_at=row.recorded_at,
    )


def _amount(row: ComponentAmount, called: Slugs) -> AmountRow:
    fields: dict[str, Any] = {
        name: getattr(row, name)
        for name in (
            "source",
            "basis",
            "grade",
            "coverage_ppm",
            "inputs",
            "version",
            "entered_at",
        )
    }
    return AmountRow(
        component=Component(row.component).value,
        month=row.month,
        use_case=called.of(row.use_case),
        nanos=row.amount_nanos or 0,
        entered_by=row.entered_by,
        **fields,
    )
