"""Which bodies do the doors of reports take, and how do their answers stand on the wire?

Amounts are decimal text with the nanos beside them; months are "2026-11", days "2026-11-01".
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from o10.kernel.errors import FieldError, IdempotencyMismatch, O10Error, ValidationFailed
from o10.kernel.money import AmountMalformed, amount_text, parse_nanos
from o10.wire import fields as f
from o10.wire.decoding import mistakes, parse
from reports import facade

PPM = 1_000_000
OUTCOMES_MOST = 10_000
OUTCOME_BYTES = 8 * 1024 * 1024
_SHARE_DECIMALS = 6

Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)")]
Month = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}$(?!\n)")]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$(?!\n)")]
Share = Annotated[str, Meta(pattern=r"^[01](\.[0-9]{1,6})?$(?!\n)")]
Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\u0000-\u001f\u007f]*$(?!\n)")]
Reason = Annotated[
    str, Meta(min_length=1, max_length=400, pattern=r"^[^\u0000-\u001f\u007f]*$(?!\n)")
]
Revision = Annotated[int, Meta(ge=1, le=1_000)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do all bodies have in common? By name, nothing unknown."""


class OutcomeBody(_Body, kw_only=True):
    """Which business result happened? `type` and `id` are its identity for good.

    It finds its calls by `decision` or `run_id`, else by `customer` within the attribution
    window, else by `use_case` and day. A later `revision` replaces it while the window is open.
    `count` above 1 is an imported aggregate of one day and names no call.
    """

    type: f.Word
    id: f.Name
    success: bool
    count: f.Count = 1
    at: Annotated[datetime, Meta(tz=True)] | None = None
    use_case: f.Name | None = None
    decision: f.Name | None = None
    run_id: f.Name | None = None
    customer: f.Name | None = None
    revision: Revision = 1


class ComponentBody(_Body, kw_only=True):
    """What did a component cost in a month? `amount` null takes a statement back, "0" = none.

    Without `use_case` it is an amount of the company that a rule shares out.
    """

    component: f.Word
    month: Month
    amount: f.Decimal | None
    source: Text
    use_case: f.Name | None = None
    basis: Text = ""
    grade: f.Word = "attested"
    coverage: Share = "1"


class ComponentsBody(_Body, kw_only=True):
    """Which statements are made together? All or none."""

    items: Annotated[list[ComponentBody], Meta(min_length=1, max_length=1_000)]
    request_id: f.Name | None = None


class RuleBody(_Body, kw_only=True):
    """By what shall a component be shared out, from which month on?

    `weights` slug to people (by_headcount) or to a share such as "0.25" (fixed). `driver` the
    name whose volumes weigh (by_driver); without one confirmed outcomes do.
    """

    component: f.Word
    method: f.Word
    reason: Reason
    weights: dict[str, str | int] = {}
    driver: f.Word | None = None
    from_: Month = msgspec.field(name="from")
    request_id: f.Name | None = None


class ValueBody(_Body, kw_only=True):
    """What shall one outcome of this type be worth to a use case, from which day on?"""

    use_case: f.Name
    type: f.Word
    value: f.Decimal
    reason: Reason
    hurdle: f.Decimal = "0"
    window_days: Annotated[int, Meta(ge=0, le=90)] = 7
    from_: Day = msgspec.field(name="from")
    request_id: f.Name | None = None


class AllocationBody(_Body, kw_only=True):
    """Which month shall be booked as its amounts and rules stand now?"""

    month: Month
    reason: Reason
    request_id: f.Name | None = None


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """At which position was this read?"""

    ledger_seq: int
    at: datetime | None


class ItemError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one item? `field` is a JSON pointer into the body."""

    field: str
    code: str
    message: str


class OutcomeItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one result: recorded, replayed or rejected?"""

    type: str
    id: str
    revision: int
    status: str
    entry_id: str | None
    join: str | None
    error: ItemError | None


class OutcomesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the results, in the order sent?"""

    items: list[OutcomeItem]
    recorded: int
    replayed: int
    rejected: int


class OutcomeRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which result was told?"""

    type: str
    id: str
    revision: int
    success: bool
    count: int
    use_case: str
    at: datetime
    join: str
    source: str
    entry_id: str
    recorded_at: datetime


class OutcomesRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which results, newest first?"""

    items: list[OutcomeRead]
    next: str | None
    as_of: AsOf


class ComponentRead(msgspec.Struct, frozen=True, kw_only=True):
    """What is stated for a component and month? `use_case` null = the company."""

    component: str
    month: str
    use_case: str | None
    amount: str
    amount_nanos: str
    currency: str
    source: str
    basis: str
    grade: str
    coverage: str
    version: int
    entered_at: datetime
    entered_by: str


class ComponentsRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which statements hold?"""

    items: list[ComponentRead]
    next: str | None
    as_of: AsOf


class ComponentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many cells hold something else than before?"""

    changed: int


class RuleRead(msgspec.Struct, frozen=True, kw_only=True):
    """By what is a component shared out, from when on, by whom?"""

    component: str
    version: int
    method: str
    weights: dict[str, int]
    driver: str | None
    from_: str = msgspec.field(name="from")
    reason: str
    entered_at: datetime
    requested_by: str
    approved_by: str


class RulesRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which rules were approved, newest first by component?"""

    items: list[RuleRead]
    next: str | None
    as_of: AsOf


class ValueRead(msgspec.Struct, frozen=True, kw_only=True):
    """What is an outcome worth, from when on, by whom?"""

    use_case: str
    type: str
    version: int
    value: str
    value_nanos: str
    hurdle: str
    hurdle_nanos: str
    currency: str
    window_days: int
    from_: str = msgspec.field(name="from")
    reason: str
    entered_at: datetime
    requested_by: str
    approved_by: str


class ValuesRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which values were approved, newest first by use case?"""

    items: list[ValueRead]
    next: str | None
    as_of: AsOf


class LineRead(msgspec.Struct, frozen=True, kw_only=True):
    """What should and does a use case carry of a component? `use_case` null = unallocated."""

    component: str
    use_case: str | None
    amount: str
    amount_nanos: str
    booked: str
    booked_nanos: str
    currency: str
    rule_version: int


class AllocationRead(msgspec.Struct, frozen=True, kw_only=True):
    """What would an allocation of this month book now? `due` = something differs."""

    month: str
    due: bool
    digest: str
    without_rule: list[str]
    items: list[LineRead]
    next: str | None
    as_of: AsOf


def read_outcomes(body: bytes) -> tuple[list[facade.OutcomeDraft], dict[int, ItemError], bool]:
    """Which results does this body hold, which places are wrong, and was it one alone?

    Shape: the drafts of the places without a mistake, in order.
    Raises: MalformedBody (`malformed_body`); ValidationFailed (`validation_failed`) when it is
    neither a result nor 1 to 10,000 of them.
    """
    raw = parse(body)
    alone = isinstance(raw, dict)
    rows = [raw] if alone else raw
    if not isinstance(rows, list) or not 1 <= len(rows) <= OUTCOMES_MOST:
        message = f"One outcome, or an array of 1 to {OUTCOMES_MOST:,}."
        raise ValidationFailed(errors=[FieldError("", "too_many", message)])
    drafts: list[facade.OutcomeDraft] = []
    wrong: dict[int, ItemError] = {}
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            wrong[place] = ItemError(
                field=f"/{place}", code="wrong_type", message="Expected an object."
            )
            continue
        found = mistakes(OutcomeBody, row, "" if alone else f"/{place}")
        if found:
            first = found[0]
            wrong[place] = ItemError(
                field=first.pointer, code=first.code, message=first.message
            )
            continue
        drafts.append(_draft(msgspec.convert(row, OutcomeBody, strict=True)))
    return drafts, wrong, alone


def _draft(body: OutcomeBody) -> facade.OutcomeDraft:
    return facade.OutcomeDraft(
        kind=body.type,
        name=body.id,
        success=body.success,
        count=body.count,
        revision=body.revision,
        at=body.at,
        use_case=body.use_case,
        decision=body.decision,
        run_id=body.run_id,
        customer=body.customer,
    )


def outcomes_answer(
    report: facade.OutcomeReport, wrong: Mapping[int, ItemError]
) -> OutcomesAnswer:
    """How does the report stand on the wire, mistakes of shape in their places?"""
    told = iter(report.items)
    items = []
    for place in range(len(report.items) + len(wrong)):
        if place in wrong:
            items.append(
                OutcomeItem(
                    type="",
                    id="",
                    revision=1,
                    status="rejected",
                    entry_id=None,
                    join=None,
                    error=wrong[place],
                )
            )
        else:
            items.append(_item(next(told), place))
    return OutcomesAnswer(
        items=items,
        recorded=sum(item.status == "recorded" for item in items),
        replayed=sum(item.status == "replayed" for item in items),
        rejected=sum(item.status == "rejected" for item in items),
    )


def _item(result: facade.OutcomeResult, place: int) -> OutcomeItem:
    error = result.error
    told = None
    if error is not None:
        # The operation counts the drafts; mistakes of shape before them move the place.
        field = error.pointer.split("/")[-1]
        told = ItemError(field=f"/{place}/{field}", code=error.code, message=error.message)
    return OutcomeItem(
        type=result.kind,
        id=result.name,
        revision=result.revision,
        status=result.status,
        entry_id=result.entry_id,
        join=result.join,
        error=told,
    )


def problem_of(error: ItemError) -> O10Error:
    """Which problem is it when the one outcome sent is wrong?"""
    field = error.field.removeprefix("/0")
    told = [FieldError(field, error.code, error.message)]
    if error.code == "idempotency_mismatch":
        return IdempotencyMismatch(scope="outcome", errors=told)
    return ValidationFailed(errors=told)


def component_drafts(body: ComponentsBody) -> list[facade.ComponentDraft]:
    """Which statements does this body make?

    Raises: ValidationFailed (`validation_failed`) for an amount, a month or a share that isn't.
    """
    errors: list[FieldError] = []
    drafts = []
    for place, item in enumerate(body.items):
        at = f"/items/{place}"
        amount = None if item.amount is None else _nanos(item.amount, f"{at}/amount", errors)
        month = _month(item.month, f"{at}/month", errors)
        coverage = _share(item.coverage, f"{at}/coverage", errors)
        drafts.append(
            facade.ComponentDraft(
                component=item.component,
                month=month,
                amount_nanos=amount,
                use_case=item.use_case or "",
                source=item.source,
                basis=item.basis,
                grade=item.grade,
                coverage_ppm=coverage,
            )
        )
    if errors:
        raise ValidationFailed(errors=errors[:100])
    return drafts


def month_of(text: str, *, field: str = "/month") -> date:
    """Which month is it?

    Raises: ValidationFailed (`validation_failed`) for what is no month of 2000 to 2200.
    """
    errors: list[FieldError] = []
    month = _month(text, field, errors)
    if errors:
        raise ValidationFailed(errors=errors)
    return month


def rule_change(body: RuleBody) -> dict[str, Any]:
    """Which change does this body ask for?"""
    return {
        "component": body.component,
        **({"driver": body.driver} if body.driver else {}),
        "from": body.from_,
        "method": body.method,
        "reason": body.reason,
        "weights": {slug: str(weight) for slug, weight in body.weights.items()},
    }


def value_change(body: ValueBody) -> dict[str, Any]:
    """Which change does this body ask for?"""
    return {
        "from": body.from_,
        "hurdle": body.hurdle,
        "reason": body.reason,
        "type": body.type,
        "use_case": body.use_case,
        "value": body.value,
        "window_days": body.window_days,
    }


def as_of() -> AsOf:
    """At which position is this read?"""
    found = facade.cost_position()
    return AsOf(ledger_seq=found.seq, at=found.at)


def outcome_read(row: facade.OutcomeRow) -> OutcomeRead:
    """How does a result stand on the wire?"""
    return OutcomeRead(
        type=row.kind,
        id=row.name,
        revision=row.revision,
        success=row.success,
        count=row.count,
        use_case=row.use_case,
        at=row.at,
        join=row.join,
        source=row.source,
        entry_id=row.entry_id,
        recorded_at=row.recorded_at,
    )


def component_read(row: facade.AmountRow, currency: str) -> ComponentRead:
    """How does a statement stand on the wire?"""
    return ComponentRead(
        component=row.component,
        month=f"{row.month:%Y-%m}",
        use_case=row.use_case or None,
        amount=amount_text(row.nanos),
        amount_nanos=str(row.nanos),
        currency=currency,
        source=row.source,
        basis=row.basis,
        grade=row.grade,
        coverage=share_text(row.coverage_ppm),
        version=row.version,
        entered_at=row.entered_at,
        entered_by=row.entered_by,
    )


def rule_read(row: facade.RuleRow) -> RuleRead:
    """How does a rule stand on the wire?"""
    return RuleRead(
        component=row.component,
        version=row.version,
        method=row.method,
        weights=dict(row.weights),
        driver=row.driver or None,
        from_=f"{row.from_month:%Y-%m}",
        reason=row.reason,
        entered_at=row.entered_at,
        requested_by=row.requested_by,
        approved_by=row.approved_by,
    )


def value_read(row: facade.ValueRow, currency: str) -> ValueRead:
    """How does a value stand on the wire?"""
    return ValueRead(
        use_case=row.use_case,
        type=row.kind,
        version=row.version,
        value=amount_text(row.value),
        value_nanos=str(row.value),
        hurdle=amount_text(row.hurdle),
        hurdle_nanos=str(row.hurdle),
        currency=currency,
        window_days=row.window_days,
        from_=str(row.from_day),
        reason=row.reason,
        entered_at=row.entered_at,
        requested_by=row.requested_by,
        approved_by=row.approved_by,
    )


def allocation_read(
    plan: facade.AllocationPlan, *, slugs: Mapping[int, str], currency: str
) -> AllocationRead:
    """How does the plan of an allocation stand on the wire?"""
    return AllocationRead(
        month=f"{plan.month:%Y-%m}",
        due=bool(plan.changes),
        digest=plan.digest,
        without_rule=[each.value for each in plan.without_rule],
        items=[
            LineRead(
                component=line.component.value,
                use_case=slugs.get(line.use_case),
                amount=amount_text(line.nanos),
                amount_nanos=str(line.nanos),
                booked=amount_text(line.booked),
                booked_nanos=str(line.booked),
                currency=currency,
                rule_version=line.rule_version,
            )
            for line in plan.lines
        ],
        next=None,
        as_of=as_of(),
    )


def share_text(ppm: int) -> str:
    """How is a share written on the wire? "0.95"."""
    whole, rest = divmod(ppm, PPM)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)


def _nanos(text: str, at: str, errors: list[FieldError]) -> int:
    try:
        return parse_nanos(text)
    except AmountMalformed:
        message = "A plain decimal with at most 9 decimals."
        errors.append(FieldError(at, "amount_malformed", message))
        return 0


def _month(text: str, at: str, errors: list[FieldError]) -> date:
    try:
        found = date.fromisoformat(f"{text}-01")
    except ValueError:
        found = date(1, 1, 1)
    if not 2000 <= found.year <= 2200:
        errors.append(FieldError(at, "bad_time", "A month such as 2026-11."))
    return found


def _share(text: str, at: str, errors: list[FieldError]) -> int:
    whole, _, fraction = text.partition(".")
    ppm = int(whole) * PPM + int(fraction.ljust(_SHARE_DECIMALS, "0") or 0)
    if ppm > PPM:
        errors.append(FieldError(at, "out_of_range", "A share from 0 to 1."))
    return ppm
