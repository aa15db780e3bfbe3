"""How did the last hours run? The chart above the decision log."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from o10.kernel import figures
from o10.kernel.periods import zone_of
from policies.web.shown_times import zone_word


def show_chart(
    hours: Sequence[tuple[int, int]], *, until: datetime, time_zone: str
) -> dict[str, Any]:
    """Which chart shows these hours? Denials stand above the calls, on a scale of their own."""
    count, zone = len(hours), zone_of(time_zone)
    # Bars are spans of an hour up to now: each is named by its end.
    ends = [until - timedelta(hours=back) for back in range(count - 1, -1, -1)]
    labels = [f"{end.astimezone(zone):%d %b %H:%M}" for end in ends]
    ahead = [pair[0] for pair in hours]
    denied = [pair[1] for pair in hours]
    peak = max(range(count), key=lambda index: denied[index])
    message = (
        f"Denials peaked at {denied[peak]:,} in the hour to {labels[peak][-5:]}"
        if denied[peak]
        else f"{sum(ahead):,} calls went ahead, none was denied"
    )
    return {
        "id": "hours",
        "title": message,
        "subtitle": f"decisions an hour, 24 h to {labels[-1]} {zone_word(time_zone)}; "
        "denials on a scale of their own",
        "summary": f"{message}; {sum(ahead):,} went ahead and {sum(denied):,} were denied.",
        "size": "short",
        "legend": [
            {"mark": "ac", "label": "Went ahead"},
            {"mark": "adverse", "label": "Denied"},
        ],
        "figure": _figure(labels, ahead, denied),
        "table": {
            "columns": [
                {"label": "Hour to"},
                {"label": "Went ahead", "num": True},
                {"label": "Denied", "num": True},
            ],
            "rows": [
                [label, figures.count_exact(gone), figures.count_exact(stopped)]
                for label, gone, stopped in zip(labels, ahead, denied, strict=True)
            ],
        },
    }


def _figure(labels: list[str], ahead: list[int], denied: list[int]) -> dict[str, Any]:
    def bars(values: list[int], role: str, axis: str) -> dict[str, Any]:
        return {
            "type": "bar",
            "x": labels,
            "y": values,
            "yaxis": axis,
            "meta": {"role": role},
            "hovertext": [
                f"{value:,} to {label}" for label, value in zip(labels, values, strict=True)
            ],
            "hoverinfo": "text",
        }

    def axis(values: list[int], domain: list[float]) -> dict[str, Any]:
        top = max([*values, 1])
        return {
            "domain": domain,
            "range": [0, top * 1.15],
            "tickvals": [0, top],
            "ticktext": ["0", figures.count(top).text],
        }

    return {
        "data": [bars(ahead, "ac", "y"), bars(denied, "adverse", "y2")],
        "layout": {
            "xaxis": {
                "type": "category",
                "anchor": "y",
                "tickangle": 0,
                "tickvals": labels[::6],
                "ticktext": [label[-5:] for label in labels[::6]],
            },
            "yaxis": axis(ahead, [0, 0.6]),
            "yaxis2": axis(denied, [0.74, 1]),
        },
    }
