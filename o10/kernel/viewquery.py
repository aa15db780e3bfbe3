"""What does the address of a page ask for? One query grammar for every page.

`parse` reads key and value pairs and never fails: what it does not know it names in a message
and leaves out. `to_text` prints the canonical form, so that equal views have equal addresses:
keys in the order of the grammar, filters sorted, defaults left out.
Source: ux.md section 6. Golden: tests/golden/viewquery.json.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from o10.kernel.periods import day_start, zone_of

DIMENSIONS: Final = (
    "use_case",
    "model",
    "venue",
    "department",
    "environment",
    "customer",
    "task_type",
    "service_class",
    "key",
)
"""What spend can be broken down by; besides them `tag:<name>`."""
FILTERS: Final = (*DIMENSIONS, "env", "kind", "status", "decision", "reason", "owner", "state")
"""What a page can be filtered by; besides them `tag:<name>`. `env` is short for environment."""

MAX_FILTERS = 32
MAX_COLUMNS = 32
MAX_VALUE = 128
MAX_PAGE = 100_000
MAX_SEQ = 2**63 - 1


class Unit(StrEnum):
    """In what are the numbers?"""

    MONEY = "money"
    TOKENS = "tokens"
    CALLS = "calls"


class Match(StrEnum):
    """Does a filter keep or drop the value?"""

    IS = "is"
    IS_NOT = "is_not"


class Direction(StrEnum):
    """Which end of a column comes first?"""

    ASCENDING = "ascending"
    DESCENDING = "descending"


class Baseline(StrEnum):
    """With what is spend compared?"""

    PLAN = "plan"
    FORECAST = "forecast"
    PRIOR_YEAR = "py"


@dataclass(frozen=True, slots=True)
class PeriodRange:
    """From which month until which (both included)? Months count from January of year 0."""

    first_month: int
    last_month: int

    @property
    def text(self) -> str:
        """How is it written in an address? `2026`, `2026-Q4`, `2026-11` or a range."""
        year, month = divmod(self.first_month, 12)
        length = self.last_month - self.first_month + 1
        if length == 12 and month == 0:
            return f"{year}"
        if length == 3 and month % 3 == 0:
            return f"{year}-Q{month // 3 + 1}"
        first = _month_text(self.first_month)
        return first if length == 1 else f"{first}..{_month_text(self.last_month)}"

    @property
    def label(self) -> str:
        """How is it called on a page? "Nov 2026", "Q4 2026", "2026", "Jan 2026 – Nov 2026"."""
        if re.fullmatch(r"\d{4}", self.text):
            return self.text
        if "Q" in self.text:
            year, quarter = self.text.split("-")
            return f"{quarter} {year}"
        first, last = _month_name(self.first_month), _month_name(self.last_month)
        return first if first == last else f"{first} – {last}"

    def bounds(self, time_zone: str = "UTC") -> tuple[datetime, datetime]:
        """Which UTC instants does it cover in this zone? Start included, end excluded."""
        zone = zone_of(time_zone)
        first, after = self.first_month, self.last_month + 1
        return day_start(_first_day(first), zone), day_start(_first_day(after), zone)


@dataclass(frozen=True, slots=True)
class Comparison:
    """With what is spend compared? `forecast` carries the id of the forecast."""

    baseline: Baseline = Baseline.PLAN
    forecast_id: str = ""

    @property
    def text(self) -> str:
        """How is it written in an address?"""
        return f"{self.baseline}:{self.forecast_id}" if self.forecast_id else str(self.baseline)


@dataclass(frozen=True, slots=True, order=True)
class Filter:
    """Which rows stay? Same key = or, different keys = and; IS_NOT drops the value."""

    key: str
    value: str
    match: Match = Match.IS

    @property
    def text(self) -> str:
        """How is it written in an address?"""
        return f"{self.key}:{'!' if self.match is Match.IS_NOT else ''}{self.value}"


@dataclass(frozen=True, slots=True)
class Sort:
    """By which column, from which end?"""

    column: str
    direction: Direction = Direction.ASCENDING

    @property
    def text(self) -> str:
        """How is it written in an address?"""
        return f"-{self.column}" if self.direction is Direction.DESCENDING else self.column


@dataclass(frozen=True, slots=True)
class PageGrammar:
    """Which names does a page know?

    Shape: `columns` for `sort` and `cols`; `by` and `filters` as given (each also takes
    `tag:<name>`); `default_by` and `default_sort` are left out of the address.
    """

    columns: tuple[str, ...] = ()
    by: tuple[str, ...] = DIMENSIONS
    filters: tuple[str, ...] = FILTERS
    default_by: str | None = None
    default_sort: Sort | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewQuery:
    """What does a page show? None and empty mean the page's own default."""

    period: PeriodRange | None = None
    comparison: Comparison = field(default_factory=Comparison)
    by: str | None = None
    filters: tuple[Filter, ...] = ()
    unit: Unit = Unit.MONEY
    sort: Sort | None = None
    columns: tuple[str, ...] = ()
    page_number: int = 1
    as_of: int | None = None

    def values_of(self, key: str, match: Match = Match.IS) -> tuple[str, ...]:
        """Which values of this filter key are kept (or dropped)? Empty = no such filter."""
        return tuple(f.value for f in self.filters if f.key == key and f.match is match)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was understood, and what was not?"""

    query: ViewQuery
    messages: tuple[str, ...]


def parse(pairs: Iterable[tuple[str, str]], *, page: PageGrammar | None = None) -> Parsed:
    """What do these pairs of an address ask for?

    Shape: `pairs` in any order, `f` repeated; of another key sent twice the last one counts.
    Each message is one sentence naming the key and what it takes; the query is without that
    part.
    """
    grammar = page or PageGrammar()
    query, messages = ViewQuery(), []
    for key, value in pairs:
        reader = _READERS.get(key)
        if reader is None:
            known = ", ".join(_READERS)
            messages.append(f"{_shown(key)} is not a key of this page; the keys are {known}.")
            continue
        change = (
            reader(value, query, grammar) if len(value) <= 16 * MAX_VALUE else "a shorter value"
        )
        if isinstance(change, str):
            messages.append(f"{key}={_shown(value)} was left out: {key} takes {change}.")
        else:
            query = change
    return Parsed(query, tuple(messages))


def to_text(query: ViewQuery, *, page: PageGrammar | None = None) -> str:
    """How is this view written in an address, after the question mark? Empty by default."""
    grammar = page or PageGrammar()
    parts: list[tuple[str, str]] = []
    if query.period is not None:
        parts.append(("p", query.period.text))
    if query.comparison != Comparison():
        parts.append(("cmp", query.comparison.text))
    if query.by not in (None, grammar.default_by):
        parts.append(("by", query.by or ""))
    parts += [("f", each.text) for each in sorted(set(query.filters))]
    if query.unit is not Unit.MONEY:
        parts.append(("unit", query.unit))
    if query.sort not in (None, grammar.default_sort):
        parts.append(("sort", query.sort.text if query.sort else ""))
    if query.columns:
        parts.append(("cols", ",".join(query.columns)))
    if query.page_number != 1:
        parts.append(("page", str(query.page_number)))
    if query.as_of is not None:
        parts.append(("as_of", str(query.as_of)))
    return "&".join(f"{key}={quote(value, safe=':,!.-_~')}" for key, value in parts)


Change = ViewQuery | str
"""A reader returns the query with its part in it, or what the key takes."""


def _read_period(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    found = period_range(value)
    if found is None:
        return "2026-11, 2026-Q4, 2026 or 2026-01..2026-11"
    return replace(query, period=found)


def period_range(text: str) -> PeriodRange | None:
    """Which months does this text name? None when it names none."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        return None
    year, quarter, month = int(match["year"]), match["quarter"], match["month"]
    if quarter:
        first = year * 12 + (int(quarter) - 1) * 3
        return PeriodRange(first, first + 2)
    if not month:
        return PeriodRange(year * 12, year * 12 + 11)
    first = last = year * 12 + int(month) - 1
    if match["last_year"]:
        last = int(match["last_year"]) * 12 + int(match["last_month"]) - 1
    return PeriodRange(first, last) if first <= last else None


