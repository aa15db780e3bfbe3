"""Which small marks does a template draw? Icons, status words, bullets, spark lines: inline SVG
made here, without script and without style attributes.

Geometry is counted in tenths of a pixel as integers: the same values give the same bytes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django import template
from django.template.loader import get_template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from o10.wire.reasons import REASONS, Effect, Reason

register = template.Library()

Number = int | Decimal | float

_ICON_NAME = re.compile(r"[a-z][a-z0-9-]*", re.A)

STATUS_TONES = {
    "observe": "accent",
    "shadow": "accent",
    "canary": "accent",
    "ramp": "accent",
    "enforce": "favourable",
    "capped": "adverse",
    "held": "adverse",
    "tripped": "adverse",
    "stepped back": "adverse",
    "watch": "warn",
    "stale": "warn",
    "marginal": "warn",
    "allow": "favourable",
    "allow with caps": "warn",
    "reroute": "accent",
    "hold": "warn",
    "deny": "adverse",
    "active": "favourable",
    "frozen": "adverse",
    "closed": "neutral",
    "draft": "accent",
    "verified": "favourable",
    "broken": "adverse",
    "empty": "neutral",
    "sealed": "favourable",
    "waiting": "warn",
    "open": "accent",
    "settled": "favourable",
    "released": "neutral",
    "expired": "warn",
    "written off": "adverse",
    "reversed": "warn",
    "live": "favourable",
    "late": "warn",
    "pass": "favourable",
    "fail": "adverse",
}
"""Word on screen to tone. Source: ux.md section 3, status words and colours."""

TONES = frozenset({"favourable", "adverse", "warn", "accent", "neutral"})

EFFECT_TONES = {
    Effect.DENY: "adverse",
    Effect.HOLD: "warn",
    Effect.CAPS: "warn",
    Effect.REROUTE: "accent",
    Effect.ALLOW: "warn",
}
"""What a reason usually does to a call, to tone; a plain yes is favourable."""


@register.simple_tag
def icon(name: str) -> SafeString:
    """What does the icon of this name look like? Decoration: the words stand beside it."""
    if not _ICON_NAME.fullmatch(name):
        raise template.TemplateSyntaxError(f"{name!r} is no icon name")
    return SafeString(get_template(f"_components/icons/{name}.html").render().strip())


@register.inclusion_tag("_components/_status.html")
def status(word: str, tone: str = "") -> dict[str, str]:
    """How does a state stand on a page? Dot and word; unknown words are neutral."""
    word = str(word).replace("_", " ") if word else "unknown"
    chosen = tone or STATUS_TONES.get(
        word.lower(), STATUS_TONES.get(word.replace(" ", "_"), "")
    )
    return {
        "word": word[:1].upper() + word[1:],
        "tone": chosen if chosen in TONES else "neutral",
    }


@register.inclusion_tag("_components/_reason.html")
def reason(code: str, tone: str = "") -> dict[str, str]:
    """How does a reason code stand on a page?"""
    found = "warn"
    if code in Reason.__members__:
        row = REASONS[Reason[code]]
        plain = row.effects[0] is Effect.ALLOW and code.startswith("OK_")
        found = "favourable" if plain else EFFECT_TONES[row.effects[0]]
    return {"code": code, "tone": tone if tone in TONES else found}


@dataclass(frozen=True, slots=True)
class Bar:
    """Where does one part of a bullet stand? Units: pixels of the view box, one decimal."""

    kind: str
    x: str
    width: str
    y: str = "4"
    height: str = "8"


BULLET_WIDTH = 1600
"""Tenths of a pixel; the view box is 160 wide and 16 high."""


@register.inclusion_tag("_components/_bullet.html")
def bullet(
    spent: Number | None,
    cap: Number | None = None,
    held: Number | None = 0,
    lent: Number | None = 0,
    unsettled: Number | None = 0,
    forecast: Number | None = None,
    soft: Iterable[Number] = (),
    label: str = "",
) -> dict[str, object]:
    """How full is an envelope? Spent, held, lent and free, unsettled, against the cap.

    Units: any one unit, usually nanos; `soft` are shares of the cap between 0 and 1. The scale
    ends at a quarter above the cap, or where the longest part ends when that is farther.
    """
    parts = (("spent", spent), ("held", held), ("lent", lent), ("unsettled", unsettled))
    amounts = [(kind, max(0, value or 0)) for kind, value in parts]
    used = sum(value for _, value in amounts)
    longest = max(used, forecast or 0, (cap or 0) * 5 // 4, 1)
    bars, start = [], 0
    for kind, value in amounts:
        if value:
            bars.append(_bar(kind, start, start + value, longest))
        start += value
    if cap is not None and used > cap:
        bars.append(_bar("over", cap, used, longest))
    foreseen = None
    if forecast is not None and forecast > used:
        foreseen = _bar("forecast", used, forecast, longest)
    return {
        "label": label,
        "bars": bars,
        "track": _bar("track", 0, cap if cap is not None else longest, longest),
        "forecast": foreseen,
        "breach": cap is not None and forecast is not None and forecast > cap,
        "cap": _tick(cap, longest, 20) if cap is not None else None,
        "soft": [_tick(cap * share, longest, 10) for share in soft] if cap else [],
    }


def _bar(kind: str, start: Number, end: Number, longest: Number) -> Bar:
    left = int(start * BULLET_WIDTH // longest)
    right = int(end * BULLET_WIDTH // longest)
    return Bar(kind=kind, x=_pixels(left), width=_pixels(max(right - left, 8)))


def _tick(at: Number, longest: Number, width: int) -> Bar:
    middle = int(at * BULLET_WIDTH // longest)
    left = min(max(middle - width // 2, 0), BULLET_WIDTH - width)
    return Bar(kind="cap", x=_pixels(left), width=_pixels(width), y="1", height="14")


def _pixels(tenths: int) -> str:
    whole, rest = divmod(tenths, 10)
    return f"{whole}.{rest}" if rest else str(whole)


SPARK_WIDTH, SPARK_HEIGHT, SPARK_EDGE = 1200, 300, 20


@register.simple_tag
def sparkline(
    values: Sequence[Number | None], forecast: int = 0, label: str = ""
) -> SafeString:
    """How did a value move? One line; gaps where it is None; the last `forecast` points dotted.

    Shape: fewer than two points give nothing: a single point is no course.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return SafeString("")
    low, high = min(known), max(known)
    reach = high - low
    usable = SPARK_HEIGHT - 2 * SPARK_EDGE
    points: list[tuple[int, int] | None] = []
    for index, value in enumerate(values):
        if value is None:
            points.append(None)
            continue
        rise = int((value - low) * usable // reach) if reach else usable // 2
        x = index * SPARK_WIDTH // max(len(values) - 1, 1)
        points.append((x, SPARK_HEIGHT - SPARK_EDGE - rise))
    split = len(points) - forecast if forecast else len(points)
    lines = [("", points[:split])]
    if forecast:
        lines.append(("is-forecast", points[max(split - 1, 0) :]))
    drawn = format_html_join(
        "", '<path class="{}" d="{}"/>', [(kind, _path(each)) for kind, each in lines if each]
    )
    named = (
        format_html('role="img" aria-label="{}"', label)
        if label
        else SafeString('aria-hidden="true"')
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 120 30" preserveAspectRatio="none" {}>{}</svg>',
        named,
        drawn,
    )


def _path(points: Sequence[tuple[int, int] | None]) -> str:
    steps, pen_down = [], False
    for point in points:
        if point is None:
            pen_down = False
            continue
        steps.append(f"{'L' if pen_down else 'M'}{_pixels(point[0])} {_pixels(point[1])}")
        pen_down = True
    return "".join(steps)


@register.simple_tag
def share(
    value: Number | None, total: Number | None, tone: str = "ac", label: str = ""
) -> SafeString:
    """How large is a part of a whole, as one bar? Nothing when either is not known."""
    if value is None or not total:
        return SafeString("")
    width = _pixels(min(max(int(value * 1000 // total), 8 if value else 0), 1000))
    named = (
        format_html('role="img" aria-label="{}"', label)
        if label
        else SafeString('aria-hidden="true"')
    )
    return format_html(
        '<svg class="bar-mark" viewBox="0 0 100 8" preserveAspectRatio="none" {}>'
        '<rect class="mark-{}" width="{}" height="8"/></svg>',
        named,
        tone,
        width,
    )


@register.inclusion_tag("_components/_progress.html")
def progress(
    done: int,
    total: int | None,
    text: str = "",
    rate: str = "",
    left: str = "",
    tone: str = "ac",
) -> dict[str, object]:
    """How far is a long job? Rows done of all, with rate and time left."""
    permille = min(1000, done * 1000 // total) if total else None
    return {
        "percent": None if permille is None else f"{permille // 10}.{permille % 10}%",
        "width": "0" if permille is None else _pixels(permille),
        "done": done,
        "total": total,
        "text": text,
        "rate": rate,
        "left": left,
        "tone": tone,
    }
