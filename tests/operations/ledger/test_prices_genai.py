"""Is the installed catalogue read completely? The package's own calculator is the oracle."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import data
from genai_prices.types import Usage as PackageUsage

from ledger.core.price_plausibility import Doubt
from ledger.core.price_proposal import propose
from ledger.core.price_terms import OfferKey, PriceRule, PriceSource, Tier
from ledger.core.pricing import EMPTY_BOOK, Offer, compile_book, find_rates, price_usage
from ledger.operations.load_prices import read_genai_prices
from o10.kernel.usage import TokenClass, Usage

INSTANTS = (
    datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
    datetime(2025, 9, 5, 0, 29, 59, tzinfo=UTC),
    datetime(2026, 8, 17, 2, 30, tzinfo=UTC),
    datetime(2026, 10, 12, 0, 0, tzinfo=UTC),
    datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
)
CONTEXTS = {
    Tier.STANDARD: None,
    Tier.BATCH: {"processing": "batch"},
    Tier.FLEX: {"service_tier": "flex"},
    Tier.PRIORITY: {"service_tier": "priority"},
}
USAGES = (
    Usage(input=700, cache_read=300, output=1_000),
    Usage(input=150_000, cache_read=122_001, output=777),
    Usage(input=900_000, output=12_345),
)


@pytest.fixture(scope="module")
def catalogue():
    return read_genai_prices()


@pytest.fixture(scope="module")
def book(catalogue):
    offers = []
    for row in catalogue.rows:
        rules = [
            PriceRule(
                rule_id=number,
                source=PriceSource.LIST,
                source_name=catalogue.name,
                version=1,
                valid_from=each.valid_from,
                card=each.card,
                window=each.window,
            )
            for number, each in enumerate(row.cards, start=1)
        ]
        offers.append(Offer(row.key, tuple(rules)))
    return compile_book(version=1, digest=bytes(32), offers=offers)


@pytest.mark.parametrize("tier", Tier)
def test_every_offer_costs_what_the_package_says_at_every_instant(book, catalogue, tier):
    models = {
        (provider.id, model.id): (provider, model)
        for provider in data.providers
        for model in provider.models
    }
    compared = 0
    for row in catalogue.rows:
        if row.key.tier is not tier or (row.key.venue, row.name) not in models:
            continue
        provider, model = models[row.key.venue, row.name]
        for at in INSTANTS:
            for usage in USAGES:
                rated = find_rates(
                    book, key=row.key, at=at, total_input_tokens=usage.total_input
                )
                used = [each for each, quantity in usage.items() if quantity]
                if rated is None or rated.rates.missing(used):
                    continue
                theirs = model.calc_price(
                    PackageUsage(
                        input_tokens=usage.total_input,
                        cache_read_tokens=usage.cache_read,
                        output_tokens=usage.output,
                    ),
                    provider,
                    genai_request_timestamp=at,
                    price_context=CONTEXTS[tier],
                )
                fee = rated.rates.request_fee_nanos
                ours = price_usage(usage, rated).total_nanos + fee
                # A nano a line for rounding, and what a float-made catalogue price loses below
                # a nano per million tokens.
                assert abs(Decimal(ours) - theirs.total_price * 10**9) <= 4, (row.key.slug, at)
                compared += 1
    assert compared > 100


def test_dates_hours_and_tiers_are_where_the_catalogue_has_them(book):
    flash = OfferKey("deepseek", "deepseek-v4-flash")
    prices = {
        find_rates(book, key=flash, at=at, total_input_tokens=1).rates.price_of(
            TokenClass.INPUT
        )
        for at in (
            datetime(2026, 7, 1, 0, 30, tzinfo=UTC),
            datetime(2026, 7, 1, 1, 0, tzinfo=UTC),
        )
    }
    assert len(prices) == 2
    batch = OfferKey("openai", "gpt-5.4", tier=Tier.BATCH)
    day_before = datetime(2026, 10, 13, 23, 59, 59, tzinfo=UTC)
    assert find_rates(book, key=batch, at=day_before, total_input_tokens=1) is None
    first_day = datetime(2026, 10, 14, tzinfo=UTC)
    assert find_rates(book, key=batch, at=first_day, total_input_tokens=1) is not None


def test_the_catalogue_covers_the_venues_and_says_what_it_left_out(catalogue):
    venues = {row.key.venue for row in catalogue.rows}
    assert {"openai", "anthropic", "google", "aws", "azure", "mistral", "openrouter"} <= venues
    assert len(catalogue.rows) > 2_000
    assert catalogue.unreadable == ()
    named = {row.name for row in catalogue.rows} | {
        each.name.partition("/")[2].partition("?")[0] for each in catalogue.skipped
    }
    everything = {model.id for provider in data.providers for model in provider.models}
    assert everything <= named


def test_image_models_with_a_text_price_alone_are_quarantined(catalogue):
    proposal = propose(
        book=EMPTY_BOOK, catalogue=catalogue, now=datetime(2026, 11, 20, tzinfo=UTC)
    )
    doubts = {each.key.slug: each.doubts for each in proposal.quarantined}
    assert doubts["openai/gpt-5-image"] == (Doubt.TEXT_PRICE_ON_IMAGE_MODEL,)
    assert "openai/gpt-image-1" not in doubts
    assert len(doubts) < 50
