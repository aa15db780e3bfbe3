"""Which own prices hold: contracts and overrides with validity, and their end?

A contract is what was agreed with a venue; an override is finance's word above it. Both name
their evidence and hold from one instant to another; neither touches an entry that is booked. A
price of 0 needs its meters named as free: "free by policy".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from django.db import transaction

from ledger.core.document import canonical_json
from ledger.core.entry import Entry
from ledger.core.fx import latest
from ledger.core.offer_names import NAME_CHARS_MAX
from ledger.core.price_digest import card_text
from ledger.core.price_terms import (
    MAX_NANOS_PER_MILLION,
    Bracket,
    OfferKey,
    PriceRule,
    PriceSource,
    RateCard,
    Threshold,
)
from ledger.operations.funnel import write
from ledger.operations.write_price_version import (
    PriceChange,
    RuleDraft,
    VersionDraft,
    check_zeros,
    lock_price_book,
    write_price_version,
)
from ledger.queries.ledgers import COMPANY_LEDGER, ledger_of_company
from ledger.queries.prices import price_book
from o10.kernel.errors import FieldError, NotFound, UnitMismatch, ValidationFailed
from o10.kernel.usage import Nesting, TokenClass

EVIDENCE_CHARS_MAX = 500
BRACKETS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """Which price was agreed or decided?

    Shape: `meters` maps a token class (or `tool:<name>`) to its brackets; meters left out keep
    the price below (contract, then list). `free_meters` are 0 on purpose.
    Units: nanos of `currency` per million; `valid_from` <= instant < `valid_to`, None = open.
    """

    offer: OfferKey
    source: PriceSource
    meters: Mapping[str, Sequence[Bracket]]
    valid_from: datetime
    evidence: str
    valid_to: datetime | None = None
    currency: str = "USD"
    threshold: Threshold = Threshold.WHOLE_CALL
    reasoning: Nesting = Nesting.INSIDE
    free_meters: frozenset[str] = frozenset()
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class PriceAdded:
    """Under which version and rule does the price stand? `replayed`: it did before."""

    version: int
    rule_id: int


def add_price(
    *,
    price: OwnPrice,
    actor: str,
    now: datetime,
    key: str = "",
    ledger_id: int = COMPANY_LEDGER,
) -> PriceAdded:
    """Under which version and rule does this price hold from now on?

    `key` is the caller's idempotency key; without one, the price itself is the key, so that the
    same price sent twice is one rule. A past `valid_from` prices what comes late for that time;
    what is booked stays as booked.
    Raises: ValidationFailed (`validation_failed`) naming each wrong field; ZeroWithoutPolicy;
    UnitMismatch (`unit_mismatch`) for another currency than the ledger's; IdempotencyMismatch.
    Locks: the price book.
    """
    card = _checked(price)
    _check_currency(price)
    request = _request(price, card)
    request_hash = sha256(canonical_json(request)).digest()
    draft = VersionDraft(
        change=PriceChange(price.source.value),
        actor=actor,
        evidence=price.evidence,
        rules=[
            RuleDraft(
                key=price.offer,
                source=price.source,
                source_name=price.source.value,
                card=card,
                valid_from=price.valid_from,
                valid_to=price.valid_to,
                evidence=price.evidence,
                approved_by=price.approved_by,
                free_meters=price.free_meters,
            )
        ],
        summary={"approved_by": price.approved_by, "price": request},
    )
    made: list[PriceAdded] = []

    def run(uid: UUID) -> list[Entry]:
        lock_price_book()
        done = write_price_version(draft, uid=uid, ledger_id=ledger_id, now=now)
        made.append(PriceAdded(done.version, done.rule_ids[0]))
        return [done.entry]

    written = write(
        ledger_id=ledger_id,
        scope="price",
        key=key or request_hash.hex(),
        request_hash=request_hash,
        run=run,
    )
    if made:
        return made[0]
    entry = written.replayed.entry if written.replayed else None
    version = entry.entry.price_version if entry else price_book().version
    return PriceAdded(version, _rule_of(version, price.offer).rule_id)


def check_price(*, price: OwnPrice) -> None:
    """Could this price be added? For who asks a second person first.

    Raises: as `add_price`, but for the key.
    """
    check_zeros(price.offer, _checked(price), price.free_meters)
    _check_currency(price)


def withdraw_price(
    *,
    rule_id: int,
    ended_at: datetime,
    reason: str,
    actor: str,
    now: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> int:
    """In which version does an own price end? From `ended_at` (not before `now`) it holds not.

    Raises: NotFound (`not_found`) for a rule that is no contract or override in force;
    ValidationFailed (`validation_failed`).
    Locks: the price book.
    """
    wrong = _texts({"reason": reason})
    if ended_at < now:
        wrong.append(FieldError("/ended_at", "in_the_past", "A price ends now or later."))
    if wrong:
        raise ValidationFailed(errors=wrong)
    versions: list[int] = []

    def run(uid: UUID) -> list[Entry]:
        lock_price_book()
        offer, rule = _own_rule(rule_id)
        draft = VersionDraft(
            change=PriceChange.WITHDRAWAL,
            actor=actor,
            evidence=reason,
            ends=[(offer, rule)],
            ended_at=ended_at,
            summary={"rule": rule_id, "offer": offer.slug},
        )
        done = write_price_version(draft, uid=uid, ledger_id=ledger_id, now=now)
        versions.append(done.version)
        return [done.entry]

    with transaction.atomic():
        written = write(
            ledger_id=ledger_id,
            scope="price_end",
            key=str(rule_id),
            request_hash=sha256(f"{rule_id} {ended_at.isoformat()} {reason}".encode()).digest(),
            run=run,
        )
    if versions:
        return versions[0]
    entry = written.replayed.entry if written.replayed else None
    return entry.entry.price_version if entry else price_book().version


def _check_currency(price: OwnPrice) -> None:
    """Another currency than the ledger's needs a rate that holds when the price begins."""
    currency = ledger_of_company().currency
    if price.currency == currency:
        return
    known = price_book().fx.get(price.currency, ())
    if latest(known, on=price.valid_from.astimezone(UTC).date()) is None:
        raise UnitMismatch(expected=currency, got=price.currency)