def _read_comparison(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    name, _, forecast_id = value.partition(":")
    with_id = name == Baseline.FORECAST
    if name not in list(Baseline) or with_id != bool(_TOKEN.fullmatch(forecast_id)):
        return "plan, py or forecast:<id>"
    return replace(query, comparison=Comparison(Baseline(name), forecast_id))


def _read_by(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    if value in page.by or _TAG.fullmatch(value):
        return replace(query, by=value)
    return f"one of {', '.join(page.by)}, tag:<name>"


def _read_filter(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    match = _FILTER.fullmatch(value)
    key = match["key"] if match else ""
    if match is None or not (key in page.filters or key.startswith("tag:")):
        return f"key:value with a key of {', '.join(page.filters)}, tag:<name>"
    if len(match["value"]) > MAX_VALUE or len(query.filters) >= MAX_FILTERS:
        return f"at most {MAX_FILTERS} filters of {MAX_VALUE} characters"
    kind = Match.IS_NOT if match["not"] else Match.IS
    return replace(query, filters=(*query.filters, Filter(key, match["value"], kind)))


def _read_unit(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    if value in list(Unit):
        return replace(query, unit=Unit(value))
    return f"one of {', '.join(Unit)}"


def _read_sort(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    column = value.removeprefix("-")
    if column not in page.columns:
        return f"a column of {', '.join(page.columns)}, with - for descending"
    direction = Direction.DESCENDING if value.startswith("-") else Direction.ASCENDING
    return replace(query, sort=Sort(column, direction))


def _read_columns(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    columns = tuple(dict.fromkeys(value.split(",")))
    if len(columns) > MAX_COLUMNS or not set(columns) <= set(page.columns):
        return f"a comma list of {', '.join(page.columns)}"
    return replace(query, columns=columns)


def _read_page(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    number = _whole(value)
    if number is None or not 1 <= number <= MAX_PAGE:
        return f"a number from 1 to {MAX_PAGE:,}"
    return replace(query, page_number=number)


def _read_as_of(value: str, query: ViewQuery, page: PageGrammar) -> Change:
    number = _whole(value)
    if number is None or number > MAX_SEQ:
        return "a ledger position, a whole number"
    return replace(query, as_of=number)


_READERS: Final[dict[str, Callable[[str, ViewQuery, PageGrammar], Change]]] = {
    "p": _read_period,
    "cmp": _read_comparison,
    "by": _read_by,
    "f": _read_filter,
    "unit": _read_unit,
    "sort": _read_sort,
    "cols": _read_columns,
    "page": _read_page,
    "as_of": _read_as_of,
}
"""The keys in canonical order."""

_MONTH = r"(?:0[1-9]|1[0-2])"
_PERIOD = re.compile(
    rf"(?P<year>20\d\d)(?:-(?:Q(?P<quarter>[1-4])|(?P<month>{_MONTH})"
    rf"(?:\.\.(?P<last_year>20\d\d)-(?P<last_month>{_MONTH}))?))?",
    re.A,
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.A)
_TAG = re.compile(r"tag:[^:!,\x00-\x1f\x7f]{1,64}")
_FILTER = re.compile(
    r"(?P<key>tag:[^:!,\x00-\x1f\x7f]{1,64}|[a-z_]{1,32}):(?P<not>!?)(?P<value>[^\x00-\x1f\x7f]+)"
)


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None


def _shown(text: str) -> str:
    short = "".join(character for character in text[:40] if character.isprintable())
    return f"{short}…" if len(text) > 40 else short


def _first_day(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def _month_text(month: int) -> str:
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def _month_name(month: int) -> str:
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).strftime("%b %Y")
