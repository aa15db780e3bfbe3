"""Which story do the demo company's prices tell? Capacity half used, a contract, a refresh.

Two units of committed capacity for policy search that are drawn to about 40 %; a contract in
euros with dated rates; a discount off the list; and a newer edition of the catalogue that waits
for a controller, with one price that moved too far to be believed. The newer edition and the
rates are invented, and say so.
"""

import math
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel.errors import ValidationFailed
from o10.wire.facts import UsageRecord
from policies import facade as policies

VENUE: Final = "azure-ptu"
MODEL: Final = "gpt-5.4-mini"
REGION: Final = "eu"
UNITS: Final = 2
UNIT_TOKENS: Final = 6_000_000
HOURLY_RATE: Final = 4_000_000_000
OWNER: Final = "policy-search"
DRAWN_BY: Final = (("policy-search", 3_400_000), ("support-assistant", 1_300_000))
"""Tokens an hour on average."""
PEAK: Final = 4
PEAK_AT: Final = (2, 14)
"""Weekday and hour of the weekly rebuild of the search index."""
RATES: Final = ((100, "1.0712"), (70, "1.0835"), (40, "1.0798"), (10, "1.0861"), (2, "1.0884"))
"""Days ago, dollars for a euro."""
MOVED: Final = {
    "openai/gpt-5.4-mini": (92, 100),
    "anthropic/claude-sonnet-5": (110, 100),
    "google/gemini-3.5-flash": (210, 100),
    "mistral/codestral-2508": (95, 100),
}
"""The last but one moved by more than a quarter and is listed apart."""
DAYS_LEAST: Final = 9
DAY: Final = timedelta(days=1)


def tell_prices(
    *,
    finops: Caller,
    controller: Caller,
    router: Caller,
    until: date,
    seed: int,
    now: datetime,
) -> int:
    """How many days of committed capacity were booked? Everything by two people, as always."""
    _rates(finops, until=until, now=now)
    _contracts(finops, controller, until=until, now=now)
    _revalue(finops, controller, until=until, now=now)
    start = _start(until)
    _commit(finops, controller, start=start, now=now)
    ledger.record_usage(
        records=_usage(start=start, until=until, seed=seed), caller=router, now=now
    )
    booked = policies.book_commitments(now=now)
    policies.propose_price_refresh(catalogue=_newer_edition(until), actor=None, now=now)
    return booked


def _start(until: date) -> datetime:
    """First of the month, or three weeks back where the month is young."""
    first = until.replace(day=1) if until.day > DAYS_LEAST else until - 21 * DAY
    return datetime(first.year, first.month, first.day, tzinfo=UTC)


def _rates(finops: Caller, *, until: date, now: datetime) -> None:
    policies.add_fx_rates(
        rates=[
            ledger.FxRate(
                currency="EUR",
                rate=rate,
                rate_date=until - back * DAY,
                source="demo rates",
                evidence="invented for the demo company",
            )
            for back, rate in RATES
        ],
        actor=finops,
        now=now,
        key="demo/fx",
    )


def _contracts(finops: Caller, controller: Caller, *, until: date, now: datetime) -> None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    drafts = (
        policies.PriceDraft(
            venue="mistral",
            model="codestral-2508",
            source="contract",
            currency="EUR",
            meters={"input": [(0, 240_000_000)], "output": [(0, 720_000_000)]},
            valid_from=midnight,
            valid_to=midnight + 365 * DAY,
            evidence="Order form MI-2026-31, section 2",
        ),
        policies.PriceDraft(
            venue="groq",
            model="llama-3.3-70b-versatile",
            source="contract",
            discount_ppm=120_000,
            # Signed late: it holds since the first, and what was booked is revalued.
            valid_from=_first_of_month(until),
            evidence="Volume agreement GR-7",
        ),
    )
    for draft in drafts:
        asked = policies.propose_price(
            draft=draft,
            actor=finops,
            now=now,
            reason="negotiated for next year",
            key=f"demo/{draft.venue}",
        )
        _agree(asked, controller, now=now)


