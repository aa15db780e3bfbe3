"""How does one commitment stand in its template: drawdown, waste, who drew, what to do?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures
from o10.kernel.money import NANOS_PER_UNIT
from policies import facade
from policies.web.shown_commitments import ADVICE, notice_word
from policies.web.shown_prices import offer_url, pending_rows, stamp_of

DAYS_CHARTED: Final = 60
PPM: Final = 1_000_000


def show_commitment(
    *,
    view: facade.CommitmentView,
    pending: Sequence[Any],
    names: Mapping[str, str],
    caller: Caller,
    now: datetime,
) -> dict[str, Any]:
    """Which context has one commitment?"""
    currency = facade.organisation().currency
    terms = view.terms
    share = figures.percent(part=view.used, whole=view.capacity).text if view.capacity else "—"
    if view.charge:
        headline = (
            f"{terms.name} was used to {share}: "
            f"{figures.money(view.waste, currency).text} of "
            f"{figures.money(view.charge, currency).text} was waste."
        )
        if view.beyond_nanos:
            more = figures.money(view.beyond_nanos, currency).text
            headline += f" {more} was bought on demand beside it."
    else:
        headline = f"{terms.name} was not charged yet."
    word, tone = ADVICE[view.advice.step.value]
    days = view.days[-DAYS_CHARTED:]
    return {
        "head": {
            "headline": headline,
            "subline": f"{_advice_text(view, currency)} {_renewal_text(terms, now)}",
            "crumbs": [
                {"label": "Commitments", "url": reverse("commitments")},
                {"label": terms.name},
            ],
            "status": {"word": word, "tone": tone},
            "primary": {
                "label": "Change terms",
                "url": f"{reverse('commitment-new')}?commitment={terms.public}",
            }
            if can(caller=caller, action=Action.CHANGE_PRICES)
            else None,
        },
        "stamp": stamp_of(now),
        "pending": pending_rows(pending),
        "kpis": _kpis(view, currency, share),
        "drawdown": _drawdown(view, currency),
        "unpriced": figures.count(view.beyond_unpriced) if view.beyond_unpriced else None,
        "chart": _chart(days, currency) if days else None,
        "users": [
            {
                "slug": slug or "unattributed",
                "url": reverse("use-case", args=[slug]) if slug else "",
                "tokens": figures.count(tokens),
                "share": figures.percent(part=tokens, whole=view.used),
                "cost": figures.money(nanos, currency),
                "beyond": figures.money(beyond, currency),
            }
            for slug, (tokens, nanos, beyond) in view.users.items()
        ],
        "waste": figures.money(view.waste, currency),
        "owner": f"{terms.owner_kind.replace('_', ' ')} {terms.owner_slug}",
        "shifts": [
            {
                "slug": each.use_case,
                "url": reverse("use-case", args=[each.use_case]),
                "tokens": figures.count(each.tokens_an_hour),
                "cost": figures.money(each.on_demand, currency),
            }
            for each in view.advice.shifts
        ],
        "facts": _facts(view, names, currency, now),
        "versions": [
            {
                "version": each.version,
                "units": f"{each.units:,}",
                "rate": figures.money_exact(each.hourly_rate_nanos, each.currency),
                "from": figures.day(each.start_at.date()),
                "to": figures.day(each.end_at.date()),
                "by": names.get(each.requested_by, each.requested_by),
                "approved": names.get(each.approved_by, each.approved_by),
                "evidence": each.evidence,
            }
            for each in reversed(view.versions)
        ],
        "ledger_url": f"{reverse('ledger')}?f=kind:commitment",
        "currency": currency,
    }


def _drawdown(view: facade.CommitmentView, currency: str) -> dict[str, Any]:
    """The whole term as an envelope: cap, spent, left, and what of it nobody used."""
    term = view.term
    return {
        "cap": figures.money(term.total, currency),
        "spent": figures.money(term.charged, currency),
        "waste": figures.money(term.waste, currency),
        "left": figures.money(term.left, currency),
        "hours": f"{term.hours_left:,} of {term.hours:,}",
        "bullet": {"spent": term.charged, "cap": term.total} if term.total else None,
    }


def _kpis(view: facade.CommitmentView, currency: str, share: str) -> list[dict[str, Any]]:
    free = view.hour_left > 0
    return [
        {
            "label": "Used, 30 days",
            "value": share,
            "note": f"break-even {figures.percent(part=view.break_even_ppm, whole=PPM).text}"
            if view.break_even_ppm is not None
            else "break-even not known",
            "tone": "adverse"
            if view.break_even_ppm is not None
            and view.used * PPM < view.break_even_ppm * view.capacity
            else "",
        },
        {
            "label": "Waste, 30 days",
            "value": figures.money(view.waste, currency),
            "note": "its own line, with the owner",
        },
        {
            "label": "Beyond, 30 days",
            "value": figures.money(view.beyond_nanos, currency),
            "note": "on demand, beside the charge"
            if view.terms.beyond == "on_demand"
            else "refused by the venue",
        },
        {
            "label": "Accounting price",
            "value": figures.rate(view.accounting_price, currency),
            "note": "charge / served tokens, per million",
        },
        {
            "label": "Routing price now",
            "value": figures.rate(0 if free else view.on_demand_price, currency),
            "note": f"{'the hour has room' if free else 'the hour is full'}; on demand "
            f"{figures.rate(view.on_demand_price, currency).text}",
        },
        {
            "label": "Left this hour",
            "value": figures.count(view.hour_left),
            "unit": "tokens",
            "note": f"of {figures.count(view.terms.capacity_an_hour).text}",
        },
    ]


def _advice_text(view: facade.CommitmentView, currency: str) -> str:
    advice = view.advice
    saving = figures.money(advice.saving, currency).text
    match advice.step.value:
        case "shrink":
            text = (
                f"Shrink to {advice.units} units at term: {saving} less in 30 days "
                f"({figures.percent(part=advice.saving_ppm, whole=PPM).text}), 10 % spare kept."
            )
        case "end":
            text = f"Let it end: on demand the same calls cost {saving} less in 30 days."
        case "watch":
            text = "Under half is used, but no smaller number of units saves 5 %."
        case "keep":
            text = "At least half of it is used: keep it, with 10 % spare."
        case _:
            text = "A week of charged days and a list price are needed before an advice."
    if advice.shifts:
        names = ", ".join(each.use_case for each in advice.shifts[:3])
        text += f" Or shift in: {names}."
    return text


def _renewal_text(terms: facade.CommitmentTerms, now: datetime) -> str:
    """Until when has somebody to decide, and what happens then?"""
    ends = figures.day(terms.end_at.date()).text
    days = (terms.notice_date - now.date()).days
    if now >= terms.end_at:
        return f"It ended on {ends}."
    if days < 0:
        return f"Notice was possible until {figures.day(terms.notice_date).text}; up on {ends}."
    left = "today" if not days else f"in {days} {'day' if days == 1 else 'days'}"
    return f"Notice by {figures.day(terms.notice_date).text} ({left}); up on {ends}."


def _facts(
    view: facade.CommitmentView, names: Mapping[str, str], currency: str, now: datetime
) -> list[dict[str, Any]]:
    terms = view.terms
    notice = figures.day(terms.notice_date).text
    break_even = "—"
    if view.break_even_tokens is not None:
        break_even = f"{figures.count(view.break_even_tokens).text} tokens in those days"
    return [
        {"term": "Offer", "text": terms.key.slug, "href": offer_url(terms.key.slug)},
        {"term": "Units", "text": f"{terms.units:,}"},
        {
            "term": "Rate per unit and hour",
            "text": figures.money_exact(terms.hourly_rate_nanos, terms.currency),
        },
        {
            "term": "Serves per unit and hour",
            "text": f"{figures.count(terms.unit_tokens).text} tokens",
        },
        {
            "term": "Runs",
            "text": f"{figures.day(terms.start_at.date()).text} to "
            f"{figures.day(terms.end_at.date()).text}",
            "sub": terms.term,
        },
        {"term": "Renewal date", "text": figures.day(terms.end_at.date())},
        {
            "term": "Notice by",
            "text": notice,
            "sub": notice_word(terms, now),
        },
        {"term": "Break-even", "text": break_even},
        {
            "term": "On demand, per million",
            "text": figures.rate(view.on_demand_price, currency),
            "sub": "what the same calls would have paid by list",
        },
        {"term": "Beyond capacity", "text": terms.beyond.replace("_", " ")},
        {"term": "Owner", "text": f"{terms.owner_kind.replace('_', ' ')} {terms.owner_slug}"},
        {"term": "Approved by", "text": names.get(terms.approved_by, terms.approved_by)},
        {"term": "Evidence", "text": terms.evidence},
    ]


def _chart(days: Sequence[Any], currency: str) -> dict[str, Any]:
    """Used and waste of each day, stacked to its charge."""
    labels = [f"{each.day:%d %b}" for each in days]
    used = [each.used_nanos / NANOS_PER_UNIT for each in days]
    waste = [each.waste / NANOS_PER_UNIT for each in days]
    top = max((each.charge for each in days), default=0) / NANOS_PER_UNIT or 1
    worst = max(days, key=lambda each: each.waste)
    title = (
        f"Waste was highest on {worst.day:%d %b}: {figures.money(worst.waste, currency).text}"
        if worst.waste
        else "Nothing was wasted"
    )

    def bars(values: list[float], role: str, word: str) -> dict[str, Any]:
        return {
            "type": "bar",
            "x": labels,
            "y": values,
            "meta": {"role": role},
            "name": word,
            "hovertext": [
                f"{word} {figures.money(round(value * NANOS_PER_UNIT), currency).text}, {label}"
                for value, label in zip(values, labels, strict=True)
            ],
            "hoverinfo": "text",
        }

    return {
        "id": "waste",
        "title": title,
        "subtitle": f"charge a day in {currency}, used and waste, {len(days)} days",
        "summary": f"{title}; used and waste of each day add up to its charge.",
        "size": "short",
        "legend": [
            {"mark": "ac", "label": "Used"},
            {"mark": "adverse", "label": "Waste"},
        ],
        "figure": {
            "data": [bars(used, "ac", "Used"), bars(waste, "adverse", "Waste")],
            "layout": {
                "barmode": "stack",
                "xaxis": {
                    "type": "category",
                    "tickangle": 0,
                    "tickvals": labels[:: max(1, len(labels) // 6)],
                },
                "yaxis": {
                    "range": [0, top * 1.1],
                    "tickvals": [0, top],
                    "ticktext": [
                        "0",
                        figures.money(round(top * NANOS_PER_UNIT), currency).text,
                    ],
                },
            },
        },
        "table": {
            "columns": [
                {"label": "Day"},
                {"label": "Charge", "num": True},
                {"label": "Used", "num": True},
                {"label": "Waste", "num": True},
                {"label": "Use of capacity", "num": True},
            ],
            "rows": [
                [
                    label,
                    figures.money(each.charge, currency),
                    figures.money(each.used_nanos, currency),
                    figures.money(each.waste, currency),
                    figures.percent(part=each.used, whole=each.capacity),
                ]
                for label, each in zip(labels, days, strict=True)
            ],
        },
    }
