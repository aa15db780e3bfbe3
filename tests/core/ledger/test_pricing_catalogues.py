"""What is read from a price file, doubted, proposed? Made-up rows, then public files."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.core.litellm_prices import offer_of, read_litellm
from ledger.core.price_catalogue import CatalogueInvalid, Skip, nanos_per_million
from ledger.core.price_digest import digest_of, rule_line
from ledger.core.price_plausibility import RULES, Context, Doubt, doubts_about
from ledger.core.price_proposal import propose
from ledger.core.price_terms import ALWAYS, Bracket, OfferKey, PriceRule, PriceSource, Tier
from ledger.core.pricing import EMPTY_BOOK, Offer, compile_book, find_rates
from tests.core.ledger.prices import make_card, make_rule

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
CHAT = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2.5e-06,
    "output_cost_per_token": 1.5e-05,
}


def read(table: dict, version: str = "1"):
    return read_litellm(json.dumps(table).encode(), version=version)


def apply(book, proposal, version: int):
    """The book with the proposal's rules added, as the database would hold it."""
    rules = {key: list(offer.rules) for key, offer in book.offers.items()}
    number = sum(len(each) for each in rules.values())
    for new in proposal.rules:
        number += 1
        rules.setdefault(new.key, []).append(
            PriceRule(
                rule_id=number,
                source=PriceSource.LIST,
                source_name=proposal.catalogue,
                version=version,
                valid_from=new.dated.valid_from,
                card=new.dated.card,
                window=new.dated.window,
            )
        )
    offers = [Offer(key, tuple(each)) for key, each in rules.items()]
    return compile_book(version=version, digest=bytes(32), offers=offers)


def load(table: dict, book=EMPTY_BOOK, now=NOW, version: int = 1):
    proposal = propose(book=book, catalogue=read(table), now=now)
    return apply(book, proposal, version), proposal


def test_a_row_is_read_exactly_with_its_tiers_brackets_and_writes():
    (standard, batch, flex) = read(
        {
            "gpt-x": CHAT
            | {
                "cache_read_input_token_cost": 2.5e-07,
                "cache_creation_input_token_cost": 3.125e-06,
                "cache_creation_input_token_cost_above_1hr": 5e-06,
                "input_cost_per_token_above_272k_tokens": 5e-06,
                "input_cost_per_token_batches": 1.25e-06,
                "output_cost_per_token_batches": 7.5e-06,
                "input_cost_per_token_flex": 1.25e-06,
                "input_cost_per_token_above_272k_tokens_flex": 2.5e-06,
                "max_input_tokens": 1_050_000,
            }
        }
    ).rows
    assert standard.key == OfferKey("openai", "gpt-x")
    assert standard.context_window == 1_050_000
    assert dict(standard.cards[0].card.meters) == {
        "input": (Bracket(0, 2_500_000_000), Bracket(272_000, 5_000_000_000)),
        "output": (Bracket(0, 15_000_000_000),),
        "cache_read": (Bracket(0, 250_000_000),),
        "cache_write_5m": (Bracket(0, 3_125_000_000),),
        "cache_write_1h": (Bracket(0, 5_000_000_000),),
    }
    assert batch.key.tier is Tier.BATCH
    # A tier has what the file states for it; a cached batch token has no price here.
    assert set(batch.cards[0].card.meters) == {"input", "output"}
    assert flex.cards[0].card.meters["input"][1] == Bracket(272_000, 2_500_000_000)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0.00000125", 1_250_000_000),
        ("6.875e-08", 68_750_000),
        ("0.00000018000000000000002", 180_000_000),
        ("2.857142857142857E-7", 285_714_286),
        ("1E-16", 0),
    ],
)
def test_a_price_per_token_becomes_nanos_per_million_without_a_float(text, nanos):
    assert nanos_per_million(Decimal(text), per=1) == nanos


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-0.1", "1E+400"])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(CatalogueInvalid):
        nanos_per_million(Decimal(text), per=1)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_catalogue_is_refused(content):
    with pytest.raises(CatalogueInvalid):
        read_litellm(content, version="1")


