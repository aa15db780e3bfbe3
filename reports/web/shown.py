"""How do the values of a report stand in a template: bar, stamp, sentence, figures?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from o10.kernel import figures
from o10.kernel.figures import Figure, is_material
from o10.kernel.money import Nanos
from o10.kernel.pageview import Bar, Column, Link, PageView, link_with
from reports import facade

LABELS = {
    "use_case": "Use case",
    "department": "Department",
    "owner": "Owner",
    "status": "Mode",
}


@dataclass(frozen=True, slots=True)
class Action:
    """Where does a button lead?"""

    label: str
    url: str
    icon: str = ""
    tone: str = ""
    primary: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What opens the page?"""

    headline: str
    subline: str = ""
    crumbs: tuple[Link, ...] = ()
    primary: Action | None = None
    actions: tuple[Action, ...] = ()
    status: "Status | None" = None


@dataclass(frozen=True, slots=True)
class Status:
    """Which word in which tone?"""

    word: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """At which position was the page computed?"""

    seq: int
    at: datetime | None
    state: str = "fresh"


@dataclass(frozen=True, slots=True)
class AsOf:
    """At which position does a frozen page stand still?"""

    seq: int
    at: datetime | None
    live_url: str


@dataclass(frozen=True, slots=True)
class Delta:
    """How far from the reference, and is that good?"""

    text: Figure
    tone: str
    up: bool | None
    word: str


@dataclass(frozen=True, slots=True)
class Kpi:
    """What does one figure of the strip say?"""

    label: str
    value: Figure | str
    unit: str = ""
    note: Figure | str = ""
    tone: str = ""
    href: str = ""
    title: str = ""
    delta: Delta | None = None
    spark: tuple[int | None, ...] = ()
    spark_label: str = ""


def delta_to_plan(variance: facade.Variance, *, currency: str) -> Delta | None:
    """How far from plan, in the colours of cost? None without a plan."""
    if variance.plan is None:
        return None
    text = figures.delta(new=variance.actual, base=variance.plan, currency=currency)
    if not is_material(new=variance.actual, base=variance.plan):
        return Delta(text, "neutral", None, "within the band")
    over = variance.actual > variance.plan
    return Delta(
        text, "adverse" if over else "favourable", over, "adverse" if over else "favourable"
    )


def bar_of(
    view: PageView,
    table: facade.UseCaseTable,
    *,
    exports: Sequence[Link],
    choices: Mapping[str, Sequence[tuple[str, str]]],
) -> Bar:
    """What stands in the bar of a report?"""
    names = {key: dict(pairs) for key, pairs in choices.items()}
    return Bar(
        period=view.months(
            shown=table.period.label, detail=table.period.detail, today=table.today
        ),
        filters=view.chips(labels=LABELS, names=names),
        add_filter=view.add_filter(labels=LABELS, choices=choices),
        copy=view.copy_links(seq=table.position.seq),
        exports=tuple(exports),
    )


def filter_choices(rows: Iterable[facade.UseCaseLine]) -> dict[str, list[tuple[str, str]]]:
    """By what can these rows be filtered? Key to (value, label), by label."""
    known = [line.row for line in rows if line.row is not None]
    return {
        "use_case": [(row.slug, row.name) for row in known],
        "department": _distinct((row.department_slug, row.department) for row in known),
        "owner": _distinct((row.owner, row.owner) for row in known if row.owner),
        "status": _distinct((row.mode, row.mode.capitalize()) for row in known),
    }


def stamp_of(table: facade.UseCaseTable) -> Stamp:
    """At which position was this table computed?"""
    return Stamp(table.position.seq, table.position.at)


def as_of(view: PageView, table: facade.UseCaseTable) -> AsOf | None:
    """Which band has a frozen page? None for a live one."""
    if not table.frozen:
        return None
    return AsOf(table.position.seq, table.position.at, view.url_with(as_of=None))


