"""How does a newer catalogue become a proposal, and the proposal a version of the price book?

Proposing writes down what would change, per offer, with its effect on the last 30 days of real
usage; rows that are not believed, or moved by more than a quarter, are listed apart and belong
to nobody's proposal. Applying is for the approving transaction: it adds what was shown, with
dates from that instant on. A row of the quarantine is released alone, by a reason.
Source: product.md sections 8 and 13; docs/algorithms/price-governance.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from ledger.core.entry import Entry
from ledger.core.price_catalogue import Catalogue, CatalogueRow, Mode
from ledger.core.price_proposal import NewRule, Proposal, rules_of_row
from ledger.core.price_record import (
    card_records,
    cards_of,
    change_record,
    key_of,
    key_record,
    record_hash,
    row_of,
    row_record,
)
from ledger.core.price_terms import OfferKey, PriceSource
from ledger.models.price import PriceQuarantine
from ledger.models.price_proposal import PriceProposal, PriceProposalEnd, PriceRelease
from ledger.operations.confirm_prices import confirm_prices
from ledger.operations.funnel import write
from ledger.operations.load_prices import propose_prices, quarantine
from ledger.operations.write_price_version import (
    PriceChange,
    RuleDraft,
    VersionDraft,
    lock_price_book,
    write_price_version,
)
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.price_effect import effect_of_rules, effect_record
from ledger.queries.price_proposals import list_base
from ledger.queries.prices import price_book
from o10.kernel import ids
from o10.kernel.errors import Conflict, FieldError, NotFound, ValidationFailed

EFFECT_DAYS: Final = 30
REASON_CHARS_MAX: Final = 500


class ProposalVoid(Conflict):
    """Did this proposal end, or did list prices change since? Fields: `proposal`, `outcome`."""

    code = "conflict"


class NotReleasable(Conflict):
    """Is this row released already, or does it state no price? Fields: `row`, `reason`."""

    code = "conflict"


@dataclass(frozen=True, slots=True)
class ProposalMade:
    """Which proposal stands for this catalogue now? `id` empty = it would change nothing.

    `fresh` says that it was made now; the same catalogue against the same book is one proposal.
    `confirmed` says that the list prices were found to be what the catalogue says.
    """

    id: str
    fresh: bool
    proposal: Proposal
    confirmed: bool = False


def propose_refresh(*, catalogue: Catalogue, actor: str, now: datetime) -> ProposalMade:
    """Which proposal has this catalogue? Made once for each state of the list prices.

    An older open proposal of the same catalogue ends as superseded. Doubtful rows are listed in
    the quarantine at once; no price changes. A catalogue that says what the book says confirms
    its list prices.
    Locks: the price book.
    """
    with transaction.atomic():
        lock_price_book()
        proposal = propose_prices(catalogue=catalogue, now=now)
        quarantine(proposal, now=now)
        base, digest = list_base()
        known = PriceProposal.objects.filter(
            content_hash=proposal.sha256, base_version=base
        ).first()
        if known is not None:
            return ProposalMade(known.id, fresh=False, proposal=proposal)
        if proposal.is_empty:
            said = confirm_prices(proposal=proposal, base_version=base, actor=actor, now=now)
            return ProposalMade("", fresh=False, proposal=proposal, confirmed=said)
        body = _body(proposal, catalogue, now)
        for older in PriceProposal.objects.filter(catalogue=catalogue.name, end=None):
            PriceProposalEnd.objects.create(
                proposal=older, outcome="superseded", version=None, actor=actor, ended_at=now
            )
        made = PriceProposal.objects.create(
            id=ids.new_id("ppr"),
            catalogue=proposal.catalogue,
            edition=proposal.edition,
            content_hash=proposal.sha256,
            base_version=base,
            base_digest=digest,
            body=body,
            body_hash=record_hash(body),
            actor=actor,
            made_at=now,
        )
    return ProposalMade(made.id, fresh=True, proposal=proposal)


def apply_refresh(
    *,
    proposal: str,
    requested_by: str,
    approved_by: str,
    now: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> tuple[int, UUID | None]:
    """Which version holds what this proposal showed? Applied twice it is the same version.

    Prices that it gives for "now" hold from `now` on: what was booked since it was made keeps
    the price it had. The uid of the entry is None when it was applied before.
    Raises: NotFound (`not_found`); ProposalVoid (`conflict`).
    Locks: the price book.
    """
    with transaction.atomic():
        lock_price_book()
        row = PriceProposal.objects.filter(id=proposal).first()
        if row is None:
            raise NotFound(kind="price_proposal", id=proposal)
        end = PriceProposalEnd.objects.filter(proposal=row).first()
        if end is not None and end.version_id is not None:
            return int(end.version_id), None
        if end is not None or list_base()[0] != row.base_version:
            outcome = end.outcome if end else "superseded"
            raise ProposalVoid(proposal=proposal, outcome=outcome)
        draft = _refresh_draft(row, requested_by, approved_by, now)
        entries: list[Entry] = []

        def run(uid: UUID) -> list[Entry]:
            entries.append(
                write_price_version(draft, uid=uid, ledger_id=ledger_id, now=now).entry
            )
            return entries

        write(
            ledger_id=ledger_id,
            scope="price_refresh",
            key=proposal,
            request_hash=bytes(row.body_hash),
            run=run,
        )
        version = entries[0].price_version
        PriceProposalEnd.objects.create(
            proposal=row, outcome="applied", version_id=version, actor=approved_by, ended_at=now
        )
    return version, entries[0].uid


def apply_release(
    *,
    row_id: int,
    reason: str,
    requested_by: str,
    approved_by: str,
    now: datetime,
    free: bool = False,
    ledger_id: int = COMPANY_LEDGER,
) -> tuple[int, UUID | None]:
    """In which version is this doubted row a price? Released twice it is the same version.

    `free` says that its prices of 0 are meant ("free by policy"); without it a row with a 0
    stays where it is.
    Raises: NotFound; NotReleasable (`conflict`); ValidationFailed; ZeroWithoutPolicy
    (`validation_failed`).
    Locks: the price book.
    """
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        message = f"Say why this row is believed, in at most {REASON_CHARS_MAX} characters."
        raise ValidationFailed(errors=[FieldError("/reason", "missing", message)])
    with transaction.atomic():
        lock_price_book()
        row = PriceQuarantine.objects.filter(id=row_id).first()
        if row is None:
            raise NotFound(kind="quarantined_price", id=str(row_id))
        known = PriceRelease.objects.filter(quarantine=row).first()
        if known is not None:
            return int(known.version_id), None
        drafts = _released(row, requested_by, approved_by, reason, now, free=free)
        if not drafts:
            raise NotReleasable(row=row_id, reason="it states no price that does not hold")
        entries: list[Entry] = []

        def run(uid: UUID) -> list[Entry]:
            draft = VersionDraft(
                change=PriceChange.RELEASE,
                actor=requested_by,
                evidence=reason,
                catalogue=row.catalogue,
                edition=row.edition,
                rules=drafts,
                summary={
                    "approved_by": approved_by,
                    "doubts": list(row.doubts),
                    "quarantined": row.id,
                    "slug": row.slug,
                },
            )
            entries.append(
                write_price_version(draft, uid=uid, ledger_id=ledger_id, now=now).entry
            )
            return entries

        write(
            ledger_id=ledger_id,
            scope="price_release",
            key=str(row_id),
            request_hash=bytes(row.content_hash),
            run=run,
        )
        version = entries[0].price_version
        PriceRelease.objects.create(
            quarantine=row,
            version_id=version,
            reason=reason,
            requested_by=requested_by,
            approved_by=approved_by,
            released_at=now,
        )
    return version, entries[0].uid


def rules_of_quarantined(row: PriceQuarantine, *, now: datetime) -> tuple[NewRule, ...]:
    """Which rules would this row add now? None for a row that states nothing readable."""
    found = _row_of(row)
    if found is None:
        return ()
    return rules_of_row(book=price_book().stated, row=found, now=now)


def _row_of(row: PriceQuarantine) -> CatalogueRow | None:
    records: list[Any] = [each for each in row.cards if isinstance(each, dict)]
    if not records or len(records) != len(row.cards):
        return None
    return CatalogueRow(
        name=row.name,
        key=key_of(records[0]),
        cards=tuple(cards_of(records)),
        mode=Mode.OTHER,
        evidence=f"{row.catalogue} {row.edition}",
    )


def _released(
    row: PriceQuarantine,
    requested_by: str,
    approved_by: str,
    reason: str,
    now: datetime,
    *,
    free: bool,
) -> list[RuleDraft]:
    return [
        _rule_draft(rule, row.catalogue, approved_by, free=free, evidence=reason)
        for rule in rules_of_quarantined(row, now=now)
    ]


def _rule_draft(
    rule: NewRule, catalogue: str, approved_by: str, *, free: bool = False, evidence: str = ""
) -> RuleDraft:
    zeros = frozenset(
        meter
        for meter, brackets in rule.dated.card.meters.items()
        if free and any(each.nanos_per_million == 0 for each in brackets)
    )
    return RuleDraft(
        key=rule.key,
        source=PriceSource.LIST,
        source_name=catalogue,
        card=rule.dated.card,
        valid_from=rule.dated.valid_from,
        window=rule.dated.window,
        evidence=evidence or rule.evidence,
        approved_by=approved_by,
        context_window=rule.context_window,
        free_meters=zeros,
    )


def _refresh_draft(
    row: PriceProposal, requested_by: str, approved_by: str, now: datetime
) -> VersionDraft:
    book = price_book().stated
    body: Mapping[str, Any] = row.body
    rules = [
        _rule_draft(rule, row.catalogue, approved_by)
        for record in body["rows"]
        for rule in rules_of_row(book=book, row=row_of(record), now=now)
    ]
    return VersionDraft(
        change=PriceChange.CATALOGUE,
        actor=requested_by,
        evidence=f"{row.catalogue} {row.edition}",
        catalogue=row.catalogue,
        edition=row.edition,
        content_hash=row.content_hash,
        rules=rules,
        aliases=[tuple(each) for each in body["aliases"]],
        summary={
            "approved_by": approved_by,
            "catalogue": {
                "edition": row.edition,
                "name": row.catalogue,
                "sha256": row.content_hash,
            },
            "changes": len(body["changes"]),
            "disagreements": len(body["disagreements"]),
            "new_offers": len(body["new_offers"]),
            "proposal": row.id,
            "proposal_hash": bytes(row.body_hash).hex(),
            "quarantined": len(body["apart"]),
        },
    )


def _body(proposal: Proposal, catalogue: Catalogue, now: datetime) -> dict[str, Any]:
    taken = {rule.key for rule in proposal.rules}
    new = set(proposal.new_offers)
    rules: dict[OfferKey, list[NewRule]] = {}
    for rule in proposal.rules:
        if rule.key not in new:
            rules.setdefault(rule.key, []).append(rule)
    effect = effect_of_rules(
        rules={key: [each.dated for each in found] for key, found in rules.items()},
        source=PriceSource.LIST,
        start=now - timedelta(days=EFFECT_DAYS),
        end=now,
        now=now,
    )
    return {
        "rows": [row_record(row) for row in catalogue.rows if row.key in taken],
        "changes": [change_record(each) for each in proposal.changes],
        "new_offers": [key.slug for key in proposal.new_offers],
        "apart": [
            {
                **key_record(each.key),
                "name": each.name,
                "doubts": [doubt.value for doubt in each.doubts],
                "remark": each.remark,
                "moves": [change_record(move) for move in each.moves],
                "cards": card_records(each.cards),
            }
            for each in proposal.quarantined
        ],
        "disagreements": [change_record(each) for each in proposal.disagreements],
        "absent": [key.slug for key in proposal.absent],
        "aliases": [list(alias) for alias in proposal.aliases],
        "unchanged": proposal.unchanged,
        "skipped": len(proposal.skipped),
        "effect": effect_record(effect, days=EFFECT_DAYS),
    }
