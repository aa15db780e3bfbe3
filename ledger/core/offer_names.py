"""Which offer does a model name mean? Slug, venue and model, maker/model, bare name, alias.

Callers write `openai/gpt-5.4`, `gpt-5.4`, `gpt-5.4-2026-03-05`, `eu.anthropic.claude-…` or an
offer's slug. Resolution is by identity alone: an exact name, an alias the catalogue states, or
a dated alias whose undated name is a model. Nothing is guessed from similarity; a name that
means nothing here is refused, never priced as its neighbour.
Source: product.md section 13, conventions.md section 5; docs/algorithms/price-resolution.md.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ledger.core.price_terms import GLOBAL, OfferKey, Tier
from o10.kernel.errors import Missing

NAME_CHARS_MAX = 200

FIRST_PARTY = (
    "openai",
    "anthropic",
    "google",
    "x-ai",
    "deepseek",
    "mistral",
    "meta",
    "moonshotai",
    "zai",
    "minimax",
    "cohere",
    "perplexity",
    "voyageai",
    "elevenlabs",
    "arcee",
    "aws",
)
"""Venues that sell their own models: where a bare model name is looked for, in this order."""

VENUE_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "amazon": ("aws",),
        "azure_ai": ("azure",),
        "azure_text": ("azure",),
        "azure-openai": ("azure",),
        "bedrock": ("aws",),
        "bedrock_converse": ("aws",),
        "claude": ("anthropic",),
        "cohere_chat": ("cohere",),
        "fireworks_ai": ("fireworks",),
        "gemini": ("google",),
        "github_copilot": ("github-copilot",),
        "meta_llama": ("meta",),
        "meta-llama": ("meta",),
        "mistralai": ("mistral",),
        "moonshot": ("moonshotai",),
        "text-completion-openai": ("openai",),
        "together_ai": ("together",),
        "vertex_ai": ("vertex", "google"),
        "voyage": ("voyageai",),
        "xai": ("x-ai",),
        "z-ai": ("zai",),
    }
)
"""Other names of a venue, with the venues they may mean, the first that is known wins."""

REGION_PREFIXES = ("global", "regional", "us", "us-gov", "eu", "apac", "jp", "au", "ca")
"""Regions that stand before a dot in model ids of one venue (`eu.anthropic.claude-…`)."""

_DATED = (
    re.compile(r"[-@]20\d{2}-[01]\d-[0-3]\d$"),
    re.compile(r"[-@]20\d{2}[01]\d[0-3]\d$"),
    re.compile(r"[-:]latest$"),
    re.compile(r"-v\d+(?::\d+)?$"),
)


SERVED_TIERS: Mapping[str, Tier] = MappingProxyType(
    {
        "auto": Tier.STANDARD,
        "default": Tier.STANDARD,
        "standard": Tier.STANDARD,
        "scale": Tier.STANDARD,
        "batch": Tier.BATCH,
        "flex": Tier.FLEX,
        "priority": Tier.PRIORITY,
        "fast": Tier.PRIORITY,
    }
)
"""Which tier is meant by the `service_tier` of a response. Another text is no known tier."""


class ModelUnknown(Missing):
    """Does a name mean no offer, or several? Fields: `model`, `venue`, `candidates`."""

    code = "not_found"


@dataclass(frozen=True, slots=True)
class OfferNames:
    """Which names are there?

    Shape: `places` holds (venue, region, model) of every offer; `models` maps a venue to its
    models, each with its regions; `aliases` maps (venue, alias) to a model of that venue.
    All lower case.
    """

    places: frozenset[tuple[str, str, str]]
    models: Mapping[str, Mapping[str, tuple[str, ...]]]
    aliases: Mapping[tuple[str, str], str]


def index_names(
    *, offers: Iterable[OfferKey], aliases: Iterable[tuple[str, str, str]] = ()
) -> OfferNames:
    """Which names do these offers and aliases (venue, alias, model) make?"""
    places = frozenset((offer.venue, offer.region, offer.model) for offer in offers)
    models: dict[str, dict[str, tuple[str, ...]]] = {}
    for venue, region, model in sorted(places):
        regions = models.setdefault(venue, {})
        regions[model] = (*regions.get(model, ()), region)
    named = {(venue, alias): model for venue, alias, model in aliases}
    return OfferNames(places, MappingProxyType(models), MappingProxyType(named))


def resolve_offer(
    *,
    names: OfferNames,
    model: str,
    venue: str | None = None,
    region: str | None = None,
    tier: Tier = Tier.STANDARD,
) -> OfferKey:
    """Which offer does this name mean?

    Order: offer slug; model at the given venue; `venue/model`; bare name at its maker's own
    venue; bare name that one venue alone sells. A tier suffix (`@batch`) wins over `tier`, a
    region in the name over `region`. The offer's tier may have no price: that is the price
    book's answer to give.
    Raises: ModelUnknown (`not_found`) with the candidates when several venues sell it.
    """
    wanted = model.strip().lower()
    if not wanted or len(wanted) > NAME_CHARS_MAX:
        raise ModelUnknown(model=model[:NAME_CHARS_MAX], venue=venue, candidates=())
    stem, suffix = _tier_suffix(wanted)
    found = _place(names, stem, _venue(names, venue) if venue else None, region)
    if isinstance(found, OfferKey):
        return replace(found, tier=suffix or tier)
    raise ModelUnknown(model=model, venue=venue, candidates=found)


def candidate_offers(
    *,
    names: OfferNames,
    model: str,
    venue: str | None = None,
    region: str | None = None,
    tier: Tier = Tier.STANDARD,
) -> tuple[OfferKey, ...]:
    """Which offers may serve a call that names this, and leaves the rest to us? By slug.

    Mostly one, that of `resolve_offer`. Several where it names no venue and several sell the
    model by this name, or no region and the venue has no global offer; none when nobody does.
    A name with a maker that does not sell it itself means the venues that sell it by exactly
    this name.
    """
    wanted = model.strip().lower()
    if not wanted or len(wanted) > NAME_CHARS_MAX:
        return ()
    stem, suffix = _tier_suffix(wanted)
    sold_at = _venue(names, venue) if venue else None
    found = _place(names, stem, sold_at, region)
    if isinstance(found, OfferKey):
        sellers = [found]
    else:
        sellers = _sellers(names, stem, region) if sold_at is None else []
    meant = {
        replace(key, tier=suffix or tier)
        for seller in sellers
        for key in _open_regions(names, stem, seller, region)
    }
    return tuple(sorted(meant, key=lambda key: key.slug))


def _tier_suffix(name: str) -> tuple[str, Tier | None]:
    stem, at, suffix = name.rpartition("@")
    if at and suffix in set(Tier):
        return stem, Tier(suffix)
    return name, None


def _place(
    names: OfferNames, name: str, venue: str | None, region: str | None
) -> OfferKey | tuple[str, ...]:
    """The offer, or the candidates: several when ambiguous, none when unknown."""
    slug = _slug(names, name, region)
    if slug is not None and venue in (None, slug.venue):
        return slug
    if venue is not None:
        return _at_venue(names, venue, name, region) or ()
    maker, slash, rest = name.partition("/")
    if slash:
        candidates = [maker] if maker in names.models else list(VENUE_ALIASES.get(maker, ()))
        for candidate in candidates:
            found = _at_venue(names, candidate, rest, region)
            if found is not None:
                return found
        return ()
    return _bare(names, name, region)


def _slug(names: OfferNames, name: str, region: str | None) -> OfferKey | None:
    venue, _, rest = name.partition("/")
    area, _, model = rest.partition("/")
    if model and (venue, area, model) in names.places:
        return OfferKey(venue, model, area)
    if rest in names.models.get(venue, {}):
        return _in_region(names, venue, rest, region)
    return None


def _bare(names: OfferNames, name: str, region: str | None) -> OfferKey | tuple[str, ...]:
    for venue in FIRST_PARTY:
        found = _at_venue(names, venue, name, region)
        if found is not None:
            return found
    sellers = [
        found for venue in names.models if (found := _at_venue(names, venue, name, region))
    ]
    if len(sellers) == 1:
        return sellers[0]
    return tuple(found.slug for found in sellers[:20])


def _sellers(names: OfferNames, name: str, region: str | None) -> list[OfferKey]:
    """The offer of this very name at each venue that has one."""
    found = []
    for venue in names.models:
        area, model = _known(names, venue, name)
        if model is not None:
            found.append(_in_region(names, venue, model, area or region))
    return found


def _open_regions(
    names: OfferNames, name: str, key: OfferKey, region: str | None
) -> list[OfferKey]:
    """The offer, or one for each region where nobody named one and there is no global offer."""
    regions = names.models[key.venue].get(key.model, ())
    if region is not None or GLOBAL in regions:
        return [key]
    found = [_place(names, name, key.venue, each) for each in regions]
    return [each for each in found if isinstance(each, OfferKey)] or [key]


def _at_venue(names: OfferNames, venue: str, name: str, region: str | None) -> OfferKey | None:
    """The model of this name at this venue, also without its maker's prefix."""
    if venue not in names.models:
        return None
    tries = [name]
    if "/" in name:
        tries.append(name.partition("/")[2])
    for each in tries:
        area, model = _known(names, venue, each)
        if model is not None:
            return _in_region(names, venue, model, area or region)
    return None


