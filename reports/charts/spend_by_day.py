"""How did spend run through the period? By day above, summed below, with plan and cap."""

from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from o10.kernel.figures import day, money
from o10.kernel.money import Nanos, half_even
from reports.charts.axes import drawn, drawn_all, ticks

_MAIN: Final = (0.0, 0.62)
_TIER: Final = (0.72, 1.0)


def draw_spend_by_day(
    frame: pd.DataFrame,
    *,
    currency: str,
    plan: Nanos | None,
    cap: Nanos | None,
    paths: list[str],
) -> dict[str, Any]:
    """Which figure shows these days?

    Shape: `frame` of `reports.queries.frames.days_of_spend`; `paths` one address a day. Units:
    nanos; `plan` of the whole period, drawn as a line from zero; `cap` of the period.
    """
    days = [each.date() for each in frame["day"]]
    labels = [str(each.day) for each in days]
    daily = [None if pd.isna(v) else int(v) for v in frame["ac_nanos"]]
    summed = [None if pd.isna(v) else int(v) for v in frame["cumulative_nanos"]]
    highest = max([v for v in summed if v is not None] + [plan or 0, cap or 0, 1])
    highest_day = max([v for v in daily if v is not None] + [1])
    tick_at, tick_text = ticks(highest, currency=currency)
    day_at, day_text = ticks(highest_day, currency=currency, about=2)
    traces: list[Any] = [
        go.Bar(
            x=labels,
            y=drawn_all(daily),
            yaxis="y2",
            meta={"role": "ac"},
            hovertext=[
                "" if v is None else f"{day(d).text}: {money(v, currency).text}"
                for d, v in zip(days, daily, strict=True)
            ],
            hoverinfo="text",
            customdata=paths,
        ),
        go.Scatter(
            x=labels,
            y=drawn_all(summed),
            mode="lines",
            fill="tozeroy",
            meta={"role": "ac"},
            hovertext=[
                "" if v is None else f"to {day(d).text}: {money(v, currency).text}"
                for d, v in zip(days, summed, strict=True)
            ],
            hoverinfo="text",
            customdata=paths,
        ),
    ]
    if plan is not None:
        steps = [half_even(plan * (index + 1), len(days)) for index in range(len(days))]
        traces.append(
            _line(labels, drawn_all(steps), "pl", f"plan {money(plan, currency).text}")
        )
    if cap is not None:
        traces.append(
            _line(labels, [drawn(cap)] * len(days), "cap", f"cap {money(cap, currency).text}")
        )
    figure = go.Figure(
        data=traces,
        layout={
            "xaxis": {
                "type": "category",
                "anchor": "y",
                "tickangle": 0,
                "nticks": 10,
                "showgrid": False,
            },
            "annotations": _labels(labels, plan=plan, cap=cap, currency=currency),
            "yaxis": {
                "domain": list(_MAIN),
                "range": [0, drawn(highest) * 11 // 10],
                "tickvals": tick_at,
                "ticktext": tick_text,
            },
            "yaxis2": {
                "domain": list(_TIER),
                "range": [0, drawn(highest_day) * 11 // 10],
                "tickvals": day_at,
                "ticktext": day_text,
            },
        },
    )
    found = figure.to_plotly_json()
    found["layout"].pop("template", None)
    return dict(found)


def _labels(
    labels: list[str], *, plan: Nanos | None, cap: Nanos | None, currency: str
) -> list[dict[str, Any]]:
    """What do the lines say? Their names and amounts stand at their right end."""
    return [
        {
            "x": labels[-1],
            "y": drawn(amount),
            "text": f"{name} {money(amount, currency).text}",
            "name": role,
            "xanchor": "right",
            "yanchor": "bottom" if role == "cap" else "top",
            "yshift": 1 if role == "cap" else -4,
        }
        for name, role, amount in (("PL", "pl", plan), ("cap", "cap", cap))
        if amount is not None
    ]


def _line(labels: list[str], values: list[int | None], role: str, name: str) -> go.Scatter:
    return go.Scatter(
        x=labels, y=values, mode="lines", meta={"role": role}, hovertext=name, hoverinfo="text"
    )
