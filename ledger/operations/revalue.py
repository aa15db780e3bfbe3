"""How does a corrected past price reach what is booked? A difference for each original.

For the approving transaction. Every entry of the offers in the span is priced by its own price
version and by today's; the difference is a `revaluation` entry of the same attribution, in the
original's period while that is open, else now. The key is (original, price version): run again,
also after a crash, it posts nothing twice.
Source: product.md section 13; docs/algorithms/revaluation.md.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger.core.document import canonical_json
from ledger.core.entry import Entry, Flag, Kind, pack_flags
from ledger.core.price_effect import UsedOffer, cost_at
from ledger.core.price_terms import OfferKey
from ledger.core.pricing import PriceBook
from ledger.core.revaluation import Difference, Standing, difference_of, posting_instant
from ledger.models.revaluation import Revaluation
from ledger.operations import append as rows
from ledger.operations.intern import Domain, intern
from ledger.operations.keep_exposure import Effect, keep_exposure
from ledger.operations.put_document import put_document
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.periods import closed_until
from ledger.queries.priced_usage import PricedEntry, stream_priced_usage
from ledger.queries.prices import price_book, price_book_at
from o10.kernel import ids
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import Nanos

ENTRIES_AT_ONCE: Final = 2_000
OFFERS_MOST: Final = 200
REASON_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RevaluationPlan:
    """What would be posted? Units: nanos; counts of entries.

    `by_offer` and `by_use_case` are sums of differences; `left` counts, by reason, entries
    that stay as they are. `price_version` is the state they are priced by.
    """

    price_version: int
    entries: int
    delta: Nanos
    booked: Nanos
    by_offer: Mapping[str, Nanos]
    by_use_case: Mapping[int, Nanos]
    left: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Revalued:
    """What was posted? `delta` nanos in `entries` entries; `known` were posted before."""

    run: str
    price_version: int
    entries: int
    delta: Nanos
    known: int


def plan_revaluation(
    *,
    offers: Sequence[OfferKey],
    start: datetime,
    end: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> RevaluationPlan:
    """What would a revaluation of these offers in [start, end) post? Writes nothing.

    Raises: ValidationFailed (`validation_failed`) for an empty span or too many offers.
    """
    _check(offers, start, end)
    by_offer: dict[str, Nanos] = defaultdict(int)
    by_use_case: dict[int, Nanos] = defaultdict(int)
    left: dict[str, int] = defaultdict(int)
    entries = delta = booked = 0
    for entry, difference in _differences(offers, start, end, ledger_id):
        if not difference.delta:
            left[difference.why.value] += 1
            continue
        entries += 1
        delta += difference.delta
        booked += difference.before
        by_offer[entry.use.key.slug if entry.use else ""] += difference.delta
        by_use_case[entry.use_case_id] += difference.delta
    return RevaluationPlan(
        price_version=price_book().version,
        entries=entries,
        delta=delta,
        booked=booked,
        by_offer=dict(sorted(by_offer.items())),
        by_use_case=dict(sorted(by_use_case.items())),
        left=dict(sorted(left.items())),
    )


def revalue(
    *,
    offers: Sequence[OfferKey],
    start: datetime,
    end: datetime,
    reason: str,
    requested_by: str,
    approved_by: str,
    now: datetime,
    ledger_id: int = COMPANY_LEDGER,
) -> Revalued:
    """What was posted for these offers in [start, end)? All of it, or nothing.

    Raises: ValidationFailed (`validation_failed`); ExposureUnkept (`unavailable`).
    Locks: the keys in ascending order, then what the exposure keeper locks.
    """
    _check(offers, start, end)
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        message = f"Say why the past is priced anew, in at most {REASON_CHARS_MAX} characters."
        raise ValidationFailed(errors=[FieldError("/reason", "missing", message)])
    version = price_book().version
    said = {
        "approved_by": approved_by,
        "from": start.isoformat(),
        "offers": sorted(key.slug for key in offers),
        "price_version": version,
        "reason": reason,
        "requested_by": requested_by,
        "to": end.isoformat(),
    }
    run = sha256(canonical_json(said)).hexdigest()[:16]
    posted = known = 0
    delta = 0
    with transaction.atomic():
        actor = intern(
            Domain.ACTOR, {"id": requested_by}, ledger_id=ledger_id, actor=0, now=now
        )
        document = put_document({"revaluation": said}, now=now)
        posting = _Posting(
            run, version, actor, document, closed_until(ledger_id=ledger_id), now
        )
        found = (each for each in _differences(offers, start, end, ledger_id) if each[1].delta)
        while batch := list(islice(found, ENTRIES_AT_ONCE)):
            fresh = _post(batch, posting, ledger_id)
            posted += len(fresh)
            known += len(batch) - len(fresh)
            delta += sum(fresh)
    return Revalued(run, version, posted, delta, known)


@dataclass(frozen=True, slots=True)
class _Posting:
    run: str
    version: int
    actor_id: int
    document: bytes
    closed_until: datetime | None
    now: datetime


def _post(
    batch: Sequence[tuple[PricedEntry, Difference]], posting: _Posting, ledger_id: int
) -> list[Nanos]:
    uids = {
        ids.uid(scope="revaluation", key=f"{entry.uid}@{posting.version}", origin_ms=0): each
        for each in batch
        for entry in each[:1]
    }
    hashes = {
        uid: sha256(f"{entry.uid} {difference.after}".encode()).digest()
        for uid, (entry, difference) in uids.items()
    }
    ours, _ = rows.claim(ledger_id=ledger_id, hashes=hashes)
    drafts = [_draft(uid, *uids[uid], posting, ledger_id) for uid in uids if uid in ours]
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
    Revaluation.objects.bulk_create(
        [
            Revaluation(
                entry_uid=uid,
                original_uid=entry.uid,
                original_at=entry.at,
                run=posting.run,
                price_version=posting.version,
                before_nanos=difference.before,
                after_nanos=difference.after,
                delta_nanos=difference.delta,
                recorded_at=posting.now,
            )
            for uid, (entry, difference) in uids.items()
            if uid in ours
        ]
    )
    return [draft.amount_nanos for draft in drafts]


def _draft(
    uid: UUID, entry: PricedEntry, difference: Difference, posting: _Posting, ledger_id: int
) -> Entry:
    at, prior = posting_instant(
        original_at=entry.at, closed_until=posting.closed_until, now=posting.now
    )
    marks = Flag.UNGUARDED if difference.delta > 0 else Flag(0)
    if prior:
        marks |= Flag.PRIOR_PERIOD
    return Entry(
        ledger_id=ledger_id,
        kind=Kind.REVALUATION,
        uid=uid,
        effective_at=at,
        recorded_at=posting.now,
        envelope_id=entry.envelope_id,
        use_case_id=entry.use_case_id,
        dims_id=entry.dims_id,
        offer_id=entry.offer_id,
        venue_id=entry.venue_id,
        model_id=entry.model_id,
        actor_id=posting.actor_id,
        amount_nanos=difference.delta,
        price_version=posting.version,
        flags=pack_flags(marks=marks),
        doc=posting.document,
        ref=ids.id_of("ent", entry.uid),
    )


def _differences(
    offers: Sequence[OfferKey], start: datetime, end: datetime, ledger_id: int
) -> Iterator[tuple[PricedEntry, Difference]]:
    book = price_book().book
    books: dict[int, PriceBook] = {}
    found = stream_priced_usage(offers=offers, start=start, end=end, ledger_id=ledger_id)
    while batch := list(islice(found, ENTRIES_AT_ONCE)):
        posted = _posted([each.uid for each in batch])
        for entry in batch:
            own = books.get(entry.price_version)
            if own is None and entry.price_version:
                own = price_book_at(version=entry.price_version).book
                books[entry.price_version] = own
            yield entry, difference_of(_standing(entry, posted.get(entry.uid, 0), own, book))


def _standing(
    entry: PricedEntry, posted: Nanos, own: PriceBook | None, book: PriceBook
) -> Standing:
    use: UsedOffer | None = entry.use
    tokens = entry.usage.total_input + entry.usage.total_output
    return Standing(
        booked=entry.booked,
        posted=posted,
        old=cost_at(use, book=own, at=use.at) if use is not None and own is not None else None,
        new=cost_at(use, book=book, at=use.at) if use is not None else None,
        has_quantity=tokens > 0 and not entry.edge,
        estimated=entry.estimated and not entry.price_version,
    )


def _posted(uids: Sequence[UUID]) -> dict[UUID, Nanos]:
    sums: dict[UUID, Nanos] = defaultdict(int)
    done = Revaluation.objects.filter(original_uid__in=uids)
    for original, delta in done.values_list("original_uid", "delta_nanos"):
        sums[original] += delta
    return sums


def _check(offers: Sequence[OfferKey], start: datetime, end: datetime) -> None:
    wrong = []
    if not 0 < len(offers) <= OFFERS_MOST:
        wrong.append(FieldError("/offers", "length", f"Name 1 to {OFFERS_MOST} offers."))
    if end <= start:
        wrong.append(FieldError("/to", "before_start", "The span ends after it starts."))
    if wrong:
        raise ValidationFailed(errors=wrong)
