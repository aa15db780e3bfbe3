"""How does a plan get into o10, and how is it changed?

A change appends lines of a new version; nothing is overwritten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db import connection, transaction

from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import MAX_NANOS, Nanos
from policies import facade as policies
from reports.models import PlanLine

LINES_MOST: Final = 5_000
_LOCK_CLASS: Final = 7_110
"""Advisory lock of the plan: versions are counted one after the other."""


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """How much is planned for this use case in this month?

    Units: nanos of the ledger's currency, None takes an earlier line back. `use_case` is a
    slug, empty for spend of no use case; `month` any day of the month.
    """

    use_case: str
    month: date
    amount_nanos: Nanos | None


def set_plan(
    *, lines: Sequence[PlanDraft], actor: Caller, now: datetime, approved: str = ""
) -> int:
    """Which version of the plan has these lines? Cells that are not named keep theirs.

    Doors call `ask_plan`; directly it is called at set-up and, with the request's id in
    `approved`, by the approval: then the role of who agreed last is not asked again.
    Raises: Forbidden (`forbidden`); ValidationFailed (`validation_failed`) with one error for
    each wrong line (`/lines/<place>/…`): nothing is written then.
    Locks: an advisory lock until commit, so that versions don't collide.
    """
    if not approved:
        check(caller=actor, action=Action.CHANGE_PLAN)
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()} | {"": 0}
    problems = find_plan_problems(lines=lines, use_cases=numbers)
    if problems:
        raise ValidationFailed(errors=problems)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [_LOCK_CLASS])
            cursor.execute("SELECT coalesce(max(version), 0) + 1 FROM reports_plan_line")
            version = int(cursor.fetchone()[0])
        PlanLine.objects.bulk_create(
            PlanLine(
                month=line.month.replace(day=1),
                use_case=numbers[line.use_case],
                amount_nanos=line.amount_nanos,
                version=version,
                entered_at=now,
                entered_by=actor.actor,
            )
            for line in lines
        )
    return version


def find_plan_problems(
    *, lines: Sequence[PlanDraft], use_cases: Mapping[str, int]
) -> list[FieldError]:
    """What is wrong with these lines? One error for each wrong part; none when all is right."""
    if not lines:
        return [FieldError("/lines", "empty", "A plan has at least one line.")]
    if len(lines) > LINES_MOST:
        return [
            FieldError(
                "/lines", "too_many", f"A plan has at most {LINES_MOST:,} lines at once."
            )
        ]
    problems: list[FieldError] = []
    seen: dict[tuple[str, date], int] = {}
    for place, line in enumerate(lines):
        cell = (line.use_case, line.month.replace(day=1))
        if line.use_case not in use_cases:
            message = f"There is no use case {line.use_case[:64]!r}."
            problems.append(FieldError(f"/lines/{place}/use_case", "unknown", message))
        amount = line.amount_nanos
        if amount is not None and not 0 <= amount <= MAX_NANOS:
            message = "A planned amount is not negative and fits 9,223,372,036 units."
            problems.append(FieldError(f"/lines/{place}/amount", "out_of_range", message))
        if cell in seen:
            message = f"Line {seen[cell] + 1} names the same use case and month."
            problems.append(FieldError(f"/lines/{place}", "twice", message))
        seen.setdefault(cell, place)
    return problems