def test_two_rows_that_differ_on_one_offer_are_both_left_out():
    table = {"gpt-x": CHAT, "openai/gpt-x": CHAT | {"input_cost_per_token": 1e-06}}
    catalogue = read(table)
    assert catalogue.rows == ()
    assert {each.name for each in catalogue.unreadable} == {"gpt-x", "openai/gpt-x"}
    same = read({"gpt-x": CHAT, "openai/gpt-x": CHAT})
    assert [row.key.slug for row in same.rows] == ["openai/gpt-x"]
    assert same.unreadable == ()


def test_a_row_that_cannot_be_read_does_not_take_the_others_with_it():
    table = {"bad": CHAT | {"input_cost_per_token": "2"}, "good": CHAT, "odd": 7, "none": {}}
    catalogue = read(table)
    assert [row.key.model for row in catalogue.rows] == ["good"]
    assert [each.name for each in catalogue.unreadable] == ["bad"]
    assert {each.name for each in catalogue.skipped} == {"odd", "none"}


@pytest.mark.parametrize(
    ("name", "provider", "slug"),
    [
        ("gpt-5.4", "openai", "openai/gpt-5.4"),
        ("azure/eu/gpt-5.1", "azure", "azure/eu/gpt-5.1"),
        ("gemini/gemini-2.5-pro", "gemini", "google/gemini-2.5-pro"),
        ("vertex_ai/claude-4", "vertex_ai-anthropic_models", "vertex/claude-4"),
        ("eu.anthropic.claude-4", "bedrock_converse", "aws/eu/anthropic.claude-4"),
        (
            "bedrock/us-west-2/anthropic.claude-v1",
            "bedrock",
            "aws/us-west-2/anthropic.claude-v1",
        ),
        ("openrouter/openai/gpt-4o", "openrouter", "openrouter/openai/gpt-4o"),
        ("together_ai/Qwen/Qwen3", "together_ai", "together/qwen/qwen3"),
    ],
)
def test_a_key_of_the_file_names_venue_region_and_model(name, provider, slug):
    assert offer_of(name, provider).slug == slug


def row_of(prices: dict, mode: str = "chat", name: str = "gpt-x"):
    return read({name: {"litellm_provider": "openai", "mode": mode, **prices}}).rows[0]


@pytest.mark.parametrize(
    ("doubt", "row", "context"),
    [
        (
            Doubt.TOO_DEAR,
            row_of({"input_cost_per_token": 0.0032, "output_cost_per_token": 0.00971}),
            Context(None, None),
        ),
        (
            Doubt.OUTPUT_BELOW_INPUT,
            row_of({"input_cost_per_token": 5e-06, "output_cost_per_token": 1.2e-06}),
            Context(None, None),
        ),
        (
            Doubt.TEXT_PRICE_ON_IMAGE_MODEL,
            row_of({"output_cost_per_token": 8e-08}, mode="image_generation"),
            Context(None, None),
        ),
        (
            Doubt.LONG_CONTEXT_CHEAPER,
            row_of(
                {"input_cost_per_token": 2e-6, "input_cost_per_token_above_200k_tokens": 1e-6}
            ),
            Context(None, None),
        ),
        (
            Doubt.LONG_TWIN_CHEAPER,
            row_of({"input_cost_per_token": 1e-06}, name="llama-long"),
            Context(None, make_card({"input": "3"})),
        ),
        (
            Doubt.ZERO_PRICE,
            row_of({"input_cost_per_token": 0, "output_cost_per_token": 1e-06}),
            Context(None, None),
        ),
        (
            Doubt.MOVED_TENFOLD,
            row_of({"input_cost_per_token": 5.1e-05, "output_cost_per_token": 1e-04}),
            Context(make_card({"input": "5", "output": "30"}), None),
        ),
    ],
    ids=lambda value: value.value if isinstance(value, Doubt) else "",
)
def test_an_implausible_row_is_doubted_for_its_reason(doubt, row, context):
    assert doubts_about(row, context) == (doubt,)


def test_every_doubt_but_unreadable_has_its_rule():
    assert set(RULES) | {Doubt.UNREADABLE, Doubt.MOVED_OVER_QUARTER} == set(Doubt)


@pytest.mark.parametrize(("factor", "is_doubted"), [("50", False), ("50.001", True)])
def test_tenfold_is_the_last_step_that_is_believed(factor, is_doubted):
    row = row_of({"input_cost_per_token": float(factor) / 1e6})
    last = make_card({"input": "5"})
    assert (doubts_about(row, Context(last, None)) == (Doubt.MOVED_TENFOLD,)) is is_doubted
    fallen = row_of({"input_cost_per_token": 0.5e-06})
    assert doubts_about(fallen, Context(last, None)) == ()


