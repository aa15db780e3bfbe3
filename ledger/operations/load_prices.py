"""Which catalogue prices go into the book? Read, compared, proposed; applied as a new version.

The one home of genai_prices. Prices are read from the installed package or from a file, never
over the network and never at decision time. The package's data is enumerated offline:
providers, their models, the dates and hours of their prices, and the variants for batch, flex
and priority, whose missing meters are the standard ones by the package's own rule.
"""

import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from importlib.metadata import version as version_of_package
from pathlib import Path
from typing import Any, Final

from django.db import transaction

from ledger.core.litellm_prices import read_litellm
from ledger.core.offer_names import REGION_PREFIXES
from ledger.core.price_catalogue import (
    NAME_CHARS_MAX,
    Catalogue,
    CatalogueInvalid,
    CatalogueRow,
    DatedCard,
    Mode,
    Skip,
    Skipped,
    Unreadable,
    merge_dates,
    nanos_per_million,
    reasoning_of,
)
from ledger.core.price_digest import card_text
from ledger.core.price_proposal import Proposal, Quarantined, propose
from ledger.core.price_record import card_records, key_record
from ledger.core.price_terms import (
    ALWAYS,
    GLOBAL,
    Bracket,
    DayWindow,
    OfferKey,
    PriceSource,
    RateCard,
    Tier,
)
from ledger.models.price import PriceAlias, PriceQuarantine, PriceVersion
from ledger.operations.funnel import write
from ledger.operations.write_price_version import (
    SYSTEM,
    PriceChange,
    RuleDraft,
    VersionDraft,
    lock_price_book,
    write_price_version,
)
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.prices import price_book
from o10.kernel.usage import TokenClass

GENAI_PRICES: Final = "genai-prices"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024