def _known(names: OfferNames, venue: str, name: str) -> tuple[str | None, str | None]:
    """Region in the name, if any, and the venue's model of this name, alias or dated alias."""
    model = _undated(names, venue, name)
    if model is not None:
        return None, model
    prefix, dot, rest = name.partition(".")
    if dot and prefix in REGION_PREFIXES:
        return prefix, _undated(names, venue, rest)
    return None, None


def _undated(names: OfferNames, venue: str, name: str) -> str | None:
    models = names.models[venue]
    for _ in range(3):
        if name in models:
            return name
        alias = names.aliases.get((venue, name))
        if alias is not None:
            return alias
        shorter = next(
            (pattern.sub("", name) for pattern in _DATED if pattern.search(name)), ""
        )
        if not shorter:
            return None
        name = shorter
    return None


def _in_region(names: OfferNames, venue: str, model: str, region: str | None) -> OfferKey:
    regions = names.models[venue][model]
    if region is None:
        return OfferKey(venue, model, GLOBAL if GLOBAL in regions else regions[0])
    if region in regions:
        return OfferKey(venue, model, region)
    # A venue that prices "any one region" apart from global sells every region at that price.
    if region != GLOBAL and "regional" in regions:
        return OfferKey(venue, model, "regional")
    # Not sold there by name: the global offer, or an offer that no rule prices.
    return OfferKey(venue, model, GLOBAL if GLOBAL in regions else region)


def _venue(names: OfferNames, venue: str) -> str:
    wanted = venue.strip().lower()
    if wanted in names.models:
        return wanted
    known = [each for each in VENUE_ALIASES.get(wanted, ()) if each in names.models]
    return known[0] if known else wanted
