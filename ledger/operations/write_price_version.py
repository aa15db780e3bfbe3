"""How does a version of the price book come to be? All it adds, in one transaction.

Every change of prices passes here: catalogues, contracts, overrides, withdrawals. The version's
`price_change` entry carries the hash of the book before and after, and who did it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db import connection

from ledger.core.entry import Entry, Kind
from ledger.core.fx import FxRate
from ledger.core.price_digest import (
    alias_line,
    digest_of,
    fx_line,
    rule_line,
    withdrawal_line,
)
from ledger.core.price_terms import DayWindow, OfferKey, PriceRule, PriceSource, RateCard
from ledger.models.fx import FxRateRow
from ledger.models.price import (
    PriceAlias,
    PriceOffer,
    PriceRate,
    PriceVersion,
    PriceWithdrawal,
)
from ledger.models.price import PriceRule as RuleRow
from ledger.operations.intern import Domain, intern
from ledger.operations.put_document import put_document
from ledger.queries.prices import price_book
from o10.access.plane_notice import tell_plane
from o10.kernel.errors import Rejected

SYSTEM = "system"
LOCK = 0x6F31_3070_7269_6365
"""Advisory lock ("o10price"): versions are written one after the other."""
ROWS_AT_ONCE = 2_000


class PriceChange(StrEnum):
    """What kind of change made a version?"""

    CATALOGUE = "catalogue"
    OVERRIDE = "override"
    CONTRACT = "contract"
    WITHDRAWAL = "withdrawal"
    RELEASE = "release"
    FX = "fx"


class ZeroWithoutPolicy(Rejected):
    """Is a price 0 without anybody's word that it is free? Fields: `offer`, `meter`."""

    code = "validation_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDraft:
    """Which rule shall be added?

    `free_meters` are those whose price of 0 is a decision ("free by policy").
    """

    key: OfferKey
    source: PriceSource
    source_name: str
    card: RateCard
    valid_from: datetime
    valid_to: datetime | None = None
    window: DayWindow | None = None
    evidence: str = ""
    approved_by: str = ""
    context_window: int | None = None
    free_meters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDraft:
    """What shall the next version add, who says so, on which evidence?

    Shape: `summary` stands in the document of the entry as it is; `ends` are rules that hold no
    longer from `ended_at` on, with the reason.
    """

    change: PriceChange
    actor: str
    evidence: str
    rules: Sequence[RuleDraft] = ()
    aliases: Sequence[tuple[str, str, str]] = ()
    ends: Sequence[tuple[OfferKey, PriceRule]] = ()
    fx: Sequence[FxRate] = ()
    ended_at: datetime | None = None
    catalogue: str = ""
    edition: str = ""
    content_hash: str = ""
    summary: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionWritten:
    """Which version was written, with which rules, and what are its entry and its hash?"""

    version: int
    digest: bytes
    rule_ids: tuple[int, ...]
    entry: Entry