def test_a_zero_beside_prices_is_unknown_and_an_embedding_has_no_output():
    chat = row_of(
        {
            "input_cost_per_token": 1e-6,
            "output_cost_per_token": 2e-6,
            "cache_creation_input_token_cost": 0.0,
        }
    )
    assert set(chat.cards[0].card.meters) == {"input", "output"}
    embedding = row_of(
        {"input_cost_per_token": 1e-7, "output_cost_per_token": 0.0}, mode="embedding"
    )
    assert set(embedding.cards[0].card.meters) == {"input"}
    assert doubts_about(embedding, Context(None, None)) == ()


def test_a_row_of_zeros_is_left_out_because_free_needs_a_persons_word():
    catalogue = read({"f": CHAT | {"input_cost_per_token": 0, "output_cost_per_token": 0.0}})
    assert catalogue.rows == ()
    assert [each.why for each in catalogue.skipped] == [Skip.FREE]


def test_loading_twice_proposes_nothing_the_second_time():
    book, first = load({"gpt-x": CHAT, "gpt-y": CHAT})
    assert len(first.rules) == 2
    again = propose(book=book, catalogue=read({"gpt-x": CHAT, "gpt-y": CHAT}), now=NOW)
    assert again.is_empty
    assert again.unchanged == 2


def test_a_changed_price_holds_from_now_on_and_the_past_stays():
    book, _ = load({"gpt-x": CHAT})
    later = NOW + timedelta(days=10)
    dearer = {"gpt-x": CHAT | {"input_cost_per_token": 3e-06}}
    new, proposal = load(dearer, book=book, now=later, version=2)
    (change,) = proposal.changes
    assert (change.before, change.after, change.valid_from) == (
        2_500_000_000,
        3_000_000_000,
        later,
    )
    key = OfferKey("openai", "gpt-x")
    for at in (ALWAYS, NOW, later - timedelta(microseconds=1)):
        old = find_rates(book, key=key, at=at, total_input_tokens=1)
        kept = find_rates(new, key=key, at=at, total_input_tokens=1)
        assert kept.rates == old.rates
    now_on = find_rates(new, key=key, at=later, total_input_tokens=1)
    assert now_on.rates.per_million["input"] == 3_000_000_000


def test_a_dropped_meter_is_gone_from_now_on():
    book, _ = load({"gpt-x": CHAT | {"cache_read_input_token_cost": 1e-07}})
    new, proposal = load({"gpt-x": CHAT}, book=book, now=NOW + timedelta(days=1), version=2)
    assert [change.after for change in proposal.changes] == [None]
    rated = find_rates(
        new, key=OfferKey("openai", "gpt-x"), at=NOW + timedelta(days=2), total_input_tokens=1
    )
    assert "cache_read" not in rated.rates.per_million


def test_a_tenfold_rise_is_quarantined_and_the_old_price_stays():
    book, _ = load({"gpt-x": CHAT})
    wrong = {"gpt-x": CHAT | {"input_cost_per_token": 3e-05}}
    new, proposal = load(wrong, book=book, now=NOW + timedelta(days=1), version=2)
    assert [each.doubts for each in proposal.quarantined] == [(Doubt.MOVED_TENFOLD,)]
    assert proposal.is_empty
    assert len(new.offers[OfferKey("openai", "gpt-x")].rules) == 1


def test_another_catalogue_that_differs_is_a_disagreement_and_changes_nothing():
    card = make_card({"input": {0: "2.5", 272_000: "5"}, "output": "14", "cache_read": "1"})
    rule = make_rule(card=card, source_name="genai-prices")
    key = OfferKey("openai", "gpt-x")
    book = compile_book(version=1, digest=bytes(32), offers=[Offer(key, (rule,))])
    proposal = propose(book=book, catalogue=read({"gpt-x": CHAT}), now=NOW)
    assert proposal.is_empty
    # Flat there and dearer above 272,000 here differs too; a meter of one alone is a gap.
    assert [
        (each.meter, each.above_tokens, each.before, each.after)
        for each in proposal.disagreements
    ] == [
        ("input", 272_000, 5_000_000_000, 2_500_000_000),
        ("output", 0, 14_000_000_000, 15_000_000_000),
    ]