USE_CASE_COLUMNS = (
    Column("Use case", "name"),
    Column("Spent", "spent", num=True),
    Column("Plan to date", "plan", num=True),
    Column("ΔPL", "var", num=True, hint="spent minus plan to date"),
    Column("Use of envelope"),
    Column("Left", "left", num=True, hint="cap − spent − lent − unsettled"),
    Column("Calls", "calls", num=True),
    Column("Denied", "denials", num=True),
    Column("Per call", "cost", num=True, hint="spent per call served"),
    Column("Per outcome", "outcome", num=True, hint="fully loaded cost / confirmed outcomes"),
    Column("Mode"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseRow:
    """How does one use case stand in the table? Nanos where a filter writes them."""

    name: str
    sub: str
    url: str
    spent: Figure
    spent_url: str
    plan: Figure
    delta: Delta | None
    cap: Nanos | None
    used: Nanos
    held: Nanos
    lent_free: Nanos
    unsettled: Nanos
    soft: tuple[float, ...]
    bullet: str
    has_envelope: bool
    envelope_url: str
    left: Figure | None
    over: bool
    calls: Figure
    denials: int
    denials_url: str
    cost: Figure
    unit: str
    unit_sub: str
    unit_fails: bool
    mode: str
    state: str


def use_case_rows(table: facade.UseCaseTable) -> list[UseCaseRow]:
    """How do the use cases stand in the table? One scale for each column of money."""
    spent_scale = figures.money_scale(line.spent for line in table.lines)
    plan_scale = figures.money_scale(line.plan for line in table.lines)
    return [_row(line, table, spent_scale, plan_scale) for line in table.lines]


def _row(
    line: facade.UseCaseLine,
    table: facade.UseCaseTable,
    spent_scale: figures.Scale,
    plan_scale: figures.Scale,
) -> UseCaseRow:
    currency, row, envelope = table.currency, line.row, line.envelope
    entries = link_with(
        reverse("ledger"),
        *((("use_case", line.slug),) if line.slug else ()),
    )
    return UseCaseRow(
        name=line.name,
        sub=" · ".join(part for part in (row.department, row.owner) if part)
        if row
        else "no use case was named",
        url=_with_view(reverse("use-case", args=[line.slug]), table) if line.slug else "",
        spent=figures.money(line.spent, currency, scale=spent_scale),
        spent_url=f"{entries}{'&' if '?' in entries else '?'}p={table.period.months.text}",
        plan=figures.money(line.plan, currency, scale=plan_scale),
        delta=delta_to_plan(line.variance, currency=currency),
        cap=envelope.cap if envelope else None,
        used=envelope.settled if envelope else line.spent,
        held=envelope.held if envelope else 0,
        lent_free=envelope.lent - envelope.held if envelope else 0,
        unsettled=envelope.unsettled if envelope else 0,
        soft=tuple(each / 1_000_000 for each in envelope.soft_thresholds_ppm)
        if envelope
        else (),
        bullet=envelope_sentence(envelope, currency) if envelope else "",
        has_envelope=envelope is not None,
        envelope_url=reverse("envelope", args=[envelope.public]) if envelope else "",
        left=figures.money(envelope.available, currency) if envelope else None,
        over=bool(envelope and envelope.available is not None and envelope.available < 0),
        calls=figures.count(line.calls),
        denials=line.denials,
        denials_url=link_with(
            reverse("decisions"), ("decision", "deny"), ("use_case", line.slug)
        )
        if line.slug
        else "",
        cost=figures.unit_cost(line.cost_per_call, currency),
        unit=_unit(line, currency),
        unit_sub=line.unit.kind.replace("_", " ") if line.unit else "",
        unit_fails=bool(line.units and line.units.verdict is facade.Verdict.FAILS),
        mode=row.mode if row else "",
        state=row.state if row else "",
    )


def _unit(line: facade.UseCaseLine, currency: str) -> str:
    """Without an outcome at all it is missing; without a success it says what was spent."""
    if line.unit is None or not line.unit.cost.attempts:
        return ""
    return facade.unit_text(line.unit.cost, currency)


def envelope_sentence(line: facade.EnvelopeLine, currency: str) -> str:
    """How is a bullet read out?"""
    parts = [f"{line.name}: spent {figures.money(line.settled, currency).text}"]
    if line.held:
        parts.append(f"held {figures.money(line.held, currency).text}")
    if line.lent != line.held:
        parts.append(f"lent {figures.money(line.lent, currency).text}")
    if line.unsettled:
        parts.append(f"unsettled {figures.money(line.unsettled, currency).text}")
    if line.cap is None:
        parts.append("no cap of its own")
    else:
        parts.append(f"of a cap of {figures.money(line.cap, currency).text}")
    return ", ".join(parts)


def _with_view(url: str, table: facade.UseCaseTable) -> str:
    """The same period and position on the page one goes to."""
    parts = []
    if table.period.first_day != table.today.replace(day=1):
        parts.append(f"p={table.period.months.text}")
    if table.frozen:
        parts.append(f"as_of={table.position.seq}")
    return f"{url}?{'&'.join(parts)}" if parts else url


def whole(value: object) -> int | None:
    """Which integer stands in this cell of a frame? None for <NA>."""
    return None if value is None or str(value) == "<NA>" else int(str(value))


def _distinct(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(set(pairs), key=lambda each: each[1].casefold())


def exports_of(path: str) -> tuple[Link, ...]:
    """Where can a page without filters be had as a file? Its path with the form behind it."""
    return tuple(Link(form.upper(), f"/{path}.{form}") for form in ("csv", "xlsx", "json"))
