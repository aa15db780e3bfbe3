"""How did each month go against plan? ΔPL above, AC and PL columns below, one calendar.

Notation: AC solid, PL outline, variance above on the same unit scale; where the variance needs
another scale, the subtitle says so.
Source: docs/design-system.md, charts.
"""

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from o10.kernel.figures import is_material, money
from o10.kernel.money import Nanos, half_even
from reports.charts.axes import compact, drawn, drawn_all, label_unit, ticks

_MAIN: Final = (0.0, 0.66)
_TIER: Final = (0.76, 1.0)
_HEADROOM: Final = (113, 100)
"""The axis ends 13 % above the tallest column: room for its label."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn, and what must the subtitle add? `figure` has `data` and `layout`."""

    figure: dict[str, Any]
    unit: str
    scale_note: str


def draw_spend_against_plan(frame: pd.DataFrame, *, currency: str, paths: list[str]) -> Drawing:
    """Which figure shows these months?

    Shape: `frame` of `reports.queries.frames.months_against_plan`; `paths` one address a month,
    where a click leads.
    """
    spent = _listed(frame["ac_nanos"])
    planned = _listed(frame["pl_nanos"])
    deltas = _listed(frame["delta_nanos"])
    months = [month.strftime("%b") for month in frame["month"]]
    tallest = max([*(v for v in [*spent, *planned] if v is not None), 1])
    top = half_even(tallest * _HEADROOM[0], _HEADROOM[1])
    unit, unit_name = label_unit(tallest)
    tier_low, tier_high, note = _tier_range(deltas, top)
    tick_at, tick_text = ticks(tallest, currency=currency)
    texts = ["" if v is None else compact(v, unit=unit) for v in spent]
    # The label of AC stands on its column; where the outline of the plan would cut through
    # it, it stands on the outline.
    plan_is_taller = [
        (s or 0) < (p or 0) < (s or 0) + top * 8 // 100
        for p, s in zip(planned, spent, strict=True)
    ]
    figure = go.Figure(
        data=[
            _bars(
                months,
                drawn_all(planned),
                role="pl",
                offset=-0.22,
                width=0.66,
                text=[
                    t if taller else "" for t, taller in zip(texts, plan_is_taller, strict=True)
                ],
                hover=[_hover("plan", v, currency) for v in planned],
                paths=paths,
            ),
            _bars(
                months,
                drawn_all(spent),
                role="ac",
                offset=-0.38,
                width=0.62,
                text=[
                    "" if taller else t for t, taller in zip(texts, plan_is_taller, strict=True)
                ],
                hover=[_hover("spent", v, currency) for v in spent],
                paths=paths,
            ),
            _delta_bars(months, frame, unit=unit, currency=currency, paths=paths),
        ],
        layout={
            "barmode": "overlay",
            "xaxis": {"type": "category", "anchor": "y", "tickangle": 0, "showgrid": False},
            "yaxis": {
                "domain": list(_MAIN),
                "range": [0, drawn(top)],
                "tickvals": tick_at,
                "ticktext": tick_text,
            },
            "yaxis2": {
                "domain": list(_TIER),
                "range": [drawn(tier_low), drawn(tier_high)],
                "showticklabels": False,
                "showgrid": False,
                "zeroline": True,
            },
        },
    )
    return Drawing(_plain(figure), unit_name, note)


def _delta_bars(
    months: list[str], frame: pd.DataFrame, *, unit: Nanos, currency: str, paths: list[str]
) -> go.Bar:
    deltas = _listed(frame["delta_nanos"])
    due = _listed(frame["due_nanos"])
    tones = [
        "neutral" if d is None or b is None else _tone(new=b + d, base=b)
        for d, b in zip(deltas, due, strict=True)
    ]
    bars = _bars(
        months,
        drawn_all(deltas),
        role="neutral",
        offset=-0.38,
        width=0.62,
        text=["" if d is None else _signed(d, unit) for d in deltas],
        hover=[_hover("ΔPL", d, currency) for d in deltas],
        paths=paths,
    )
    bars.update(yaxis="y2", meta={"role": "neutral", "tones": tones}, cliponaxis=False)
    return bars


def _bars(
    months: list[str],
    values: list[int | None],
    *,
    role: str,
    offset: float,
    width: float,
    hover: list[str],
    paths: list[str],
    text: list[str] | None = None,
) -> go.Bar:
    return go.Bar(
        x=months,
        y=values,
        offset=offset,
        width=width,
        text=text,
        textposition="outside" if text else None,
        constraintext="none",
        cliponaxis=False,
        hovertext=hover,
        hoverinfo="text",
        customdata=paths,
        meta={"role": role},
    )


def _tone(*, new: Nanos, base: Nanos) -> str:
    if not is_material(new=new, base=base):
        return "neutral"
    return "adverse" if new > base else "favourable"


def _signed(delta: Nanos, unit: Nanos) -> str:
    text = compact(delta, unit=unit)
    return f"+{text}" if delta > 0 and text != "0" else text


def _tier_range(deltas: list[Nanos | None], top: Nanos) -> tuple[Nanos, Nanos, str]:
    """The scale of the columns where the variances fit into it, else one of their own."""
    known = [each for each in deltas if each is not None]
    above, below = max([*known, 0]), -min([*known, 0])
    # A label stands beyond each bar: a quarter of the tier on the sides that have bars.
    same = half_even(top * round(100 * (_TIER[1] - _TIER[0])), round(100 * _MAIN[1]))
    needed = (above + below) * 8 // 5
    if needed <= same:
        middle = (above - below) // 2
        return middle - same // 2, middle + same // 2, ""
    return (
        -below * 7 // 5 - needed // 12,
        above * 7 // 5 + needed // 12,
        "ΔPL on a scale of its own",
    )


def _hover(word: str, nanos: Nanos | None, currency: str) -> str:
    return "" if nanos is None else f"{word} {money(nanos, currency).text}"


def _listed(column: pd.Series) -> list[Nanos | None]:
    return [None if pd.isna(value) else int(value) for value in column]


def _plain(figure: go.Figure) -> dict[str, Any]:
    """Without plotly's own colours: the page paints roles with its tokens."""
    found = figure.to_plotly_json()
    found["layout"].pop("template", None)
    return dict(found)
