"""What is a table, whatever it leaves as: CSV, JSON, XLSX?

Raw values: nanos, counts, texts, instants. Rounding and signs are the page's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

Value = int | str | date | datetime | None


class Kind(StrEnum):
    """What stands in a column?"""

    TEXT = "text"
    MONEY = "money"
    """Nanos of the table's currency."""
    COUNT = "count"
    INSTANT = "instant"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """Which column is it? `key` in files, `label` for people."""

    key: str
    label: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Which rows, at which position, under which filters?

    Shape: `rows` have one value a column; `view` is the canonical query of the page; `more`
    true = there are rows beyond the limit of a file.
    """

    name: str
    title: str
    currency: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Value, ...], ...]
    position: int
    position_at: datetime | None
    view: str
    more: bool = False
    totals: Mapping[str, int] = field(default_factory=dict)
