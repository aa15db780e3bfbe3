"""How do prices, proposals, rates and commitments stand in an answer of the API?"""

from collections.abc import Mapping, Sequence
from typing import Any

from o10.kernel.money import amount_text, half_even
from policies import facade
from policies.web.price_bodies import (
    PPM,
    CommitmentAnswer,
    CommitmentTermView,
    EffectView,
    FxView,
    PriceView,
    ProposalAnswer,
    QuarantineView,
    RuleView,
    money_view,
)


def price_view(line: facade.PriceLine, currency: str) -> PriceView:
    """How is this price told?"""
    return PriceView(
        offer=line.key.slug,
        venue=line.key.venue,
        model=line.key.model,
        region=line.key.region,
        tier=str(line.key.tier),
        source=line.source,
        source_name=line.source_name,
        rates={meter: amount_text(price) for meter, price in line.rates.items()},
        list_rates={meter: amount_text(price) for meter, price in line.listed.items()},
        currency=currency,
        stated_currency=line.currency,
        fx_rate=line.fx_rate or None,
        fx_date=line.fx_date or None,
        valid_from=line.valid_from,
        valid_to=line.valid_to,
        rule=line.rule_id,
        evidence=line.evidence,
        approved_by=line.approved_by,
        thresholds=line.thresholds,
        context_window=line.context_window,
        free_by_policy=line.free,
    )


def rule_view(rule: facade.RuleLine) -> RuleView:
    """How is this rule told?"""
    return RuleView(
        rule=rule.rule_id,
        source=rule.source,
        source_name=rule.source_name,
        price_version=rule.version,
        holds=rule.holds,
        valid_from=rule.valid_from,
        valid_to=rule.valid_to,
        ended_at=rule.ended_at,
        hours=rule.window,
        currency=rule.currency,
        meters=tuple(
            {"meter": meter, "above_tokens": str(above), "price": amount_text(price)}
            for meter, above, price in rule.meters
        ),
        evidence=rule.evidence,
        approved_by=rule.approved_by,
        recorded_at=rule.recorded_at,
    )


def proposal_view(
    view: facade.ProposalView,
    currency: str,
    *,
    approvals: Sequence[str] = (),
    whole: int = 0,
) -> ProposalAnswer:
    """How is this proposal told? `whole` = 1 with its lines."""
    body = view.body
    lines: dict[str, Any] = {}
    if whole:
        lines = {
            "changes": body["changes"],
            "new_offers": body["new_offers"],
            "apart": [
                {
                    "offer": each["slug"],
                    "doubts": each["doubts"],
                    "remark": each["remark"],
                    "says": each["cards"][-1]["card"] if each["cards"] else "",
                }
                for each in body["apart"]
            ],
            "disagreements": body["disagreements"],
            "effect_by_offer": {
                slug: _effect(each, currency)
                for slug, each in body["effect"]["by_offer"].items()
            },
        }
    counted = ("changes", "new_offers", "apart", "disagreements", "absent")
    return ProposalAnswer(
        id=view.id,
        catalogue=view.catalogue,
        edition=view.edition,
        sha256=view.content_hash,
        hash=view.hash,
        state=view.state,
        price_version=view.version,
        made_at=view.made_at,
        made_by=view.actor,
        ended_at=view.ended_at,
        effect_days=body["effect"]["days"],
        effect=_effect(body["effect"]["total"], currency),
        counts={name: len(body[name]) for name in counted} | {"unchanged": body["unchanged"]},
        approvals=tuple(approvals),
        **lines,
    )


def quarantine_view(row: facade.QuarantinedView) -> QuarantineView:
    """How is this doubted row told?"""
    return QuarantineView(
        id=row.id,
        offer=row.slug,
        catalogue=row.catalogue,
        edition=row.edition,
        doubts=row.doubts,
        remark=row.remark,
        cards=row.cards,
        seen_at=row.seen_at,
        state=row.state,
        released_in=row.released_version,
        dismissed_at=row.dismissed_at,
        dismissed_by=row.dismissed_by or None,
        reason=row.reason,
    )


def fx_view(line: facade.FxLine) -> FxView:
    """How is this rate told?"""
    return FxView(
        currency=line.currency,
        rate=line.rate,
        date=line.rate_date,
        source=line.source,
        evidence=line.evidence,
        price_version=line.version,
        in_force=line.in_force,
        stale=line.stale,
    )


def commitment_view(
    view: facade.CommitmentView, currency: str, *, whole: int = 0
) -> CommitmentAnswer:
    """How is this commitment told? `whole` = 1 with its days."""
    terms, advice = view.terms, view.advice
    free = view.hour_left > 0
    return CommitmentAnswer(
        id=terms.public,
        version=terms.version,
        name=terms.name,
        offer=terms.key.slug,
        units=terms.units,
        hourly_rate=money_view(terms.hourly_rate_nanos, terms.currency),
        unit_tokens=terms.unit_tokens,
        start=terms.start_at,
        end=terms.end_at,
        notice_date=terms.notice_date,
        owner_kind=terms.owner_kind,
        owner=terms.owner_slug,
        beyond=terms.beyond,
        evidence=terms.evidence,
        approved_by=terms.approved_by,
        hour_capacity=terms.capacity_an_hour,
        hour_used=view.hour_used,
        hour_left=view.hour_left,
        charge=money_view(view.charge, currency),
        used=money_view(view.used_nanos, currency),
        waste=money_view(view.waste, currency),
        used_tokens=view.used,
        capacity_tokens=view.capacity,
        beyond_tokens=view.beyond,
        beyond_cost=money_view(view.beyond_nanos, currency),
        beyond_unpriced_tokens=view.beyond_unpriced,
        term=_term(view.term, currency),
        utilisation_ppm=half_even(view.used * PPM, view.capacity) if view.capacity else None,
        accounting_price=_maybe(view.accounting_price, currency),
        routing_price=money_view(0 if free else view.on_demand_price or 0, currency),
        on_demand_price=_maybe(view.on_demand_price, currency),
        break_even_tokens=view.break_even_tokens,
        break_even_ppm=view.break_even_ppm,
        advice=advice.step.value,
        advice_units=advice.units,
        advice_saving=money_view(advice.saving, currency),
        shift_in=tuple(each.use_case for each in advice.shifts),
        days=tuple(_day(day) for day in view.days) if whole else (),
    )


def _term(term: Any, currency: str) -> CommitmentTermView:
    return CommitmentTermView(
        cap=_maybe(term.total, currency),
        spent=money_view(term.charged, currency),
        waste=money_view(term.waste, currency),
        left=_maybe(term.left, currency),
        hours=term.hours,
        hours_left=term.hours_left,
    )


def _day(day: Any) -> dict[str, str | int]:
    return {
        "day": day.day.isoformat(),
        "capacity_tokens": day.capacity,
        "used_tokens": day.used,
        "beyond_tokens": day.beyond,
        "charge_nanos": str(day.charge),
        "used_nanos": str(day.used_nanos),
        "waste_nanos": str(day.waste),
        "beyond_nanos": str(day.beyond_nanos),
        "revision": day.revision,
    }


def _maybe(nanos: int | None, currency: str) -> Any:
    return None if nanos is None else money_view(nanos, currency)


def _effect(sums: Mapping[str, Any], currency: str) -> EffectView:
    return EffectView(
        before=money_view(int(sums["before"]), currency),
        after=money_view(int(sums["after"]), currency),
        delta=money_view(int(sums["delta"]), currency),
        calls=sums["calls"],
        unpriced=sums["unpriced"],
    )
