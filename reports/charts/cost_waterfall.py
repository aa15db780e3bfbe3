"""How do the parts add up to fully loaded cost? A bridge of stacked bars, left to right."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from o10.kernel.figures import money
from o10.kernel.money import Nanos
from reports.charts.axes import drawn, drawn_all, ticks

LINE_MOST = 12
Step = tuple[str, Nanos, str]
"""Label, amount in nanos, address of what is behind it."""


def draw_cost_waterfall(
    steps: Sequence[Step], *, total: Nanos, currency: str
) -> dict[str, Any]:
    """Which figure shows these steps? The last bar is the total; a credit steps down."""
    names = [label for label, _, _ in steps]
    labels = [_wrapped(name) for name in names]
    bases: list[Nanos] = []
    running = 0
    for _, nanos, _ in steps:
        bases.append(min(running, running + nanos))
        running += nanos
    heights = [abs(nanos) for _, nanos, _ in steps]
    top = max([total, *(base + high for base, high in zip(bases, heights, strict=True))])
    tick_at, tick_text = ticks(max(top, 1), currency=currency)
    texts = [money(nanos, currency).text for _, nanos, _ in steps]
    figure = go.Figure(
        data=[
            go.Bar(
                x=[*labels, "Fully loaded"],
                y=[*drawn_all(heights), drawn(total)],
                base=[*drawn_all(bases), 0],
                meta={
                    "role": "ac",
                    "tones": [
                        *("favourable" if nanos < 0 else "py" for _, nanos, _ in steps),
                        "ac",
                    ],
                },
                text=[*texts, money(total, currency).text],
                textposition="outside",
                hovertext=[
                    *(f"{label}: {text}" for label, text in zip(names, texts, strict=True)),
                    f"Fully loaded: {money(total, currency).text}",
                ],
                hoverinfo="text",
                customdata=[*(path for _, _, path in steps), ""],
            )
        ],
        layout={
            "xaxis": {"type": "category", "showgrid": False, "automargin": True},
            "yaxis": {
                "range": [0, drawn(max(top, 1)) * 115 // 100],
                "tickvals": tick_at,
                "ticktext": tick_text,
            },
        },
    )
    found = figure.to_plotly_json()
    found["layout"].pop("template", None)
    return dict(found)


def _wrapped(name: str) -> str:
    """One word a line, short ones together: bars stand close."""
    lines: list[str] = []
    for word in name.split():
        if lines and len(lines[-1]) + len(word) < LINE_MOST:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "<br>".join(lines)
