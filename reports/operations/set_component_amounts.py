"""How does finance say what a use case costs beside inference? An amount, or that it is none.

A statement books nothing: an allocation does, by rules that two people approved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from django.db import connection, transaction

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import MAX_NANOS, Nanos
from policies import facade as policies
from reports.core.allocation import PPM
from reports.core.cost_components import ABOUT, STATED, Component, Family, Grade
from reports.models import ComponentAmount

DRAFTS_MOST: Final = 1_000
_LOCK_CLASS: Final = 7_120
_TEXT_MOST: Final = 200
ZERO_ONLY: Final = tuple(each for each in Component if ABOUT[each].family is not Family.STATED)
"""Components that entries tell: of these finance can only say that there was nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentDraft:
    """What is stated for this component and month?

    Units: nanos of the ledger's currency; None takes an earlier statement back. `use_case` a
    slug, empty for an amount of the company that a rule shares out. `inputs` what it was
    computed from.
    """

    component: str
    month: date
    amount_nanos: Nanos | None
    use_case: str = ""
    source: str
    basis: str = ""
    grade: str = Grade.ATTESTED.value
    coverage_ppm: int = PPM
    inputs: Mapping[str, object] = field(default_factory=dict)


def set_component_amounts(
    *, drafts: Sequence[ComponentDraft], actor: Caller, now: datetime, key: str = ""
) -> int:
    """How many cells hold something else now? A statement that is there already changes none.

    Raises: Forbidden (`forbidden`); ValidationFailed (`validation_failed`) with one error for
    each wrong part (`/items/<place>/…`): nothing is written then.
    Locks: an advisory lock until commit, so that versions don't collide.
    """
    check(caller=actor, action=Action.CHANGE_PLAN)
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()} | {"": 0}
    problems = find_component_problems(drafts=drafts, use_cases=numbers)
    if problems:
        raise ValidationFailed(errors=problems)
    with transaction.atomic():
        lock_amounts()
        rows = [_row(draft, numbers, actor=actor, now=now, key=key) for draft in drafts]
        fresh = [row for row in rows if row is not None]
        _check_open(fresh, drafts)
        ComponentAmount.objects.bulk_create(fresh)
    return len(fresh)


def lock_amounts() -> None:
    """Who states amounts waits here for others who do, until commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [_LOCK_CLASS])


def _check_open(fresh: Sequence[ComponentAmount], drafts: Sequence[ComponentDraft]) -> None:
    """A closed month takes no allocation: what comes late belongs to an open one."""
    closed = {
        month
        for month in {row.month for row in fresh}
        if (found := ledger.find_period(f"{month:%Y-%m}")) and found.status == "closed"
    }
    errors = [
        FieldError(
            f"/items/{place}/month",
            "period_closed",
            f"{draft.month:%B %Y} is closed: state it for an open month and say so as basis.",
        )
        for place, draft in enumerate(drafts)
        if draft.month.replace(day=1) in closed
    ]
    if errors:
        raise ValidationFailed(errors=errors)


def find_component_problems(
    *, drafts: Sequence[ComponentDraft], use_cases: Mapping[str, int]
) -> list[FieldError]:
    """What is wrong with these statements? One error for each wrong part."""
    if not 1 <= len(drafts) <= DRAFTS_MOST:
        message = f"From 1 to {DRAFTS_MOST:,} statements at once."
        return [FieldError("/items", "too_many", message)]
    problems: list[FieldError] = []
    seen: dict[tuple[str, date, str], int] = {}
    for place, draft in enumerate(drafts):
        problems += _problems(f"/items/{place}", draft, use_cases)
        cell = (draft.component, draft.month.replace(day=1), draft.use_case)
        if cell in seen:
            message = f"Item {seen[cell] + 1} names the same component, month and use case."
            problems.append(FieldError(f"/items/{place}", "twice", message))
        seen.setdefault(cell, place)
    return problems


def _problems(at: str, draft: ComponentDraft, use_cases: Mapping[str, int]) -> list[FieldError]:
    found = []
    known = {each.value for each in Component}
    if draft.component not in known:
        message = f"One of {', '.join(each.value for each in STATED)}."
        found.append(FieldError(f"{at}/component", "not_a_choice", message))
    elif Component(draft.component) in ZERO_ONLY and draft.amount_nanos:
        message = "Entries tell this component; only an amount of 0 can be stated for it."
        found.append(FieldError(f"{at}/amount", "not_stated", message))
    if draft.use_case not in use_cases:
        message = f"There is no use case {draft.use_case[:64]!r}."
        found.append(FieldError(f"{at}/use_case", "unknown", message))
    if draft.amount_nanos is not None and not -MAX_NANOS // 1_000 <= draft.amount_nanos <= (
        MAX_NANOS // 1_000
    ):
        message = "An amount of a month lies within 9,223,372 units."
        found.append(FieldError(f"{at}/amount", "out_of_range", message))
    if draft.grade not in {each.value for each in Grade}:
        message = f"One of {', '.join(each.value for each in Grade)}."
        found.append(FieldError(f"{at}/grade", "not_a_choice", message))
    if not 0 <= draft.coverage_ppm <= PPM:
        found.append(FieldError(f"{at}/coverage", "out_of_range", "A share from 0 to 1."))
    if not draft.source.strip() or len(draft.source) > _TEXT_MOST:
        message = "Say where the amount comes from, in up to 200 characters."
        found.append(FieldError(f"{at}/source", "required", message))
    if len(draft.basis) > _TEXT_MOST:
        found.append(FieldError(f"{at}/basis", "too_long", "Up to 200 characters."))
    if not 2000 <= draft.month.year <= 2200:
        found.append(FieldError(f"{at}/month", "out_of_range", "A month of 2000 to 2200."))
    return found


def _row(
    draft: ComponentDraft,
    numbers: Mapping[str, int],
    *,
    actor: Caller,
    now: datetime,
    key: str,
) -> ComponentAmount | None:
    month, number = draft.month.replace(day=1), numbers[draft.use_case]
    newest = (
        ComponentAmount.objects.filter(component=draft.component, month=month, use_case=number)
        .order_by("-version")
        .first()
    )
    said = (
        draft.amount_nanos,
        draft.source.strip(),
        draft.basis.strip(),
        draft.grade,
        draft.coverage_ppm,
        dict(draft.inputs),
    )
    if newest is not None and said == (
        newest.amount_nanos,
        newest.source,
        newest.basis,
        newest.grade,
        newest.coverage_ppm,
        newest.inputs,
    ):
        return None
    return ComponentAmount(
        component=draft.component,
        month=month,
        use_case=number,
        amount_nanos=draft.amount_nanos,
        source=draft.source.strip(),
        basis=draft.basis.strip(),
        grade=draft.grade,
        coverage_ppm=draft.coverage_ppm,
        inputs=dict(draft.inputs),
        version=newest.version + 1 if newest else 1,
        entered_at=now,
        entered_by=actor.actor,
        key=key,
    )
