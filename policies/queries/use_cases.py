"""How is a use case told over the API: its rules as they are in force?"""

from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec
from django.db.models import Sum

from o10.kernel.errors import NotFound
from o10.kernel.money import amount_text
from policies.core.drafts import ApprovedModel
from policies.models import Reservation, UseCase
from policies.queries.current_policy import current_policy
from policies.queries.envelopes import LIMIT_MOST, AsOf, ledger_position


class UseCaseView(msgspec.Struct, frozen=True, kw_only=True):
    """What does one use case say? Units: tokens; `fail_open_cap` per key and hour.

    `approved_models` null = every model that has a price may be used.
    """

    id: str
    slug: str
    name: str
    department: str
    owner: str
    floor_class: str
    mode: str
    state: str
    starts_at: datetime | None
    fail_mode: str
    fail_open_cap: str
    default_model: str
    default_max_output_tokens: int | None
    max_input_tokens: int | None
    fit_output: bool
    may_write_cache: bool
    strict_prices: bool
    may_pin: bool
    approved_models: tuple[ApprovedModel, ...] | None
    policy_version: int


class UseCasePage(msgspec.Struct, frozen=True, kw_only=True):
    """Which use cases, and from where does the next page go on? Null = it ends here."""

    items: tuple[UseCaseView, ...]
    next: str | None
    as_of: AsOf


def get_use_case(*, slug: str) -> UseCaseView:
    """What does this use case say?

    Raises: NotFound (`not_found`).
    """
    row = UseCase.objects.select_related("department").filter(slug=slug).first()
    if row is None:
        raise NotFound(kind="use_case", id=slug)
    return _view(row, current_policy().snapshot.version)


def list_use_cases(
    *,
    slugs: AbstractSet[str] | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> UseCasePage:
    """Which use cases are there, by slug? `slugs` = only those (the scope of a key)."""
    size = max(1, min(limit, LIMIT_MOST))
    found = UseCase.objects.select_related("department").order_by("slug")
    if slugs is not None:
        found = found.filter(slug__in=slugs)
    if cursor:
        found = found.filter(slug__gt=cursor)
    rows = list(found[: size + 1])
    version = current_policy().snapshot.version
    return UseCasePage(
        items=tuple(_view(row, version) for row in rows[:size]),
        next=rows[size - 1].slug if len(rows) > size else None,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def held_by_use_case(*, use_case: str) -> int:
    """How many nanos do open reservations of this use case hold?

    Raises: NotFound (`not_found`).
    """
    row = UseCase.objects.filter(slug=use_case).values_list("id", flat=True).first()
    if row is None:
        raise NotFound(kind="use_case", id=use_case)
    total = Reservation.objects.filter(use_case=row, state="open").aggregate(
        held=Sum("open_nanos")
    )
    return int(total["held"] or 0)


def _view(row: UseCase, version: int) -> UseCaseView:
    return UseCaseView(
        id=row.public,
        slug=row.slug,
        name=row.name,
        department=row.department.slug,
        owner=row.owner,
        floor_class=row.floor_class,
        mode=row.mode,
        state=row.state,
        starts_at=row.starts_at,
        fail_mode=row.fail_mode,
        fail_open_cap=amount_text(row.fail_open_cap_nanos),
        default_model=row.default_model,
        default_max_output_tokens=row.default_max_output_tokens,
        max_input_tokens=row.max_input_tokens,
        fit_output=row.fit_output,
        may_write_cache=row.may_write_cache,
        strict_prices=row.strict_prices,
        may_pin=row.may_pin,
        approved_models=None
        if row.approved_models is None
        else tuple(msgspec.convert(each, ApprovedModel) for each in row.approved_models),
        policy_version=version,
    )
