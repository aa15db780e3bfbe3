"""How is a change of prices told to whoever decides it: rows, money effect, evidence?"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from ledger import facade as ledger
from o10.kernel import figures
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos
from policies.operations.change_kinds import ChangeText, DiffRow, EffectRow, EvidenceRow
from policies.operations.price_drafts import commitment_of, instant_of, offer_of

EFFECT_DAYS: Final = 30
ROWS_TOLD: Final = 40
HOURS_A_MONTH: Final = 730
NOTHING: Final = "nothing changes"
QUARANTINE: Final = "/prices/quarantine/"
_Change = Mapping[str, Any]


def describe_refresh(change: _Change) -> ChangeText:
    """How is a catalogue refresh told?"""
    proposal = ledger.get_proposal(proposal=change["proposal"])
    body, currency = proposal.body, _currency()
    delta = int(body["effect"]["total"]["delta"])
    effects = body["effect"]["by_offer"]
    rows = tuple(
        DiffRow(
            f"{each['slug']} {each['meter']}"
            + (f" above {each['above_tokens']:,} tokens" if each["above_tokens"] else ""),
            _rate(each["before"], currency),
            _rate(each["after"], currency),
        )
        for each in body["changes"][:ROWS_TOLD]
    )
    moved = sorted(effects.items(), key=lambda item: -abs(int(item[1]["delta"])))
    return ChangeText(
        title=f"Load {proposal.catalogue} {proposal.edition}: {len(body['changes'])} price "
        f"changes, {len(body['new_offers'])} new offers",
        rows=rows,
        effect=(
            EffectRow(
                f"Money on the usage of the last {body['effect']['days']} days",
                _signed(delta, currency),
                "the prices in force stay",
                "the prices in force stay and grow older",
            ),
            *(
                EffectRow(slug, _signed(int(each["delta"]), currency), NOTHING, NOTHING)
                for slug, each in moved[:5]
                if int(each["delta"])
            ),
        ),
        evidence=(
            EvidenceRow("Catalogue", f"{proposal.catalogue} {proposal.edition}"),
            EvidenceRow("Content", proposal.content_hash[:16], "SHA-256"),
            EvidenceRow(
                "Listed apart",
                f"{len(body['apart'])} rows",
                "not believed or moved by more than 25 %: not part of this",
                QUARANTINE,
            ),
            EvidenceRow(
                "Disagreements",
                f"{len(body['disagreements'])} meters",
                "another catalogue is in force there: nothing is loaded over it",
            ),
        ),
        money_nanos=delta,
        url=f"/prices/proposals/{proposal.id}/",
    )


def describe_release(change: _Change) -> ChangeText:
    """How is the release of a doubted row told?"""
    row = ledger.get_quarantined(row_id=change["row"])
    doubts = ", ".join(each.replace("_", " ") for each in row.doubts)
    newest = row.cards[-1]["card"] if row.cards else row.remark
    now_paid = "not in the price book"
    try:
        line = ledger.get_price_line(slug=row.slug, at=row.seen_at)
        now_paid = _rates_text(line.rates)
    except NotFound:
        pass
    return ChangeText(
        title=f"Believe the quarantined price of {row.slug}",
        rows=(DiffRow("Price per million", now_paid, newest),),
        effect=(
            EffectRow("Calls on it", "priced by this row", NOTHING, NOTHING),
            *(
                (EffectRow("Price 0", "free by policy", NOTHING, NOTHING),)
                if change["free"]
                else ()
            ),
        ),
        evidence=(
            EvidenceRow("Doubts", doubts),
            EvidenceRow("Catalogue", f"{row.catalogue} {row.edition}"),
            EvidenceRow("Reason", change["reason"]),
        ),
        url=QUARANTINE,
    )


def describe_price(change: _Change) -> ChangeText:
    """How is a contract, an override or the end of one told?"""
    key, at = offer_of(change), datetime.fromisoformat(change["at"])
    currency = _currency()
    try:
        line = ledger.get_price_line(slug=key.slug, at=at)
        before, held = line.rates, line.source
    except NotFound:
        before, held = {}, "none"
    if change["do"] == "withdraw":
        return ChangeText(
            title=f"End the {change['source']} price of {key.slug}",
            rows=(DiffRow("Holds until", "open", _day(change["ended_at"])),),
            effect=(EffectRow("Price then", "list", f"{held} price stays", NOTHING),),
            evidence=(EvidenceRow("Reason", change["evidence"]),),
            url=_price_url(key),
        )
    delta = int(change["effect"]["delta"])
    stated = change["currency"]
    rows: list[DiffRow] = []
    for meter, brackets in change["meters"].items():
        for above, price in brackets:
            label = meter if not above else f"{meter} above {above:,} tokens"
            old = figures.rate(before.get(meter), currency).text if not above else "—"
            rows.append(DiffRow(f"{label}, per million", old, _rate(price, stated)))
    ends = _day(change["valid_to"]) if change["valid_to"] else "open"
    rows.append(DiffRow("Holds", held, f"{_day(change['valid_from'])} to {ends}"))
    free = change["free"]
    return ChangeText(
        title=f"{change['source'].capitalize()} price for {key.slug}",
        rows=tuple(rows),
        effect=(
            EffectRow(
                f"Money on the usage of the last {EFFECT_DAYS} days",
                _signed(delta, currency),
                f"the {held} price stays",
                f"the {held} price stays",
            ),
            *(
                (EffectRow("Free by policy", ", ".join(free), NOTHING, NOTHING),)
                if free
                else ()
            ),
        ),
        evidence=(
            EvidenceRow("Evidence", change["evidence"]),
            EvidenceRow(
                "Usage looked at", f"{change['effect']['calls']:,} calls", "priced twice, exact"
            ),
        ),
        money_nanos=delta,
        url=_price_url(key),
    )


def describe_revaluation(change: _Change) -> ChangeText:
    """How is a revaluation, or an FX difference, told?"""
    currency = _currency()
    span = f"{_day(change['from'])} to {_day(change['to'])}"
    if change["do"] == "fx":
        delta = int(change["delta_nanos"])
        word = "loss" if delta > 0 else "gain"
        return ChangeText(
            title=f"Book the FX {word} on {change['currency']} paid at {change['rate']}",
            rows=(
                DiffRow(
                    f"{change['currency']} calls, {span}",
                    figures.money_exact(int(change["booked_nanos"]), currency).text,
                    figures.money_exact(int(change["paid_nanos"]), currency).text,
                ),
            ),
            effect=(EffectRow(f"FX {word}", _signed(delta, currency), NOTHING, NOTHING),),
            evidence=(EvidenceRow("Bill", change["reason"]),),
            money_nanos=delta,
            url="/fx-rates/",
        )
    delta = int(change["delta_nanos"])
    return ChangeText(
        title=f"Revalue {change['entries']:,} entries of {', '.join(change['offers'][:3])}",
        rows=(
            DiffRow(
                f"Booked, {span}",
                figures.money_exact(int(change["booked_nanos"]), currency).text,
                figures.money_exact(int(change["booked_nanos"]) + delta, currency).text,
            ),
        ),
        effect=(
            EffectRow(
                "Settled money",
                _signed(delta, currency),
                "stays as booked",
                "stays as booked",
            ),
        ),
        evidence=(
            EvidenceRow("Reason", change["reason"]),
            EvidenceRow("Priced by", f"price version {change['price_version']}"),
            EvidenceRow("Originals", f"{change['entries']:,}", "none of them is changed"),
        ),
        money_nanos=delta,
        url="/prices/revaluations/",
    )


def describe_commitment(change: _Change) -> ChangeText:
    """How are the terms of a commitment told?"""
    draft = commitment_of(change)
    known = [each for each in ledger.list_terms() if each.public == change["commitment"]]
    old = max(known, key=lambda each: each.version) if known else None
    month = draft.units * draft.hourly_rate_nanos * HOURS_A_MONTH
    hours = int((draft.end_at - draft.start_at) / timedelta(hours=1))
    whole = draft.units * draft.hourly_rate_nanos * hours
    facts: tuple[tuple[str, str, str], ...] = (
        ("Units", f"{old.units:,}" if old else "—", f"{draft.units:,}"),
        (
            "Rate per unit and hour",
            figures.money_exact(old.hourly_rate_nanos, old.currency).text if old else "—",
            figures.money_exact(draft.hourly_rate_nanos, draft.currency).text,
        ),
        (
            "Capacity, tokens an hour",
            f"{old.capacity_an_hour:,}" if old else "—",
            f"{draft.units * draft.unit_tokens:,}",
        ),
        (
            "Runs",
            f"to {_day(old.end_at.isoformat())}" if old else "—",
            f"{_day(change['start_at'])} to {_day(change['end_at'])}",
        ),
        (
            "Notice by",
            figures.day(old.notice_date).text if old else "—",
            figures.day(draft.notice_date).text,
        ),
        (
            "Owner, who carries the waste",
            f"{old.owner_kind} {old.owner_slug}" if old else "—",
            f"{draft.owner_kind} {draft.owner_slug}",
        ),
    )
    before = old.units * old.hourly_rate_nanos * HOURS_A_MONTH if old else 0
    return ChangeText(
        title=f"Commit to {draft.name}: {draft.model} at {draft.venue}",
        rows=tuple(DiffRow(*each) for each in facts),
        effect=(
            EffectRow(
                "Charge a month of 730 hours, used or not",
                figures.money(month, draft.currency).text,
                NOTHING,
                NOTHING,
            ),
            EffectRow(
                "Charge to the end", figures.money(whole, draft.currency).text, NOTHING, NOTHING
            ),
        ),
        evidence=(EvidenceRow("Evidence", draft.evidence),),
        money_nanos=month - before,
        url=f"/commitments/{old.public}/" if old else "/commitments/",
    )


def _currency() -> str:
    return str(ledger.ledger_of_company().currency)


def _rate(nanos: str | None, currency: str) -> str:
    return figures.rate(int(nanos) if nanos is not None else None, currency).text


def _rates_text(rates: Mapping[str, Nanos]) -> str:
    return ", ".join(f"{meter} {figures.rate(each).text}" for meter, each in rates.items())


def _signed(nanos: Nanos, currency: str) -> str:
    text = figures.money(nanos, currency).text
    return text if nanos <= 0 or text.startswith("<") else f"+{text}"


def _day(text: str) -> str:
    found = instant_of(text)
    return figures.day(found.date()).text if found else "open"


def _price_url(key: ledger.OfferKey) -> str:
    return f"/prices/offers/{key.slug}/"
