"""How does a template write a number? Filters that call `o10.kernel.figures`, nothing else.

Every filter answers markup: the text, the exact value as a title where the text is rounded, and
the words for a screen reader where the text alone would mislead ("—" is "not measured").
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from o10.kernel import figures
from o10.kernel.figures import Figure
from o10.kernel.money import Money, Nanos

register = template.Library()

Amount = Money | Nanos | str | None
"""Templates answer "" for a value that is not there: it is missing, like None."""


def _known(value: Any) -> Any:
    return None if value == "" else value


@register.filter
def figure(value: object) -> SafeString:
    """How does a figure stand on a page? Texts are escaped; None and "" are missing."""
    if value is None or value == "":
        return figure(figures.money(None))
    if not isinstance(value, Figure):
        return format_html("{}", value)
    shown = value.text
    if value.spoken:
        shown = format_html(
            '<span aria-hidden="true">{}</span><span class="vh">{}</span>', shown, value.spoken
        )
    if value.exact and value.exact != value.text:
        return format_html('<span title="{}">{}</span>', value.exact, shown)
    return format_html("{}", shown)


def _amount(write: Callable[..., Figure], value: Amount, currency: str) -> SafeString:
    if isinstance(value, Money):
        return figure(write(value.nanos, value.currency))
    return figure(write(_known(value), currency))


@register.filter
def money(value: Amount, currency: str = "USD") -> SafeString:
    """How is an amount written in KPIs and tables? `Money`, or int nanos of `currency`."""
    return _amount(figures.money, value, currency)


@register.filter
def money_exact(value: Amount, currency: str = "USD") -> SafeString:
    """How is an amount written in the ledger? All nine decimals."""
    return _amount(figures.money_exact, value, currency)


@register.filter
def unit_cost(value: Amount, currency: str = "USD") -> SafeString:
    """How is the cost of one call or outcome written?"""
    return _amount(figures.unit_cost, value, currency)


@register.filter
def rate(value: Amount, currency: str = "USD") -> SafeString:
    """How is a price per million tokens written?"""
    return _amount(figures.rate, value, currency)


@register.filter
def count(value: int | None) -> SafeString:
    """How are tokens and calls written? "412k"."""
    return figure(figures.count(_known(value)))


@register.filter
def whole(value: int | None) -> SafeString:
    """How is a position or a count written in full? "4,812,337"."""
    return figure(figures.count_exact(_known(value)))


@register.filter
def percent_of(part: int | None, of: int | None) -> SafeString:
    """Which share of `of` is this? "7.6%"."""
    return figure(figures.percent(part=_known(part), whole=_known(of)))


@register.filter
def points(parts_per_million: int | None) -> SafeString:
    """How is a difference of percents written? "+1.2 pp"."""
    return figure(figures.points(_known(parts_per_million)))


@register.filter
def score(value: Decimal | None, floor: Decimal) -> SafeString:
    """How is a score written beside its floor?"""
    return figure(figures.score(_known(value), floor=floor))


@register.filter
def day(value: date | None) -> SafeString:
    """How is a date written? "22 Nov 2026"."""
    return figure(figures.day(_known(value)))


@register.filter
def moment(value: datetime | str | None, time_zone: str = "UTC") -> SafeString:
    """How is an instant written? "22 Nov 2026 05:00 UTC"; a text is already written."""
    if isinstance(value, datetime):
        return figure(figures.instant(value, time_zone=time_zone))
    return figure(value)


@register.filter
def clock(value: datetime | None, time_zone: str = "UTC") -> SafeString:
    """How is a time of day written? "05:00 UTC"."""
    return figure(figures.clock_time(_known(value), time_zone=time_zone))


@register.filter
def short_hash(value: bytes | str | None) -> SafeString:
    """How is a hash written where it only has to be recognised? "9f3c…e71a"."""
    text = bytes(value).hex() if isinstance(value, bytes | memoryview) else (value or "")
    if len(text) <= 12:
        return figure(text)
    return figure(Figure(f"{text[:4]}…{text[-4:]}", exact=text))


DELTA_WORDS = {"favourable": "favourable", "adverse": "adverse", "neutral": "within the band"}


@register.inclusion_tag("_components/_delta.html")
def delta(
    new: Nanos | None, base: Nanos | None, currency: str = "USD", more_is: str = "adverse"
) -> dict[str, object]:
    """By how much did an amount move, and is that good?

    Units: nanos of `currency`; `more_is` names the tone of a rise ("adverse" for cost).
    Shape: context of `_components/_delta.html`; inside the materiality band grey, no triangle.
    """
    new, base = _known(new), _known(base)
    shown = figures.delta(new=new, base=base, currency=currency)
    if new is None or base is None or not figures.is_material(new=new, base=base):
        return {"text": shown, "tone": "neutral", "up": None, "word": DELTA_WORDS["neutral"]}
    fewer_is = "favourable" if more_is == "adverse" else "adverse"
    tone = more_is if new > base else fewer_is
    return {"text": shown, "tone": tone, "up": new > base, "word": DELTA_WORDS[tone]}
