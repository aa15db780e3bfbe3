"""What did a currency cost that was booked at one rate and paid at another? A line of its own.

Entries priced in another currency stand at the rate of their date. When the bill is paid, the
same amount of that currency is worth something else: the difference is booked as `adjust`
entries of cause `fx`, one for each use case, envelope and offer, never inside a price.
For the approving transaction.
Source: product.md section 13; docs/algorithms/price-governance.md.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger.core.entry import Entry, Flag, Kind, pack_flags
from ledger.core.fx import convert, is_currency, rate_text
from ledger.core.price_effect import cost_at
from ledger.core.price_terms import OfferKey
from ledger.core.revaluation import posting_instant
from ledger.operations import append as rows
from ledger.operations.intern import Domain, intern
from ledger.operations.keep_exposure import Effect, keep_exposure
from ledger.operations.put_document import put_document
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.periods import closed_until
from ledger.queries.priced_usage import stream_priced_usage
from ledger.queries.prices import PriceState, price_book, price_book_at
from o10.kernel import ids
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import Nanos

REASON_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Group:
    """Whose difference is it? The attribution that its entry carries."""

    use_case_id: int
    envelope_id: int
    offer_id: int
    venue_id: int
    model_id: int


@dataclass(frozen=True, slots=True)
class FxDifference:
    """What was booked for a group, in both currencies, and what is it worth at the paid rate?

    Units: `stated` nanos of the other currency; `booked` and `paid` nanos of the ledger's.
    """

    stated: Nanos
    booked: Nanos
    paid: Nanos

    @property
    def delta(self) -> Nanos:
        """What is to be booked? Positive = a loss: it cost more than was booked."""
        return self.paid - self.booked


@dataclass(frozen=True, slots=True)
class FxSettled:
    """What was booked? `delta` nanos in `entries` entries; `known` were there before."""

    entries: int
    delta: Nanos
    known: int


def plan_fx_difference(
    *,
    currency: str,
    rate: str,
    start: datetime,
    end: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> Mapping[Group, FxDifference]:
    """What is the difference for what was booked in this currency in [start, end)?

    Raises: ValidationFailed (`validation_failed`).
    """
    paid_rate = _checked(currency, rate, start, end)
    offers = [
        key
        for key, offer in price_book().stated.offers.items()
        if any(rule.card.currency == currency for rule in offer.rules)
    ]
    books: dict[int, PriceState] = {}
    sums: dict[Group, list[Nanos]] = defaultdict(lambda: [0, 0])
    for entry in stream_priced_usage(offers=offers, start=start, end=end, ledger_id=ledger_id):
        if entry.use is None or not entry.price_version or entry.edge:
            continue
        state = books.get(entry.price_version)
        if state is None:
            state = price_book_at(version=entry.price_version)
            books[entry.price_version] = state
        if not _priced_in(state, entry.use.key, entry.at, currency):
            continue
        stated = cost_at(entry.use, book=state.stated, at=entry.at)
        booked = cost_at(entry.use, book=state.book, at=entry.at)
        if stated is None or booked is None:
            continue
        group = Group(
            entry.use_case_id, entry.envelope_id, entry.offer_id, entry.venue_id, entry.model_id
        )
        sums[group][0] += stated
        sums[group][1] += booked
    return {
        group: FxDifference(stated, booked, convert(stated, paid_rate))
        for group, (stated, booked) in sums.items()
    }


def settle_fx(
    *,
    currency: str,
    rate: str,
    paid_on: date,
    start: datetime,
    end: datetime,
    reason: str,
    requested_by: str,
    approved_by: str,
    now: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> FxSettled:
    """What was booked as gain (negative) or loss for this currency and span? Once for each.

    Raises: ValidationFailed (`validation_failed`); ExposureUnkept (`unavailable`).
    Locks: the keys in ascending order, then what the exposure keeper locks.
    """
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        message = f"Say which bill was paid, in at most {REASON_CHARS_MAX} characters."
        raise ValidationFailed(errors=[FieldError("/reason", "missing", message)])
    with transaction.atomic():
        found = plan_fx_difference(
            currency=currency, rate=rate, start=start, end=end, ledger_id=ledger_id
        )
        actor = intern(
            Domain.ACTOR, {"id": requested_by}, ledger_id=ledger_id, actor=0, now=now
        )
        place = f"{currency}/{start.isoformat()}/{end.isoformat()}"
        uids = {
            ids.uid(
                scope="fx",
                key=f"{place}/{each.use_case_id}/{each.envelope_id}/{each.offer_id}",
                origin_ms=0,
            ): each
            for each, difference in found.items()
            if difference.delta
        }
        hashes = {
            uid: sha256(f"{found[group]}{rate}".encode()).digest()
            for uid, group in uids.items()
        }
        ours, _ = rows.claim(ledger_id=ledger_id, hashes=hashes)
        at, prior = posting_instant(
            original_at=start, closed_until=closed_until(ledger_id=ledger_id), now=now
        )
        about = {
            "approved_by": approved_by,
            "cause": "fx",
            "currency": currency,
            "from": start.isoformat(),
            "paid_on": paid_on.isoformat(),
            "rate_paid": rate_text(rate),
            "reason": reason,
            "requested_by": requested_by,
            "to": end.isoformat(),
        }
        drafts = [
            _draft(uid, uids[uid], found[uids[uid]], about, actor, at, prior, now, ledger_id)
            for uid in uids
            if uid in ours
        ]
        versions = keep_exposure(
            [
                Effect(
                    envelope_id=draft.envelope_id,
                    effective_at=draft.effective_at,
                    amount_nanos=draft.amount_nanos,
                    unguarded_nanos=max(0, draft.amount_nanos),
                )
                for draft in drafts
            ]
        )
        rows.append(
            [
                replace(draft, env_version=version)
                for draft, version in zip(drafts, versions, strict=True)
            ],
            claimed=ours,
        )
    booked = sum(draft.amount_nanos for draft in drafts)
    return FxSettled(len(drafts), booked, len(uids) - len(drafts))


def _draft(
    uid: UUID,
    group: Group,
    difference: FxDifference,
    about: dict[str, str],
    actor_id: int,
    at: datetime,
    prior: int,
    now: datetime,
    ledger_id: int,
) -> Entry:
    marks = Flag.UNGUARDED if difference.delta > 0 else Flag(0)
    if prior:
        marks |= Flag.PRIOR_PERIOD
    document = {
        **about,
        "booked_nanos": str(difference.booked),
        "paid_nanos": str(difference.paid),
        "stated_nanos": str(difference.stated),
    }
    return Entry(
        ledger_id=ledger_id,
        kind=Kind.ADJUST,
        uid=uid,
        effective_at=at,
        recorded_at=now,
        envelope_id=group.envelope_id,
        use_case_id=group.use_case_id,
        offer_id=group.offer_id,
        venue_id=group.venue_id,
        model_id=group.model_id,
        actor_id=actor_id,
        amount_nanos=difference.delta,
        flags=pack_flags(marks=marks),
        doc=put_document(document, now=now),
    )


def _priced_in(state: PriceState, key: OfferKey, at: datetime, currency: str) -> bool:
    """Was this offer priced in that currency at this instant? By its strongest rule."""
    offer = state.stated.find_offer(key)
    holding = [rule for rule in (offer.rules if offer else ()) if rule.holds(at)]
    return bool(holding) and holding[0].card.currency == currency


def _checked(currency: str, rate: str, start: datetime, end: datetime) -> str:
    wrong = []
    if not is_currency(currency):
        message = "A currency is an ISO 4217 code such as EUR."
        wrong.append(FieldError("/currency", "malformed", message))
    if end <= start:
        wrong.append(FieldError("/to", "before_start", "The span ends after it starts."))
    if wrong:
        raise ValidationFailed(errors=wrong)
    return rate_text(rate)