_METERS: Final[Mapping[str, tuple[str, int]]] = {
    "input_mtok": (TokenClass.INPUT, 1_000_000),
    "output_mtok": (TokenClass.OUTPUT, 1_000_000),
    "cache_read_mtok": (TokenClass.CACHE_READ, 1_000_000),
    "cache_write_mtok": (TokenClass.CACHE_WRITE_5M, 1_000_000),
    "cache_write_5m_mtok": (TokenClass.CACHE_WRITE_5M, 1_000_000),
    "cache_write_1h_mtok": (TokenClass.CACHE_WRITE_1H, 1_000_000),
    "output_reasoning_mtok": (TokenClass.REASONING, 1_000_000),
    "input_audio_mtok": (TokenClass.AUDIO_INPUT, 1_000_000),
    "output_audio_mtok": (TokenClass.AUDIO_OUTPUT, 1_000_000),
    "input_image_mtok": (TokenClass.IMAGE_INPUT, 1_000_000),
    "output_image_mtok": (TokenClass.IMAGE_OUTPUT, 1_000_000),
    "requests_kcount": (TokenClass.REQUEST, 1_000),
    "web_searches_kcount": ("tool:web_search", 1_000),
    "storage_searches_kcount": ("tool:storage_search", 1_000),
}
"""Price key of the package -> meter, and how many units the price is for."""
_TIERS: Final[Mapping[Tier, Mapping[str, str] | None]] = {
    Tier.STANDARD: None,
    Tier.BATCH: {"processing": "batch"},
    Tier.FLEX: {"service_tier": "flex"},
    Tier.PRIORITY: {"service_tier": "priority"},
}
_SAID_BY_TIER: Final = ({"service_tier": "default"}, {"service_tier": "fast"})
"""Other names of standard and priority; the package gives them the same prices."""
_IMAGE_MODEL: Final = re.compile(r"(?:^|[-/])image(?:$|[-.])|banana")
_IMAGE_ENDPOINT: Final = re.compile(r"gpt-image-")
_VERSION_SUFFIX: Final = re.compile(r"(?:-20\d{6})?(?:-v\d+)?(?::\d+)?$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What did loading a catalogue add? `version` is the newest afterwards."""

    version: int
    proposal: Proposal
    rules: int


def read_catalogue(*, source: str) -> Catalogue:
    """What does this catalogue say? `genai-prices`, or the path of a file in LiteLLM's shape.

    Raises: CatalogueInvalid (`validation_failed`) for a file that is none, is missing or large.
    """
    if source == GENAI_PRICES:
        return read_genai_prices()
    path = Path(source)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            with gzip.open(path) as packed:
                content = packed.read(FILE_BYTES_MAX + 1)
    except (OSError, EOFError) as error:
        raise CatalogueInvalid(place=source, reason="cannot be read") from error
    if len(content) > FILE_BYTES_MAX:
        raise CatalogueInvalid(place=source, reason=f"above {FILE_BYTES_MAX} bytes")
    return read_litellm(content, version=path.name)


def propose_prices(*, catalogue: Catalogue, now: datetime) -> Proposal:
    """What would loading this catalogue change? Writes nothing."""
    known = frozenset(PriceAlias.objects.values_list("venue", "alias"))
    return propose(book=price_book().stated, catalogue=catalogue, now=now, known_aliases=known)


def load_catalogue(
    *, catalogue: Catalogue, actor: str, now: datetime, ledger_id: int = COMPANY_LEDGER
) -> Loaded:
    """What did loading this catalogue add? Loading it again adds nothing.

    `actor` is the public id of the person who applies it, or `system` at set-up. Doubtful rows
    go to the quarantine list. Prices of instants before `now` do not change where there were
    any, and no entry changes.
    Locks: the price book.
    """
    with transaction.atomic():
        lock_price_book()
        proposal = propose_prices(catalogue=catalogue, now=now)
        quarantine(proposal, now=now)
        before = price_book().version
        if proposal.is_empty:
            return Loaded(before, proposal, 0)
        draft = _draft(proposal, actor)
        write(
            ledger_id=ledger_id,
            scope="prices",
            key=f"{catalogue.name}/{catalogue.sha256}/{before}",
            request_hash=bytes.fromhex(catalogue.sha256),
            run=lambda uid: [
                write_price_version(draft, uid=uid, ledger_id=ledger_id, now=now).entry
            ],
        )
    return Loaded(before + 1, proposal, len(draft.rules))


def load_first_prices(*, now: datetime, ledger_id: int = COMPANY_LEDGER) -> Loaded | None:
    """Has the book its first prices? Loads the package's catalogue when it has none.

    The first load needs no approval: without it every call would be denied. None = it had some.
    """
    if PriceVersion.objects.exists():
        return None
    return load_catalogue(
        catalogue=read_genai_prices(), actor=SYSTEM, now=now, ledger_id=ledger_id
    )


def read_genai_prices() -> Catalogue:
    """What does the installed genai-prices package say, all providers, all dates, all tiers?"""
    # Imported here: the data is 1.6 MB of Python that only a price load needs.
    from genai_prices import data

    by_id = {provider.id: provider for provider in data.providers}
    rows: dict[OfferKey, CatalogueRow] = {}
    aliases: dict[tuple[str, str], str | None] = {}
    skipped: list[Skipped] = []
    unreadable: list[Unreadable] = []
    for venue, model, tiers, evidence in _models(by_id):
        key = _key(venue, model.id)
        try:
            found = list(_rows(model, key, tiers, evidence))
        except CatalogueInvalid as error:
            unreadable.append(Unreadable(model.id, key, str(error.fields["reason"])))
            continue
        skipped += [each for each in found if isinstance(each, Skipped)]
        for each in found:
            if isinstance(each, CatalogueRow):
                rows.setdefault(each.key, each)
        for alias in _aliases(model, key):
            # A name that means two models of a venue means none.
            same = aliases.setdefault((key.venue, alias), key.model) == key.model
            aliases[key.venue, alias] = key.model if same else None
    models = {(key.venue, key.model) for key in rows}
    return Catalogue(
        name=GENAI_PRICES,
        version=version_of_package(GENAI_PRICES),
        sha256=sha256(Path(str(data.__file__)).read_bytes()).hexdigest(),
        rows=tuple(sorted(rows.values(), key=lambda row: row.key.slug)),
        aliases=tuple(
            (venue, alias, model)
            for (venue, alias), model in sorted(aliases.items())
            if model and (venue, model) in models and (venue, alias) not in models
        ),
        skipped=tuple(skipped),
        unreadable=tuple(unreadable),
    )


def _models(by_id: Mapping[str, Any]) -> Iterator[tuple[str, Any, tuple[Tier, ...], str]]:
    """Venue, model, tiers and evidence of everything sold; own models first, then borrowed."""
    for provider in by_id.values():
        own = (provider.pricing_urls or [""])[0]
        for model in provider.models:
            yield provider.id, model, tuple(Tier), own
        for lender in provider.fallback_model_providers or ():
            # The package prices these venues' other models as their makers do, standard only.
            for model in by_id[lender].models:
                if not any(each.is_match(model.id) for each in provider.models):
                    yield provider.id, model, (Tier.STANDARD,), f"list price of {lender}"


def _key(venue: str, name: str) -> OfferKey:
    model, region = name.lower(), GLOBAL
    prefix, dot, rest = model.partition(".")
    if dot and prefix in REGION_PREFIXES:
        region, model = prefix, rest
    return OfferKey(venue.lower(), model, region)


def _rows(
    model: Any, key: OfferKey, tiers: tuple[Tier, ...], evidence: str
) -> Iterator[CatalogueRow | Skipped]:
    variants = list(model.price_variants or ())
    known = [*_TIERS.values(), *_SAID_BY_TIER]
    for variant in variants:
        if variant.when not in known:
            named = ",".join(f"{name}={value}" for name, value in variant.when.items())
            yield Skipped(f"{key.venue}/{model.id}?{named}"[:NAME_CHARS_MAX], Skip.NO_TIER)
    for tier in tiers:
        context = _TIERS[tier]
        of_tier = [variant for variant in variants if variant.when == context]
        if context is not None and not of_tier:
            continue
        cards = merge_dates(_cards(model, key, context, of_tier))
        if not cards:
            if tier is Tier.STANDARD:
                yield Skipped(f"{key.venue}/{model.id}", _why_unpriced(model))
            continue
        yield CatalogueRow(
            name=model.id,
            key=replace(key, tier=tier),
            cards=cards,
            mode=_mode(key.model, cards),
            context_window=model.context_window,
            evidence=evidence,
        )


def _cards(
    model: Any, key: OfferKey, context: Mapping[str, str] | None, of_tier: list[Any]
) -> Iterator[DatedCard]:
    """Every card at every date and hour at which the package's answer can change."""
    conditions = (
        [] if hasattr(model.prices, "calc_price") else [p.constraint for p in model.prices]
    )
    conditions += [variant.constraint for variant in of_tier]
    starts = {c.start_date for c in conditions if hasattr(c, "start_date")}
    windows = {
        DayWindow(_utc(c.start_time), _utc(c.end_time))
        for c in conditions
        if hasattr(c, "start_time")
    }
    first = date(ALWAYS.year, ALWAYS.month, ALWAYS.day)
    for day in sorted({first, *starts}):
        midnight = datetime.combine(day, time(), UTC)
        if context is not None and not any(_is_active(v, midnight) for v in of_tier):
            continue
        outside = _outside(midnight, windows)
        places = [(None, outside)] if outside is not None else []
        places += [(w, datetime.combine(day, w.start, UTC)) for w in sorted(windows, key=str)]
        for window, at in places:
            card = _card(model.get_prices(at, context), key)
            if card is not None:
                yield DatedCard(midnight, card, window)


def _is_active(variant: Any, at: datetime) -> bool:
    return variant.constraint is None or bool(variant.constraint.active(at))


def _outside(midnight: datetime, windows: set[DayWindow]) -> datetime | None:
    """An instant of this day in none of the windows, if there is one."""
    for minute in range(0, 24 * 60, 15):
        at = midnight + timedelta(minutes=minute)
        if not any(window.contains(at) for window in windows):
            return at
    return None


def _utc(clock: time) -> time:
    if clock.tzinfo is None:
        return clock
    return datetime.combine(date(2000, 1, 2), clock).astimezone(UTC).time()


def _card(prices: Any, key: OfferKey) -> RateCard | None:
    meters: dict[str, tuple[Bracket, ...]] = {}
    for price_key, (meter, per) in _METERS.items():
        price = prices.__dict__.get(price_key)
        if price is None:
            continue
        tiers = getattr(price, "tiers", ())
        base = price.base if tiers else price
        brackets = {0: nanos_per_million(Decimal(base), per=per)}
        for tier in tiers:
            brackets[tier.start] = nanos_per_million(Decimal(tier.price), per=per)
        # What costs nothing beside prices is not billed apart or not known: it has no price.
        if all(brackets.values()) or meter in (TokenClass.INPUT, TokenClass.OUTPUT):
            meters[meter] = tuple(Bracket(above, brackets[above]) for above in sorted(brackets))
    if not any(meter in set(TokenClass) for meter in meters):
        return None
    if _IMAGE_ENDPOINT.match(key.model) and TokenClass.OUTPUT in meters:
        # These endpoints answer with images alone: their output price is the image price.
        meters.setdefault(TokenClass.IMAGE_OUTPUT, meters[TokenClass.OUTPUT])
    return RateCard("USD", meters, reasoning=reasoning_of(key.venue))


def _mode(model: str, cards: tuple[DatedCard, ...]) -> Mode:
    if _IMAGE_MODEL.search(model):
        return Mode.IMAGE
    meters = cards[-1].card.meters
    is_chat = TokenClass.INPUT in meters and TokenClass.OUTPUT in meters
    return Mode.CHAT if is_chat else Mode.OTHER


def _why_unpriced(model: Any) -> Skip:
    prices = model.prices if hasattr(model.prices, "calc_price") else model.prices[-1].prices
    said = [value for value in prices.__dict__.values() if value is not None]
    return Skip.NO_TOKEN_PRICE if said else Skip.NO_PRICE


def _aliases(model: Any, key: OfferKey) -> Iterator[str]:
    """Exact names the package's match rule states; of `maker.model-v1:0` the model too."""
    for name in (*_stated(model.match), model.id):
        alias = _key(key.venue, name).model
        yield alias
        maker, dot, rest = alias.partition(".")
        if dot and key.venue == "aws" and maker.isalpha():
            yield _VERSION_SUFFIX.sub("", rest)


def _stated(clause: Any) -> Iterator[str]:
    for part in getattr(clause, "or_", None) or [clause]:
        for name in ("equals", "starts_with", "ends_with", "contains"):
            if hasattr(part, name):
                yield str(getattr(part, name)).strip("-/")


def _draft(proposal: Proposal, actor: str) -> VersionDraft:
    return VersionDraft(
        change=PriceChange.CATALOGUE,
        actor=actor,
        evidence=f"{proposal.catalogue} {proposal.edition}",
        catalogue=proposal.catalogue,
        edition=proposal.edition,
        content_hash=proposal.sha256,
        rules=[
            RuleDraft(
                key=rule.key,
                source=PriceSource.LIST,
                source_name=proposal.catalogue,
                card=rule.dated.card,
                valid_from=rule.dated.valid_from,
                window=rule.dated.window,
                evidence=rule.evidence,
                context_window=rule.context_window,
            )
            for rule in proposal.rules
        ],
        aliases=proposal.aliases,
        summary={
            "absent": len(proposal.absent),
            "catalogue": {
                "edition": proposal.edition,
                "name": proposal.catalogue,
                "sha256": proposal.sha256,
            },
            "changes": len(proposal.changes),
            "disagreements": len(proposal.disagreements),
            "new_offers": len(proposal.new_offers),
            "quarantined": len(proposal.quarantined),
            "unchanged": proposal.unchanged,
        },
    )


def quarantine(proposal: Proposal, *, now: datetime) -> None:
    """Lists the rows that are not believed, each content once: for a person, never a price."""
    PriceQuarantine.objects.bulk_create(
        [
            PriceQuarantine(
                catalogue=proposal.catalogue,
                edition=proposal.edition,
                name=each.name,
                slug=each.key.slug,
                doubts=[doubt.value for doubt in each.doubts],
                cards=_quarantine_cards(each),
                remark=each.remark,
                content_hash=_hash_of(proposal.catalogue, each),
                seen_at=now,
            )
            for each in proposal.quarantined
        ],
        ignore_conflicts=True,
    )


def _quarantine_cards(row: Quarantined) -> list[dict[str, str]]:
    """Each dated card with the offer it is of, so that the row can be released as it was."""
    return [{**each, **key_record(row.key)} for each in card_records(row.cards)]


def _hash_of(catalogue: str, row: Quarantined) -> bytes:
    cards = [
        f"{dated.valid_from} {dated.window} {card_text(dated.card)}" for dated in row.cards
    ]
    said = "\n".join([catalogue, row.name, row.key.slug, *row.doubts, row.remark, *cards])
    return sha256(said.encode()).digest()