def _revalue(finops: Caller, controller: Caller, *, until: date, now: datetime) -> None:
    """The agreement of groq, for what this month was booked at the list price."""
    try:
        asked = policies.propose_revaluation(
            offers=["groq/llama-3.3-70b-versatile"],
            start=_first_of_month(until),
            end=now,
            reason="Volume agreement GR-7 holds since the first of the month",
            actor=finops,
            now=now,
            key="demo/revaluation",
        )
    except ValidationFailed:
        return  # Nothing of it was used this month.
    _agree(asked, controller, now=now)


def _first_of_month(until: date) -> datetime:
    return datetime(until.year, until.month, 1, tzinfo=UTC)


def _commit(finops: Caller, controller: Caller, *, start: datetime, now: datetime) -> None:
    if policies.list_commitments(now=now):
        return
    terms = policies.CommitmentDraft(
        name="PTU Frankfurt",
        venue=VENUE,
        model=MODEL,
        region=REGION,
        units=UNITS,
        hourly_rate_nanos=HOURLY_RATE,
        unit_tokens=UNIT_TOKENS,
        term="quarter",
        start_at=start,
        end_at=start + 92 * DAY,
        notice_date=(start + 62 * DAY).date(),
        owner_kind="use_case",
        owner_slug=OWNER,
        evidence="Order form AZ-2026-118",
    )
    asked = policies.propose_commitment(
        draft=terms, actor=finops, now=now, reason="latency of policy search", key="demo/ptu"
    )
    _agree(asked, controller, now=now)


def _agree(asked: policies.ApprovalView, controller: Caller, *, now: datetime) -> None:
    if asked.is_open:
        policies.approve(approval=asked.id, actor=controller, now=now, key=f"demo/{asked.id}")


def _usage(*, start: datetime, until: date, seed: int) -> list[UsageRecord]:
    """Hour by hour what the two use cases drew, with the curve of a working day."""
    records = []
    hours = (until - start.date()).days * 24
    for hour in range(hours):
        at = start + timedelta(hours=hour, minutes=30)
        quiet = 0.35 if at.weekday() >= 5 else 1.0
        curve = 1 + 0.7 * math.sin((at.hour - 8) / 24 * 2 * math.pi)
        for slug, mean in DRAWN_BY:
            draw = random.Random(f"{seed}/ptu/{slug}/{hour}")  # noqa: S311 - reproducible
            # Once a week everything is indexed anew within an hour: more than it holds.
            peak = PEAK if (slug, at.weekday(), at.hour) == (OWNER, *PEAK_AT) else 1
            spread = draw.lognormvariate(0, 0.12)
            tokens = max(1_000, round(mean * quiet * curve * peak * spread))
            inputs = tokens * 95 // 100
            records.append(_record(f"{slug}/{hour}", at, slug, inputs, tokens - inputs))
    return records


def _record(name: str, at: datetime, slug: str, inputs: int, outputs: int) -> UsageRecord:
    return msgspec.convert(
        {
            "id": f"ptu/{name}",
            "source": "demo",
            "at": at,
            "use_case": slug,
            "venue": VENUE,
            "model": MODEL,
            "region": REGION,
            "calls": max(1, inputs // 5_100),
            "usage": {"input_tokens": inputs, "output_tokens": outputs},
        },
        UsageRecord,
    )


def _newer_edition(until: date) -> ledger.Catalogue:
    """The installed catalogue as it might read next: four offers moved."""
    catalogue = ledger.read_catalogue(source=ledger.GENAI_PRICES)
    rows = tuple(
        replace(row, cards=(*row.cards[:-1], _moved(row.cards[-1], *MOVED[row.key.slug])))
        if row.key.slug in MOVED
        else row
        for row in catalogue.rows
    )
    return replace(
        catalogue,
        version=f"{catalogue.version} (demo edition {until:%Y-%m})",
        sha256=sha256(f"{catalogue.sha256} {sorted(MOVED.items())}".encode()).hexdigest(),
        rows=rows,
    )


def _moved(dated: ledger.DatedCard, part: int, whole: int) -> ledger.DatedCard:
    meters = {
        meter: tuple(
            ledger.Bracket(each.above_tokens, each.nanos_per_million * part // whole)
            for each in brackets
        )
        for meter, brackets in dated.card.meters.items()
    }
    return replace(dated, card=replace(dated.card, meters=meters))
