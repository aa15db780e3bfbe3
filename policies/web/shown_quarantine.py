"""How does what is not believed of catalogues stand in its template, and who decided what?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import PageView
from policies import facade
from policies.web.shown_envelope_change import Problem
from policies.web.shown_prices import DOUBT_WORDS, card_words, stamp_of, tabs_of

ROWS_SHOWN: Final = 500
DECIDED_SHOWN: Final = 50


def show_quarantine(
    *,
    rows: Sequence[facade.QuarantinedView],
    decided: Sequence[facade.QuarantinedView],
    names: Mapping[str, str],
    problem: Problem | None,
    caller: Caller,
    now: datetime,
    view: PageView,
) -> dict[str, Any]:
    """Which context has the list of what is not believed?"""
    count = len(rows)
    moved = sum("moved_over_a_quarter" in row.doubts for row in rows)
    return {
        "head": {
            "headline": f"{count:,} catalogue rows are not believed"
            + (f"; {moved:,} of them moved by more than 25 %." if moved else ".")
            if count
            else "Nothing waits in the quarantine.",
            "subline": "A row listed here is no price. A person dismisses it with a reason, or "
            "asks for its release, which a second person approves.",
            "tabs": tabs_of("price-quarantine"),
        },
        "stamp": stamp_of(now),
        "problem": problem,
        "may": can(caller=caller, action=Action.CHANGE_PRICES),
        "rows": [quarantine_row(row) for row in rows[:ROWS_SHOWN]],
        "more": max(0, count - ROWS_SHOWN),
        "decided": [_decided_row(row, names) for row in decided[:DECIDED_SHOWN]],
        "action": reverse("price-quarantine"),
        "export_links": view.exports(),
    }


def quarantine_row(row: facade.QuarantinedView) -> dict[str, Any]:
    """How does one doubted row stand in the list?"""
    says = row.cards[-1]["card"] if row.cards else row.remark
    return {
        "id": row.id,
        "slug": row.slug,
        "catalogue": f"{row.catalogue} {row.edition}",
        "doubts": [DOUBT_WORDS.get(each, each) for each in row.doubts],
        "says": card_words(says),
        "seen": figures.day(row.seen_at.date()),
        "readable": row.readable,
        "zero": row.has_zero,
        "key": ids.new_uuid().hex,
    }


def _decided_row(row: facade.QuarantinedView, names: Mapping[str, str]) -> dict[str, Any]:
    released = row.state == "released"
    who = row.released_by if released else row.dismissed_by
    return {
        **quarantine_row(row),
        "state": row.state,
        "tone": "accent" if released else "neutral",
        "by": names.get(who, who),
        "at": row.released_at or row.dismissed_at,
        "version": row.released_version,
        "reason": row.reason,
        "again": not released and row.readable,
    }
