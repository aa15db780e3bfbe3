"""Which use cases are there, for a page: name, department, owner, mode, limits?"""

from dataclasses import dataclass
from datetime import datetime

from o10.access.queries import list_people
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos
from policies.models import Department, UseCase


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseRow:
    """What does a page say about a use case?

    Shape: `number` is what entries carry; `owner` the name of a person, empty when nobody was
    named. Units: tokens; nanos for `fail_open_cap_nanos`.
    """

    number: int
    public: str
    slug: str
    name: str
    department: str
    department_slug: str
    owner: str
    mode: str
    state: str
    floor_class: str
    fail_mode: str
    fail_open_cap_nanos: Nanos
    default_model: str
    default_max_output_tokens: int | None
    max_input_tokens: int | None
    fit_output: bool
    strict_prices: bool
    may_pin: bool
    may_write_cache: bool
    created_at: datetime


def list_use_case_rows() -> list[UseCaseRow]:
    """Which use cases are there, by name?"""
    names = {person.id: person.display_name for person in list_people()}
    rows = UseCase.objects.select_related("department").order_by("name", "id")
    return [_row(row, names) for row in rows]


def get_use_case_row(*, slug: str) -> UseCaseRow:
    """Which use case has this slug?

    Raises: NotFound (`not_found`).
    """
    row = UseCase.objects.select_related("department").filter(slug=slug).first()
    if row is None:
        raise NotFound(kind="use_case", id=slug)
    return _row(row, {person.id: person.display_name for person in list_people()})


def list_department_names() -> dict[str, str]:
    """How is each department called? Slug to name."""
    return dict(Department.objects.order_by("name").values_list("slug", "name"))


def _row(row: UseCase, names: dict[str, str]) -> UseCaseRow:
    return UseCaseRow(
        number=row.id,
        public=row.public,
        slug=row.slug,
        name=row.name,
        department=row.department.name,
        department_slug=row.department.slug,
        owner=names.get(row.owner, ""),
        mode=row.mode,
        state=row.state,
        floor_class=row.floor_class,
        fail_mode=row.fail_mode,
        fail_open_cap_nanos=row.fail_open_cap_nanos,
        default_model=row.default_model,
        default_max_output_tokens=row.default_max_output_tokens,
        max_input_tokens=row.max_input_tokens,
        fit_output=row.fit_output,
        strict_prices=row.strict_prices,
        may_pin=row.may_pin,
        may_write_cache=row.may_write_cache,
        created_at=row.created_at,
    )