def test_an_offer_the_catalogue_no_longer_names_keeps_its_price():
    book, _ = load({"gpt-x": CHAT, "gpt-y": CHAT})
    proposal = propose(book=book, catalogue=read({"gpt-y": CHAT}), now=NOW)
    assert proposal.absent == (OfferKey("openai", "gpt-x"),)
    assert proposal.is_empty


def test_the_digest_binds_every_part_of_a_rule_and_what_was_before():
    key = OfferKey("openai", "gpt-x")
    rule = make_rule(card=make_card({"input": {0: "5", 272_000: "10"}}))
    line = rule_line(key, rule)
    assert line == (
        "rule|openai/gpt-x|global|list|test-list|2000-01-01T00:00:00.000000+00:00|||"
        "USD whole_call inside input:0=5000000000,272000=10000000000"
    )
    digest = digest_of(before=bytes(32), lines=[line])
    assert digest.hex() == ("933ca1e1b68c32d866ad546676752dd600857bcb9e2b15f3524e73966cbf3294")
    others = [
        rule_line(replace(key, region="eu"), rule),
        rule_line(key, replace(rule, valid_to=NOW)),
        rule_line(key, replace(rule, card=make_card({"input": "5"}))),
    ]
    assert len({digest, *(digest_of(before=bytes(32), lines=[each]) for each in others)}) == 4
    assert digest_of(before=digest, lines=[line]) != digest
    assert digest_of(before=bytes(32), lines=["b", "a"]) == digest_of(
        before=bytes(32), lines=["a", "b"]
    )


@pytest.fixture(scope="module")
def public_files(request):
    from tests.conftest import SHARED_DATA

    folder = SHARED_DATA / "prices"
    if not folder.exists():
        pytest.skip("needs ../shared/data/prices")
    versions = ("1.60.0", "1.109.1")
    return {
        version: read_litellm(
            gzip.decompress((folder / f"litellm_model_prices_{version}.json.gz").read_bytes()),
            version=version,
        )
        for version in versions
    }


def test_the_wrong_rows_of_the_public_file_land_in_quarantine(public_files):
    proposal = propose(book=EMPTY_BOOK, catalogue=public_files["1.109.1"], now=NOW)
    doubts = {each.key.slug: each.doubts for each in proposal.quarantined}
    # 3,200 USD per million tokens for a small model; a long twin cheaper than its base; text
    # prices on image models.
    assert doubts["azure/jais-30b-chat"] == (Doubt.TOO_DEAR,)
    assert doubts["watsonx/core42/jais-13b-chat"] == (Doubt.TOO_DEAR,)
    assert doubts["fireworks/accounts/fireworks/models/llama-v3p1-405b-instruct-long"] == (
        Doubt.LONG_TWIN_CHEAPER,
    )
    assert doubts["fireworks/accounts/fireworks/models/flux-1-dev-fp8"] == (
        Doubt.TEXT_PRICE_ON_IMAGE_MODEL,
    )
    loaded = {rule.key.slug for rule in proposal.rules}
    assert not loaded & {each.key.slug for each in proposal.quarantined}
    assert len(proposal.quarantined) < len(proposal.rules) // 20
    assert "openai/gpt-5.4" in loaded


def test_a_newer_public_file_never_changes_a_past_price(public_files):
    first = propose(book=EMPTY_BOOK, catalogue=public_files["1.60.0"], now=NOW)
    book = apply(EMPTY_BOOK, first, 1)
    later = NOW + timedelta(days=30)
    second = propose(book=book, catalogue=public_files["1.109.1"], now=later)
    new = apply(book, second, 2)
    assert len(second.changes) > 50
    for key in book.offers:
        for at in (ALWAYS, NOW, later - timedelta(microseconds=1)):
            for tokens in (1, 300_000):
                old = find_rates(book, key=key, at=at, total_input_tokens=tokens)
                kept = find_rates(new, key=key, at=at, total_input_tokens=tokens)
                assert (old.rates, old.rule_id) == (kept.rates, kept.rule_id)
    again = propose(book=new, catalogue=public_files["1.109.1"], now=later + timedelta(days=1))
    assert again.rules == ()
