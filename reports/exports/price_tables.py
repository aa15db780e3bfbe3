"""Which rows of prices, proposals, rates and commitments leave as a file? Those of the page."""

from datetime import datetime
from typing import Final

from o10.kernel.money import amount_text
from o10.kernel.viewquery import ViewQuery, to_text
from policies import facade as policies
from reports.core.table import Kind, Table, TableColumn, Value
from reports.exports.current_table import current_table

ROWS_MOST: Final = 10_000
_METERS: Final = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
)


def price_table(query: ViewQuery, now: datetime) -> Table:
    """Which prices hold? Per million in the ledger's currency, the list price beside."""
    lines = policies.list_price_rows(query=query, at=now)
    columns = (
        TableColumn("offer", "Offer", Kind.TEXT),
        TableColumn("venue", "Venue", Kind.TEXT),
        TableColumn("model", "Model", Kind.TEXT),
        TableColumn("region", "Region", Kind.TEXT),
        TableColumn("tier", "Tier", Kind.TEXT),
        TableColumn("source", "Source", Kind.TEXT),
        *(TableColumn(meter, f"{meter} per million", Kind.MONEY) for meter in _METERS),
        *(
            TableColumn(f"list_{meter}", f"list {meter} per million", Kind.MONEY)
            for meter in ("input", "output")
        ),
        TableColumn("valid_from", "Valid from", Kind.INSTANT),
        TableColumn("valid_to", "Valid to", Kind.INSTANT),
        TableColumn("stated_currency", "Stated in", Kind.TEXT),
        TableColumn("fx_rate", "FX rate", Kind.TEXT),
        TableColumn("fx_date", "FX date", Kind.TEXT),
        TableColumn("evidence", "Evidence", Kind.TEXT),
        TableColumn("approved_by", "Approved by", Kind.TEXT),
    )
    rows: list[tuple[Value, ...]] = [
        (
            line.key.slug,
            line.key.venue,
            line.key.model,
            line.key.region,
            str(line.key.tier),
            line.source,
            *(line.rates.get(meter) for meter in _METERS),
            *(line.listed.get(meter) for meter in ("input", "output")),
            line.valid_from,
            line.valid_to,
            line.currency,
            line.fx_rate,
            line.fx_date,
            line.evidence,
            line.approved_by,
        )
        for line in lines[:ROWS_MOST]
    ]
    view = to_text(query, page=policies.PRICE_GRAMMAR)
    return current_table("prices", "Prices", columns, rows, view=view)


def quarantine_table(query: ViewQuery, now: datetime) -> Table:
    """Which catalogue rows are not believed?"""
    columns = (
        TableColumn("row", "Row", Kind.COUNT),
        TableColumn("offer", "Offer", Kind.TEXT),
        TableColumn("doubts", "Doubts", Kind.TEXT),
        TableColumn("says", "It says", Kind.TEXT),
        TableColumn("catalogue", "Catalogue", Kind.TEXT),
        TableColumn("edition", "Edition", Kind.TEXT),
        TableColumn("seen_at", "Seen", Kind.INSTANT),
    )
    rows: list[tuple[Value, ...]] = [
        (
            row.id,
            row.slug,
            " ".join(row.doubts),
            row.cards[-1]["card"] if row.cards else row.remark,
            row.catalogue,
            row.edition,
            row.seen_at,
        )
        for row in policies.list_quarantine()
    ]
    return current_table("price-quarantine", "Quarantined prices", columns, rows)


def proposal_table(query: ViewQuery, now: datetime) -> Table:
    """Which refreshes were proposed, with which money effect?"""
    columns = (
        TableColumn("proposal", "Proposal", Kind.TEXT),
        TableColumn("catalogue", "Catalogue", Kind.TEXT),
        TableColumn("edition", "Edition", Kind.TEXT),
        TableColumn("state", "State", Kind.TEXT),
        TableColumn("changes", "Changes", Kind.COUNT),
        TableColumn("new_offers", "New offers", Kind.COUNT),
        TableColumn("apart", "Listed apart", Kind.COUNT),
        TableColumn("disagreements", "Disagreements", Kind.COUNT),
        TableColumn("before", "Cost before", Kind.MONEY),
        TableColumn("after", "Cost after", Kind.MONEY),
        TableColumn("calls", "Calls", Kind.COUNT),
        TableColumn("made_at", "Made", Kind.INSTANT),
        TableColumn("price_version", "Price version", Kind.COUNT),
    )
    rows: list[tuple[Value, ...]] = [
        (
            each.id,
            each.catalogue,
            each.edition,
            each.state,
            len(each.body["changes"]),
            len(each.body["new_offers"]),
            len(each.body["apart"]),
            len(each.body["disagreements"]),
            int(each.body["effect"]["total"]["before"]),
            int(each.body["effect"]["total"]["after"]),
            each.body["effect"]["total"]["calls"],
            each.made_at,
            each.version,
        )
        for each in policies.list_proposals()
    ]
    return current_table("price-proposals", "Price proposals", columns, rows)


