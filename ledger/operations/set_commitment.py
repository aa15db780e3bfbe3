"""Which committed capacity was agreed, and how does the price book learn that it is paid?

A commitment is a contract: with it comes the price 0 of its offer, free by policy because it is
paid by the hour. A change of terms is a new version from its own start on; nothing is edited.
For the approving transaction. Source: product.md section 13; docs/algorithms/commitments.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger.core.document import canonical_json
from ledger.core.entry import Entry, Kind
from ledger.core.fx import latest
from ledger.core.offer_names import NAME_CHARS_MAX
from ledger.core.price_terms import GLOBAL, Bracket, OfferKey, PriceSource
from ledger.models.commitment import CommitmentRow
from ledger.operations.funnel import write
from ledger.operations.intern import Domain, intern
from ledger.operations.override_price import OwnPrice, add_price
from ledger.operations.put_document import put_document
from ledger.operations.write_price_version import lock_price_book
from ledger.queries.commitment_terms import CommitmentTerms, terms_of
from ledger.queries.ledgers import COMPANY_LEDGER, ledger_of_company
from ledger.queries.prices import price_book
from o10.kernel import ids
from o10.kernel.errors import FieldError, NotFound, UnitMismatch, ValidationFailed
from o10.kernel.money import MAX_NANOS, Nanos
from o10.kernel.usage import TokenClass

TEXT_CHARS_MAX: Final = 200
COUNT_MAX: Final = 10**15
HOURS_MAX: Final = 24 * 366 * 10
UNITS_MAX: Final = 10**6
_WORDS: Final = {
    "owner_kind": ("use_case", "department", "company"),
    "beyond": ("on_demand", "refused"),
}
_FREE: Final = (
    TokenClass.INPUT,
    TokenClass.CACHE_READ,
    TokenClass.CACHE_WRITE_5M,
    TokenClass.CACHE_WRITE_1H,
    TokenClass.OUTPUT,
    TokenClass.REASONING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentDraft:
    """What was agreed?

    Units: `hourly_rate_nanos` nanos of `currency` for one unit and hour; `unit_tokens` tokens
    of all classes one unit serves in an hour; [start_at, end_at) UTC. `beyond` is what happens
    to calls above the capacity of an hour: `on_demand` or `refused`.
    """

    name: str
    venue: str
    model: str
    units: int
    hourly_rate_nanos: Nanos
    unit_tokens: int
    start_at: datetime
    end_at: datetime
    notice_date: date
    owner_kind: str
    owner_slug: str
    evidence: str
    currency: str = "USD"
    region: str = GLOBAL
    term: str = ""
    beyond: str = "on_demand"


def set_commitment(
    *,
    draft: CommitmentDraft,
    requested_by: str,
    approved_by: str,
    now: datetime,
    public: str = "",
    key: str = "",
    ledger_id: int = COMPANY_LEDGER,
) -> CommitmentTerms:
    """Which terms hold? A new commitment, or a new version of `public`.

    Raises: ValidationFailed (`validation_failed`) naming each wrong field; UnitMismatch for a
    currency without a rate at its start; NotFound; IdempotencyMismatch.
    Locks: the price book.
    """
    _check(draft)
    asked = {**_said(draft), "public": public}
    request_hash = sha256(canonical_json(asked)).digest()
    made: list[CommitmentRow] = []
    with transaction.atomic():
        lock_price_book()
        own_key = key or request_hash.hex()

        def run(uid: UUID) -> list[Entry]:
            row = _row(draft, public, requested_by, approved_by, now)
            made.append(row)
            body = {
                "approved_by": approved_by,
                "change": "commitment",
                "commitment": {**_said(draft), "id": row.public, "version": row.version},
                "requested_by": requested_by,
            }
            return [
                Entry(
                    ledger_id=ledger_id,
                    kind=Kind.PRICE_CHANGE,
                    uid=uid,
                    effective_at=now,
                    recorded_at=now,
                    actor_id=intern(
                        Domain.ACTOR,
                        {"id": requested_by},
                        ledger_id=ledger_id,
                        actor=0,
                        now=now,
                    ),
                    doc=put_document(body, now=now),
                    ref=row.public,
                )
            ]

        written = write(
            ledger_id=ledger_id,
            scope="commitment",
            key=own_key,
            request_hash=request_hash,
            run=run,
        )
        if not made:
            known = written.replayed.entry if written.replayed else None
            return terms_of(public=known.entry.ref if known else public)
        row = made[0]
        add_price(
            price=_price(row, ledger_of_company().currency),
            actor=requested_by,
            now=now,
            key=f"{row.public}/{row.version}",
            ledger_id=ledger_id,
        )
    return terms_of(public=row.public)


def check_commitment(*, draft: CommitmentDraft, public: str = "") -> None:
    """Could these terms be set? For who asks a second person first.

    Raises: as `set_commitment`, but for the key.
    """
    _check(draft)
    if public:
        terms_of(public=public)


def _row(
    draft: CommitmentDraft, public: str, requested_by: str, approved_by: str, now: datetime
) -> CommitmentRow:
    version = 1
    if public:
        versions = CommitmentRow.objects.filter(public=public).values_list("version", flat=True)
        if not versions:
            raise NotFound(kind="commitment", id=public)
        version = max(versions) + 1
    return CommitmentRow.objects.create(
        public=public or ids.new_id("cmt"),
        version=version,
        requested_by=requested_by,
        approved_by=approved_by,
        recorded_at=now,
        **asdict(draft),
    )


def _price(row: CommitmentRow, currency: str) -> OwnPrice:
    """What a call on it costs at the margin: nothing, since the hour is paid."""
    return OwnPrice(
        offer=OfferKey(row.venue, row.model, row.region),
        source=PriceSource.CONTRACT,
        meters={meter: [Bracket(0, 0)] for meter in _FREE},
        valid_from=row.start_at,
        valid_to=row.end_at,
        currency=currency,
        evidence=f"{row.public} version {row.version}: {row.evidence}"[:500],
        free_meters=frozenset(str(meter) for meter in _FREE),
        approved_by=row.approved_by,
    )


def _said(draft: CommitmentDraft) -> Mapping[str, object]:
    return {
        name: value.isoformat() if isinstance(value, (datetime, date)) else str(value)
        for name, value in asdict(draft).items()
    }


def _check(draft: CommitmentDraft) -> None:
    wrong = [*_wrong_texts(draft), *_wrong_counts(draft), *_wrong_dates(draft)]
    for field, known in _WORDS.items():
        if getattr(draft, field) not in known:
            message = f"One of {', '.join(known)}."
            wrong.append(FieldError(f"/{field}", "unknown", message))
    if wrong:
        raise ValidationFailed(errors=wrong)
    ours = ledger_of_company().currency
    if draft.currency != ours:
        known_rates = price_book().fx.get(draft.currency, ())
        if latest(known_rates, on=draft.start_at.astimezone(UTC).date()) is None:
            raise UnitMismatch(expected=ours, got=draft.currency)


def _wrong_texts(draft: CommitmentDraft) -> Iterator[FieldError]:
    for field in ("name", "evidence", "owner_slug"):
        text = getattr(draft, field)
        if not text.strip() or len(text) > TEXT_CHARS_MAX:
            message = f"Say it in at most {TEXT_CHARS_MAX} characters."
            yield FieldError(f"/{field}", "missing", message)
    if len(draft.term) > TEXT_CHARS_MAX:
        yield FieldError("/term", "length", f"At most {TEXT_CHARS_MAX} characters.")
    for field in ("venue", "model", "region"):
        text = getattr(draft, field)
        if not text or len(text) > NAME_CHARS_MAX or text != text.lower():
            yield FieldError(f"/{field}", "malformed", "Names are lower case, not empty.")


def _wrong_counts(draft: CommitmentDraft) -> Iterator[FieldError]:
    for field, most in (("units", UNITS_MAX), ("unit_tokens", COUNT_MAX)):
        if not 0 < getattr(draft, field) <= most:
            message = f"A whole number from 1 to {most:,}."
            yield FieldError(f"/{field}", "out_of_range", message)
    most = MAX_NANOS // (HOURS_MAX * max(1, draft.units))
    if not 0 <= draft.hourly_rate_nanos <= most:
        message = "Nothing or more, and all units for ten years within 64 bits of nanos."
        yield FieldError("/hourly_rate", "out_of_range", message)


def _wrong_dates(draft: CommitmentDraft) -> Iterator[FieldError]:
    if draft.end_at <= draft.start_at:
        yield FieldError("/end", "before_start", "A commitment ends after it starts.")
    elif (draft.end_at - draft.start_at).total_seconds() > HOURS_MAX * 3600:
        yield FieldError("/end", "out_of_range", "At most ten years.")
    if draft.notice_date > draft.end_at.date():
        yield FieldError("/notice_date", "after_end", "Notice is given before the end.")