def lock_price_book() -> None:
    """Does nobody else change prices until this transaction ends? Waits until so.

    Locks: one advisory lock; taken before anything else of a price change.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def write_price_version(
    draft: VersionDraft, *, uid: UUID, ledger_id: int, now: datetime
) -> VersionWritten:
    """Which version was written? To be called under the lock, inside the funnel's `run`.

    Raises: ZeroWithoutPolicy (`validation_failed`).
    """
    for each in draft.rules:
        check_zeros(each.key, each.card, each.free_meters)
    before = price_book().book
    version = before.version + 1
    made = [_rule(each, version) for each in draft.rules]
    lines = [rule_line(each.key, rule) for each, rule in zip(draft.rules, made, strict=True)]
    lines += [alias_line(*alias) for alias in draft.aliases]
    lines += [fx_line(rate) for rate in draft.fx]
    lines += [withdrawal_line(key, rule, draft.ended_at or now) for key, rule in draft.ends]
    digest = digest_of(before=before.digest, lines=lines)
    PriceVersion.objects.create(
        version=version,
        change=draft.change,
        catalogue=draft.catalogue,
        edition=draft.edition,
        content_hash=draft.content_hash,
        evidence=draft.evidence,
        actor=draft.actor,
        digest=digest,
        recorded_at=now,
    )
    rule_ids = _insert_rules(draft.rules, version)
    PriceAlias.objects.bulk_create(
        [
            PriceAlias(venue=venue, alias=alias, model=model, since_id=version)
            for venue, alias, model in draft.aliases
        ],
        batch_size=ROWS_AT_ONCE,
        ignore_conflicts=True,
    )
    PriceWithdrawal.objects.bulk_create(
        [
            PriceWithdrawal(
                rule_id=rule.rule_id,
                version_id=version,
                ended_at=draft.ended_at or now,
                reason=draft.evidence,
            )
            for _, rule in draft.ends
        ]
    )
    FxRateRow.objects.bulk_create(
        [
            FxRateRow(
                currency=rate.currency,
                rate=rate.rate,
                rate_date=rate.rate_date,
                source=rate.source,
                evidence=rate.evidence,
                actor=draft.actor,
                since_id=version,
                recorded_at=now,
            )
            for rate in draft.fx
        ],
        batch_size=ROWS_AT_ONCE,
    )
    tell_plane(what="prices")
    body = {
        "actor": draft.actor,
        "after": digest.hex(),
        "aliases": len(draft.aliases),
        "before": before.digest.hex(),
        "change": draft.change.value,
        "evidence": draft.evidence,
        "fx_rates": len(draft.fx),
        "rules": len(draft.rules),
        "version": version,
        "withdrawn": len(draft.ends),
        **draft.summary,
    }
    entry = Entry(
        ledger_id=ledger_id,
        kind=Kind.PRICE_CHANGE,
        uid=uid,
        effective_at=now,
        recorded_at=now,
        actor_id=_actor(draft.actor, ledger_id=ledger_id, now=now),
        price_version=version,
        doc=put_document(body, now=now),
    )
    return VersionWritten(version, digest, rule_ids, entry)


def check_zeros(key: OfferKey, card: RateCard, free_meters: frozenset[str]) -> None:
    """Is every price of 0 a decision ("free by policy")?

    Raises: ZeroWithoutPolicy (`validation_failed`).
    """
    for meter, brackets in card.meters.items():
        is_free = any(bracket.nanos_per_million == 0 for bracket in brackets)
        if is_free and meter not in free_meters:
            raise ZeroWithoutPolicy(offer=key.slug, meter=meter)


def _actor(actor: str, *, ledger_id: int, now: datetime) -> int:
    if actor == SYSTEM:
        return 0
    return intern(Domain.ACTOR, {"id": actor}, ledger_id=ledger_id, actor=0, now=now)


def _rule(draft: RuleDraft, version: int) -> PriceRule:
    return PriceRule(
        rule_id=0,
        source=draft.source,
        source_name=draft.source_name,
        version=version,
        valid_from=draft.valid_from,
        valid_to=draft.valid_to,
        window=draft.window,
        card=draft.card,
    )


def _insert_rules(rules: Sequence[RuleDraft], version: int) -> tuple[int, ...]:
    offers = _offer_ids(rules, version)
    rows = [
        RuleRow(
            offer_id=offers[each.key.slug],
            version_id=version,
            source=each.source,
            source_name=each.source_name,
            evidence=each.evidence,
            approved_by=each.approved_by,
            currency=each.card.currency,
            valid_from=each.valid_from,
            valid_to=each.valid_to,
            day_from=each.window.start if each.window else None,
            day_to=each.window.end if each.window else None,
            threshold=each.card.threshold,
            reasoning=each.card.reasoning,
        )
        for each in rules
    ]
    RuleRow.objects.bulk_create(rows, batch_size=ROWS_AT_ONCE)
    PriceRate.objects.bulk_create(
        [
            PriceRate(
                rule_id=row.id,
                meter=meter,
                above_tokens=bracket.above_tokens,
                nanos_per_million=bracket.nanos_per_million,
                is_free_by_policy=bracket.nanos_per_million == 0,
            )
            for row, each in zip(rows, rules, strict=True)
            for meter, brackets in each.card.meters.items()
            for bracket in brackets
        ],
        batch_size=ROWS_AT_ONCE,
    )
    return tuple(row.id for row in rows)


def _offer_ids(rules: Sequence[RuleDraft], version: int) -> dict[str, int]:
    wanted = {each.key.slug: each for each in rules}
    known = dict(PriceOffer.objects.filter(slug__in=list(wanted)).values_list("slug", "id"))
    fresh = [
        PriceOffer(
            venue=each.key.venue,
            model=each.key.model,
            region=each.key.region,
            tier=each.key.tier,
            slug=slug,
            context_window=each.context_window,
            since_id=version,
        )
        for slug, each in wanted.items()
        if slug not in known
    ]
    PriceOffer.objects.bulk_create(fresh, batch_size=ROWS_AT_ONCE)
    return known | {offer.slug: offer.id for offer in fresh}
