"""How does a page lead to its other views: sorted, filtered, another period, frozen, exported?

One `PageView` is a path and what it shows; every link on the page is that view with one thing
changed, printed by the one grammar of `viewquery`. Links always start at page 1 and drop the
cursor: a changed view has other pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import quote, unquote

from o10.kernel.viewquery import (
    Direction,
    Filter,
    Match,
    PageGrammar,
    PeriodRange,
    Sort,
    ViewQuery,
    to_text,
)

FORMATS = ("csv", "xlsx", "json")
MONTHS_OFFERED = 13


@dataclass(frozen=True, slots=True)
class Link:
    """Where does it lead, and is that where we are?"""

    label: str
    url: str
    current: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SortLink:
    """Where does a click on this head lead? `state` ascending, descending or empty."""

    url: str
    state: str


@dataclass(frozen=True, slots=True)
class Column:
    """What does the head of a column say?

    Shape: `key` of the grammar, empty for a column that can't be sorted by.
    """

    label: str
    key: str = ""
    num: bool = False
    hint: str = ""
    sort: SortLink | None = None


@dataclass(frozen=True, slots=True)
class FilterChip:
    """Which filter is on, and where is the page without it?"""

    key: str
    label: str
    value: str
    remove_url: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which value can be chosen? `value` as it stands in the address (`key:value`)."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class ChoiceList:
    """Which filter can be added?"""

    label: str
    options: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class AddFilter:
    """Which form adds a filter? `hidden` are the parts of the view that stay."""

    action: str
    hidden: tuple[tuple[str, str], ...]
    choices: tuple[ChoiceList, ...]


@dataclass(frozen=True, slots=True)
class PeriodMenu:
    """Which period is shown, and which others are there?"""

    label: str
    detail: str
    choices: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class CopyLinks:
    """Which links can be copied? `frozen_url` empty = the page can't be frozen."""

    live_url: str
    frozen_url: str
    seq: int


@dataclass(frozen=True, slots=True)
class Bar:
    """What stands in the bar on top of a page?"""

    period: PeriodMenu | None = None
    compare: tuple[Link, ...] = ()
    filters: tuple[FilterChip, ...] = ()
    add_filter: AddFilter | None = None
    copy: CopyLinks | None = None
    exports: tuple[Link, ...] = ()
    actions: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class PageView:
    """Which page shows what? `path` starts and ends with a slash."""

    path: str
    query: ViewQuery
    grammar: PageGrammar

    @property
    def url(self) -> str:
        """What is the address of exactly this view?"""
        return self._url(self.query)

    def url_with(self, **changes: object) -> str:
        """What is the address of this view with these parts changed, from its first page?"""
        return self._url(replace(self.query, page_number=1, **changes))  # type: ignore[arg-type]

    def url_filtered(self, key: str, value: str) -> str:
        """What is the address of this view with one filter more?"""
        added = Filter(key, value)
        kept = tuple(each for each in self.query.filters if each != added)
        return self.url_with(filters=(*kept, added))

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """Which heads has the table, each with its link to sort by it?"""
        return tuple(
            replace(column, sort=self._sort_link(column)) if column.key else column
            for column in columns
        )

    def chips(
        self, *, labels: Mapping[str, str], names: Mapping[str, Mapping[str, str]]
    ) -> tuple[FilterChip, ...]:
        """Which filters are on? `labels` name the keys, `names` the values of a key."""
        chips = []
        for each in self.query.filters:
            rest = tuple(other for other in self.query.filters if other != each)
            shown = names.get(each.key, {}).get(each.value, each.value)
            chips.append(
                FilterChip(
                    key=each.key,
                    label=labels.get(each.key, each.key.replace("_", " ").capitalize()),
                    value=f"not {shown}" if each.match is Match.IS_NOT else shown,
                    remove_url=self.url_with(filters=rest),
                )
            )
        return tuple(chips)

    def add_filter(
        self, *, labels: Mapping[str, str], choices: Mapping[str, Sequence[tuple[str, str]]]
    ) -> AddFilter:
        """Which form adds a filter? `choices` maps a key to (value, label) pairs."""
        kept = replace(self.query, page_number=1)
        hidden = [pair.split("=", 1) for pair in to_text(kept, page=self.grammar).split("&")]
        return AddFilter(
            action=self.path,
            hidden=tuple((key, unquote(value)) for key, value in hidden if key)
            if hidden != [[""]]
            else (),
            choices=tuple(
                ChoiceList(
                    labels.get(key, key.replace("_", " ").capitalize()),
                    tuple(Choice(f"{key}:{value}", label) for value, label in pairs),
                )
                for key, pairs in choices.items()
                if pairs
            ),
        )

    def months(self, *, shown: str, detail: str, today: date) -> PeriodMenu:
        """Which months can be chosen? This one and the twelve before, then years to date."""
        newest = today.year * 12 + today.month - 1
        months = [PeriodRange(m, m) for m in range(newest, newest - MONTHS_OFFERED, -1)]
        year = PeriodRange(today.year * 12, newest)
        links = [self._period_link(each, is_now=each.first_month == newest) for each in months]
        if year.first_month < newest:
            links.append(self._period_link(year, is_now=False))
        return PeriodMenu(shown, detail, tuple(links))

    def copy_links(self, *, seq: int) -> CopyLinks:
        """Which links can be copied? Without a position (0) only the live one."""
        frozen = self.url_with(as_of=seq) if seq else ""
        return CopyLinks(self.url_with(as_of=None), frozen, seq)

    def exports(self) -> tuple[Link, ...]:
        """Under which addresses do the rows of this page leave as files?"""
        stem = self.path.rstrip("/")
        text = to_text(replace(self.query, page_number=1), page=self.grammar)
        return tuple(
            Link(each.upper(), f"{stem}.{each}{'?' + text if text else ''}") for each in FORMATS
        )

    def _url(self, query: ViewQuery) -> str:
        text = to_text(query, page=self.grammar)
        return f"{self.path}?{text}" if text else self.path

    def _sort_link(self, column: Column) -> SortLink:
        now = self.query.sort or self.grammar.default_sort
        state = now.direction.value if now is not None and now.column == column.key else ""
        # Figures start from the largest, names from A; a second click turns.
        first = Direction.DESCENDING if column.num else Direction.ASCENDING
        turned = Direction.ASCENDING if first is Direction.DESCENDING else Direction.DESCENDING
        direction = turned if state == first.value else first
        return SortLink(self.url_with(sort=Sort(column.key, direction)), state)

    def _period_link(self, period: PeriodRange, *, is_now: bool) -> Link:
        chosen = None if is_now else period
        return Link(
            period.label,
            self.url_with(period=chosen),
            self.query.period == period or (is_now and self.query.period is None),
            "this month" if is_now else "",
        )


def link_with(path: str, *filters: tuple[str, str]) -> str:
    """What is the address of a page with these filters, in canonical order?"""
    parts = sorted(f"f={quote(f'{key}:{value}', safe=':,!.-_~')}" for key, value in filters)
    return f"{path}?{'&'.join(parts)}" if parts else path