def _own_rule(rule_id: int) -> tuple[OfferKey, PriceRule]:
    for key, offer in price_book().stated.offers.items():
        for rule in offer.rules:
            if rule.rule_id == rule_id and rule.source is not PriceSource.LIST:
                return key, rule
    raise NotFound(kind="own_price", id=str(rule_id))


def _rule_of(version: int, key: OfferKey) -> PriceRule:
    for rule in price_book().stated.offers[key].rules:
        if rule.version == version:
            return rule
    raise NotFound(kind="own_price", id=key.slug)


def _request(price: OwnPrice, card: RateCard) -> dict[str, object]:
    return {
        "card": card_text(card),
        "evidence": price.evidence,
        "free": sorted(price.free_meters),
        "offer": price.offer.slug,
        "source": price.source.value,
        "valid_from": price.valid_from.isoformat(),
        "valid_to": price.valid_to.isoformat() if price.valid_to else None,
    }


def _checked(price: OwnPrice) -> RateCard:
    wrong = _texts({"evidence": price.evidence})
    if price.source is PriceSource.LIST:
        wrong.append(FieldError("/source", "not_own", "A list price comes from a catalogue."))
    if price.valid_to is not None and price.valid_to <= price.valid_from:
        wrong.append(FieldError("/valid_to", "before_start", "A price ends after it starts."))
    for part in (price.offer.venue, price.offer.model, price.offer.region):
        if not part or len(part) > NAME_CHARS_MAX or part != part.lower():
            wrong.append(FieldError("/offer", "malformed", "Names are lower case, not empty."))
    if not price.meters:
        wrong.append(FieldError("/meters", "empty", "A price names at least one meter."))
    for meter, brackets in price.meters.items():
        if meter not in set(TokenClass) and not meter.startswith("tool:"):
            wrong.append(FieldError(f"/meters/{meter}", "unknown", "No such meter."))
        elif not _is_ladder(brackets):
            message = "Brackets start above 0, ascend, and have prices from 0 on."
            wrong.append(FieldError(f"/meters/{meter}", "malformed", message))
    if wrong:
        raise ValidationFailed(errors=wrong)
    meters = {meter: tuple(brackets) for meter, brackets in price.meters.items()}
    return RateCard(price.currency, meters, price.threshold, price.reasoning)


def _is_ladder(brackets: Sequence[Bracket]) -> bool:
    starts = [bracket.above_tokens for bracket in brackets]
    prices = [bracket.nanos_per_million for bracket in brackets]
    return (
        0 < len(starts) <= BRACKETS_MAX
        and starts[0] == 0
        and starts == sorted(set(starts))
        and all(0 <= price <= MAX_NANOS_PER_MILLION for price in prices)
    )


def _texts(texts: Mapping[str, str]) -> list[FieldError]:
    return [
        FieldError(f"/{name}", "missing", f"Say the {name}, in at most 500 characters.")
        for name, text in texts.items()
        if not text.strip() or len(text) > EVIDENCE_CHARS_MAX
    ]