def revaluation_table(query: ViewQuery, now: datetime) -> Table:
    """What did each month cost as booked, and as revalued since?"""
    columns = (
        TableColumn("month", "Month", Kind.DAY),
        TableColumn("booked", "As booked", Kind.MONEY),
        TableColumn("revaluation", "Revaluation", Kind.MONEY),
        TableColumn("revalued", "As revalued", Kind.MONEY),
        TableColumn("entries", "Entries", Kind.COUNT),
    )
    rows: list[tuple[Value, ...]] = [
        (each.month, each.booked, each.delta, each.revalued, each.entries)
        for each in reversed(
            policies.sum_revalued(
                start=now.date().replace(year=now.year - 1, day=1), end=now.date()
            )
        )
    ]
    return current_table("revaluations", "Months as booked and as revalued", columns, rows)


def fx_table(query: ViewQuery, now: datetime) -> Table:
    """Which dated rates were given? Exact, as text."""
    columns = (
        TableColumn("currency", "Currency", Kind.TEXT),
        TableColumn("date", "From", Kind.DAY),
        TableColumn("rate", "Rate", Kind.TEXT),
        TableColumn("source", "Source", Kind.TEXT),
        TableColumn("evidence", "Evidence", Kind.TEXT),
        TableColumn("in_force", "In force", Kind.TEXT),
        TableColumn("price_version", "Price version", Kind.COUNT),
    )
    rows: list[tuple[Value, ...]] = [
        (
            line.currency,
            line.rate_date,
            line.rate,
            line.source,
            line.evidence,
            "yes" if line.in_force else "no",
            line.version,
        )
        for line in policies.list_fx_rates(now=now)
    ]
    return current_table("fx-rates", "FX rates", columns, rows)


def commitment_table(query: ViewQuery, now: datetime) -> Table:
    """How does committed capacity stand? Sums over the days booked in the last 30."""
    columns = (
        TableColumn("commitment", "Commitment", Kind.TEXT),
        TableColumn("name", "Name", Kind.TEXT),
        TableColumn("offer", "Offer", Kind.TEXT),
        TableColumn("owner", "Owner", Kind.TEXT),
        TableColumn("units", "Units", Kind.COUNT),
        TableColumn("hourly_rate", "Rate per unit and hour", Kind.TEXT),
        TableColumn("currency", "Currency", Kind.TEXT),
        TableColumn("hour_used", "Tokens this hour", Kind.COUNT),
        TableColumn("hour_left", "Left this hour", Kind.COUNT),
        TableColumn("charge", "Charge", Kind.MONEY),
        TableColumn("used", "Used", Kind.MONEY),
        TableColumn("waste", "Waste", Kind.MONEY),
        TableColumn("beyond", "On demand beyond capacity", Kind.MONEY),
        TableColumn("beyond_tokens", "Tokens beyond", Kind.COUNT),
        TableColumn("term_left", "Left of the term", Kind.MONEY),
        TableColumn("used_tokens", "Used tokens", Kind.COUNT),
        TableColumn("capacity_tokens", "Capacity", Kind.COUNT),
        TableColumn("accounting_price", "Accounting price", Kind.MONEY),
        TableColumn("on_demand_price", "On-demand price", Kind.MONEY),
        TableColumn("break_even_tokens", "Break-even tokens", Kind.COUNT),
        TableColumn("advice", "Advice", Kind.TEXT),
        TableColumn("notice_date", "Notice by", Kind.DAY),
        TableColumn("end", "Ends", Kind.INSTANT),
    )
    rows: list[tuple[Value, ...]] = [
        (
            view.terms.public,
            view.terms.name,
            view.terms.key.slug,
            view.terms.owner_slug,
            view.terms.units,
            amount_text(view.terms.hourly_rate_nanos),
            view.terms.currency,
            view.hour_used,
            view.hour_left,
            view.charge,
            view.used_nanos,
            view.waste,
            view.beyond_nanos,
            view.beyond,
            view.term.left,
            view.used,
            view.capacity,
            view.accounting_price,
            view.on_demand_price,
            view.break_even_tokens,
            view.advice.step.value,
            view.terms.notice_date,
            view.terms.end_at,
        )
        for view in policies.list_commitments(now=now)
    ]
    return current_table("commitments", "Commitments", columns, rows)
