"""Which entries does the address of a ledger page ask for?

Besides the keys of every page the ledger knows two of its own as filters: `since` and `until`,
instants, so that a figure of any period leads to exactly its entries.
"""

import re
from datetime import datetime
from typing import Final

from ledger.queries.entry_lines import LineFilter
from o10.kernel.viewquery import PageGrammar, ViewQuery

LEDGER_GRAMMAR: Final = PageGrammar(
    columns=(),
    by=(),
    filters=(
        "use_case",
        "envelope",
        "kind",
        "model",
        "venue",
        "reservation",
        "component",
        "since",
        "until",
    ),
)
_RESERVATION: Final = re.compile(r"rsv_[0-9a-z]{26}", re.A)


def line_filter_of(query: ViewQuery, *, time_zone: str) -> LineFilter:
    """Which entries does this view ask for? An instant that is none asks for nothing less."""
    start, end = (None, None)
    if query.period is not None:
        start, end = query.period.bounds(time_zone)
    since, until = _instant(query, "since"), _instant(query, "until")
    reservations = [
        each for each in query.values_of("reservation") if _RESERVATION.fullmatch(each)
    ]
    return LineFilter(
        use_cases=query.values_of("use_case"),
        envelopes=query.values_of("envelope"),
        kinds=query.values_of("kind"),
        models=query.values_of("model"),
        venues=query.values_of("venue"),
        reservation=reservations[0] if reservations else "",
        component=next(iter(query.values_of("component")), ""),
        effective_from=max([each for each in (start, since) if each], default=None),
        effective_to=min([each for each in (end, until) if each], default=None),
        seq_to=None if query.as_of is None else query.as_of + 1,
    )


def _instant(query: ViewQuery, key: str) -> datetime | None:
    for value in query.values_of(key):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            continue
        if at.tzinfo is not None:
            return at
    return None
