"""Which offer does a name mean? Every way of writing it, and what must not be guessed."""

import pytest

from ledger.core.offer_names import (
    FIRST_PARTY,
    SERVED_TIERS,
    VENUE_ALIASES,
    ModelUnknown,
    candidate_offers,
    index_names,
    resolve_offer,
)
from ledger.core.price_terms import OfferKey, Tier

NAMES = index_names(
    offers=[
        OfferKey("openai", "gpt-5.4"),
        OfferKey("openai", "gpt-5.4", tier=Tier.BATCH),
        OfferKey("openai", "gpt-4o"),
        OfferKey("openai", "gpt-4o-2024-05-13"),
        OfferKey("anthropic", "claude-sonnet-4-5"),
        OfferKey("azure", "gpt-5.4"),
        OfferKey("azure", "gpt-5.4", "eu"),
        OfferKey("aws", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        OfferKey("aws", "anthropic.claude-haiku-4-5-20251001-v1:0", "regional"),
        OfferKey("openrouter", "openai/gpt-5.4"),
        OfferKey("together", "qwen/qwen3.5-9b"),
        OfferKey("groq", "llama-3"),
        OfferKey("cerebras", "llama-3"),
        OfferKey("cloudflare", "@cf/meta/llama-4"),
        OfferKey("google", "gemini-2.5-pro"),
        OfferKey("novita", "only-here"),
    ],
    aliases=[
        ("openai", "gpt-5-4", "gpt-5.4"),
        ("aws", "claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0"),
    ],
)
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.mark.parametrize(
    ("asked", "slug"),
    [
        # An offer's own slug, with region and tier.
        ({"model": "openai/gpt-5.4"}, "openai/gpt-5.4"),
        ({"model": "openai/gpt-5.4@batch"}, "openai/gpt-5.4@batch"),
        ({"model": "azure/eu/gpt-5.4"}, "azure/eu/gpt-5.4"),
        ({"model": "openrouter/openai/gpt-5.4"}, "openrouter/openai/gpt-5.4"),
        ({"model": "cloudflare/@cf/meta/llama-4"}, "cloudflare/@cf/meta/llama-4"),
        # Venue and model, with and without the maker's prefix.
        ({"model": "gpt-5.4", "venue": "azure"}, "azure/gpt-5.4"),
        ({"model": "openai/gpt-5.4", "venue": "azure"}, "azure/gpt-5.4"),
        ({"model": "openai/gpt-5.4", "venue": "openrouter"}, "openrouter/openai/gpt-5.4"),
        ({"model": "gpt-5.4", "venue": "azure", "region": "eu"}, "azure/eu/gpt-5.4"),
        ({"model": "claude-haiku-4-5", "venue": "bedrock"}, f"aws/{HAIKU}"),
        # Another name of the venue.
        ({"model": "gemini/gemini-2.5-pro"}, "google/gemini-2.5-pro"),
        ({"model": "vertex_ai/gemini-2.5-pro"}, "google/gemini-2.5-pro"),
        # Bare names go to the maker's own venue, else to the one that sells it.
        ({"model": "gpt-5.4"}, "openai/gpt-5.4"),
        ({"model": "claude-sonnet-4-5"}, "anthropic/claude-sonnet-4-5"),
        ({"model": "only-here"}, "novita/only-here"),
        # Aliases, dated aliases, and a dated version that is a model of its own.
        ({"model": "gpt-5-4"}, "openai/gpt-5.4"),
        ({"model": "gpt-5.4-2026-03-05"}, "openai/gpt-5.4"),
        ({"model": "openai/gpt-5.4-20260305"}, "openai/gpt-5.4"),
        ({"model": "claude-sonnet-4-5@20250929"}, "anthropic/claude-sonnet-4-5"),
        ({"model": "claude-sonnet-4-5-latest"}, "anthropic/claude-sonnet-4-5"),
        ({"model": "gpt-4o-2024-05-13"}, "openai/gpt-4o-2024-05-13"),
        ({"model": "gpt-4o-2024-08-06"}, "openai/gpt-4o"),
        # A region before the dot, as one venue writes it.
        ({"model": f"global.{HAIKU}", "venue": "aws"}, f"aws/{HAIKU}"),
        ({"model": f"eu.{HAIKU}", "venue": "aws"}, f"aws/regional/{HAIKU}"),
        # Tier from the request; case and blanks do not matter.
        ({"model": " OpenAI/GPT-5.4 ", "tier": Tier.BATCH}, "openai/gpt-5.4@batch"),
        ({"model": "gpt-5.4", "tier": Tier.FLEX}, "openai/gpt-5.4@flex"),
    ],
)
def test_a_name_means_this_offer(asked, slug):
    assert resolve_offer(names=NAMES, **asked).slug == slug


@pytest.mark.parametrize(
    "asked",
    [
        {"model": ""},
        {"model": "gpt-5"},
        {"model": "gpt-5.4-turbo"},
        {"model": "gpt-5.4-mini-2026-01-01"},
        {"model": "anthropic/gpt-5.4"},
        {"model": "nobody/gpt-5.4"},
        {"model": "gpt-5.4", "venue": "nobody"},
        {"model": "only-here", "venue": "openai"},
        {"model": "x" * 5_000},
    ],
)
def test_a_name_that_means_nothing_is_refused_and_not_priced_as_its_neighbour(asked):
    with pytest.raises(ModelUnknown) as caught:
        resolve_offer(names=NAMES, **asked)
    assert caught.value.fields["candidates"] == ()


def test_a_name_that_two_venues_sell_names_both():
    with pytest.raises(ModelUnknown) as caught:
        resolve_offer(names=NAMES, model="llama-3")
    assert caught.value.fields["candidates"] == ("cerebras/llama-3", "groq/llama-3")


def test_a_region_nobody_prices_falls_back_to_global_and_never_to_another_region():
    names = index_names(offers=[OfferKey("azure", "m", "us")])
    asked = resolve_offer(names=names, model="m", venue="azure", region="eu")
    assert asked == OfferKey("azure", "m", "eu")
    with_global = index_names(offers=[OfferKey("azure", "m", "us"), OfferKey("azure", "m")])
    assert resolve_offer(names=with_global, model="m", venue="azure", region="eu").region == (
        "global"
    )


def test_the_name_tables_are_lower_case_and_point_at_known_tiers():
    assert all(name == name.lower() for name in (*VENUE_ALIASES, *FIRST_PARTY, *SERVED_TIERS))
    assert set(SERVED_TIERS.values()) == set(Tier)


SOLD = index_names(
    offers=[
        OfferKey("openai", "gpt-5.4"),
        OfferKey("azure", "gpt-5.4"),
        OfferKey("groq", "llama-3"),
        OfferKey("cerebras", "llama-3"),
        OfferKey("cerebras", "llama-3", "eu"),
        OfferKey("novita", "meta-llama/llama-3"),
        OfferKey("openrouter", "meta-llama/llama-3"),
        OfferKey("together", "qwen/qwen3"),
        OfferKey("fireworks", "qwen3"),
        OfferKey("azure", "regional-only", "eu"),
        OfferKey("azure", "regional-only", "us"),
    ]
)


@pytest.mark.parametrize(
    ("asked", "slugs"),
    [
        # What resolve_offer answers stays the only candidate.
        ({"model": "gpt-5.4"}, ["openai/gpt-5.4"]),
        ({"model": "gpt-5.4", "venue": "azure"}, ["azure/gpt-5.4"]),
        ({"model": "groq/llama-3"}, ["groq/llama-3"]),
        # A bare name without a maker's own venue: all who sell it, at their global offer.
        ({"model": "llama-3"}, ["cerebras/llama-3", "groq/llama-3"]),
        ({"model": "llama-3", "region": "eu"}, ["cerebras/eu/llama-3", "groq/llama-3"]),
        ({"model": "llama-3", "venue": "groq"}, ["groq/llama-3"]),
        ({"model": "llama-3@batch"}, ["cerebras/llama-3@batch", "groq/llama-3@batch"]),
        (
            {"model": "llama-3", "tier": Tier.FLEX},
            ["cerebras/llama-3@flex", "groq/llama-3@flex"],
        ),
        # Maker and model: those who sell it by exactly this name, nobody's short name.
        (
            {"model": "Meta-Llama/Llama-3"},
            ["novita/meta-llama/llama-3", "openrouter/meta-llama/llama-3"],
        ),
        ({"model": "qwen/qwen3"}, ["together/qwen/qwen3"]),
        ({"model": "qwen3"}, ["fireworks/qwen3"]),
        # No global offer and no region named: any of its regions.
        (
            {"model": "regional-only", "venue": "azure"},
            ["azure/eu/regional-only", "azure/us/regional-only"],
        ),
        ({"model": "azure/us/regional-only"}, ["azure/us/regional-only"]),
        ({"model": "regional-only", "region": "us"}, ["azure/us/regional-only"]),
        # Nothing is guessed.
        ({"model": "anthropic/gpt-5.4"}, []),
        ({"model": "nobody/llama-3"}, []),
        ({"model": "llama-3", "venue": "openai"}, []),
        ({"model": "meta-llama/llama-3", "venue": "groq"}, ["groq/llama-3"]),
        ({"model": ""}, []),
        ({"model": "x" * 5_000}, []),
    ],
    ids=str,
)
def test_the_candidates_of_a_name_are_those_that_sell_it(asked, slugs):
    assert [key.slug for key in candidate_offers(names=SOLD, **asked)] == slugs


@pytest.mark.parametrize("names", [NAMES, SOLD])
def test_a_name_that_means_one_offer_has_it_among_its_candidates(names):
    for venue, region, model in sorted(names.places):
        for asked in (
            {"model": model},
            {"model": model, "venue": venue},
            {"model": model, "venue": venue, "region": region},
            {"model": OfferKey(venue, model, region).slug},
        ):
            found = candidate_offers(names=names, **asked)
            try:
                meant = resolve_offer(names=names, **asked)
            except ModelUnknown as unknown:
                assert {each.slug for each in found} >= set(unknown.fields["candidates"])
            else:
                assert meant in found
            # A candidate's own slug means that candidate alone.
            for key in found:
                assert candidate_offers(names=names, model=key.slug) == (key,)
