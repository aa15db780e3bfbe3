"""How does a dated rate of another currency come into the books? As a new price version.

Rates are facts from a named source. They are only added: a later word for the same date takes
the place of the earlier one for calls from then on, and no booked entry changes. Each version's
`price_change` entry carries their hash.
Source: product.md section 13; pains.md P16; docs/algorithms/price-governance.md.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from ledger.core.document import canonical_json
from ledger.core.entry import Entry
from ledger.core.fx import FxRate, is_currency, rate_text
from ledger.operations.funnel import write
from ledger.operations.write_price_version import (
    PriceChange,
    VersionDraft,
    lock_price_book,
    write_price_version,
)
from ledger.queries.ledgers import COMPANY_LEDGER, ledger_of_company
from ledger.queries.prices import price_book
from o10.kernel.errors import FieldError, ValidationFailed

RATES_MOST: Final = 5_000
TEXT_CHARS_MAX: Final = 200
AHEAD_MOST: Final = timedelta(days=1)
COLUMNS: Final = ("currency", "rate", "date")
ERRORS_NAMED: Final = 100


@dataclass(frozen=True, slots=True)
class FxAdded:
    """Which price version brought the rates, how many are new, how many were there before?"""

    version: int
    added: int
    known: int


def add_fx_rates(
    *,
    rates: Sequence[FxRate],
    actor: str,
    now: datetime,
    key: str = "",
    ledger_id: int = COMPANY_LEDGER,
) -> FxAdded:
    """In which price version do these rates hold? Those that hold already add nothing.

    Raises: ValidationFailed (`validation_failed`) with a pointer for each rate that is none,
    for the ledger's own currency, for dates more than a day ahead; nothing is written then.
    Locks: the price book.
    """
    clean = _checked(rates, now)
    with transaction.atomic():
        lock_price_book()
        state = price_book()
        fresh = [each for each in clean if not _holds(each, state.fx.get(each.currency, ()))]
        if not fresh:
            return FxAdded(state.version, 0, len(clean))
        asked = [_said(each) for each in fresh]
        entries: list[Entry] = []

        def run(uid: UUID) -> list[Entry]:
            draft = VersionDraft(
                change=PriceChange.FX,
                actor=actor,
                evidence=", ".join(sorted({each.source for each in fresh}))[:500],
                fx=fresh,
                summary={"rates": asked[:ERRORS_NAMED]},
            )
            entries.append(
                write_price_version(draft, uid=uid, ledger_id=ledger_id, now=now).entry
            )
            return entries

        digest = sha256(canonical_json({"rates": [str(each) for each in asked]})).digest()
        write(
            ledger_id=ledger_id,
            scope="fx_rates",
            key=f"{key or digest.hex()}/{state.version}",
            request_hash=digest,
            run=run,
        )
    return FxAdded(entries[0].price_version, len(fresh), len(clean) - len(fresh))


def read_fx_csv(text: str, *, source: str) -> list[FxRate]:
    """Which rates are in this CSV? Header `currency,rate,date`, optionally `source,evidence`.

    Raises: ValidationFailed (`validation_failed`) with `/<row>/<column>` for every bad cell.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
    missing = [each for each in COLUMNS if each not in (reader.fieldnames or ())]
    if missing:
        message = f"The first row names the columns; missing: {', '.join(missing)}."
        raise ValidationFailed(errors=[FieldError("/0", "missing", message)])
    rates, wrong = [], []
    for number, row in enumerate(reader, start=1):
        if number > RATES_MOST:
            message = f"At most {RATES_MOST:,} rates at once."
            raise ValidationFailed(errors=[FieldError(f"/{number}", "too_many", message)])
        try:
            day = date.fromisoformat((row["date"] or "").strip())
        except ValueError:
            wrong.append(FieldError(f"/{number}/date", "malformed", "A date is 2026-11-24."))
            continue
        rates.append(
            FxRate(
                currency=(row["currency"] or "").strip().upper(),
                rate=(row["rate"] or "").strip(),
                rate_date=day,
                source=(row.get("source") or source).strip(),
                evidence=(row.get("evidence") or "").strip(),
            )
        )
    if wrong:
        raise ValidationFailed(errors=wrong[:ERRORS_NAMED])
    return rates


def _checked(rates: Sequence[FxRate], now: datetime) -> list[FxRate]:
    ours = ledger_of_company().currency
    wrong: list[FieldError] = []
    clean: dict[tuple[str, date], FxRate] = {}
    if not 0 < len(rates) <= RATES_MOST:
        wrong.append(FieldError("", "length", f"Send 1 to {RATES_MOST:,} rates."))
    for place, each in enumerate(rates[: RATES_MOST + 1]):
        wrong += _mistakes(each, place, ours, now)
        known = clean.get((each.currency, each.rate_date))
        if known is not None and known.rate != each.rate:
            message = "Two rates for one currency and date."
            wrong.append(FieldError(f"/{place}", "repeated", message))
        if not wrong:
            clean[each.currency, each.rate_date] = FxRate(
                currency=each.currency,
                rate=rate_text(each.rate),
                rate_date=each.rate_date,
                source=each.source.strip(),
                evidence=each.evidence.strip(),
            )
    if wrong:
        raise ValidationFailed(errors=wrong[:ERRORS_NAMED])
    return [clean[place] for place in sorted(clean)]


def _mistakes(rate: FxRate, place: int, ours: str, now: datetime) -> list[FieldError]:
    wrong = []
    if not is_currency(rate.currency):
        message = "A currency is an ISO 4217 code such as EUR."
        wrong.append(FieldError(f"/{place}/currency", "malformed", message))
    elif rate.currency == ours:
        message = f"{ours} is the ledger's own currency; its rate is 1."
        wrong.append(FieldError(f"/{place}/currency", "own_currency", message))
    try:
        rate_text(rate.rate)
    except ValidationFailed as failure:
        wrong.append(FieldError(f"/{place}/rate", "malformed", failure.errors[0].message))
    if rate.rate_date > (now + AHEAD_MOST).date():
        message = "A rate is known for today at the latest."
        wrong.append(FieldError(f"/{place}/date", "in_the_future", message))
    for name, text, least in (("source", rate.source, 1), ("evidence", rate.evidence, 0)):
        if not least <= len(text.strip()) <= TEXT_CHARS_MAX or "\n" in text or "|" in text:
            message = f"Say the {name} in one line of at most {TEXT_CHARS_MAX} characters."
            wrong.append(FieldError(f"/{place}/{name}", "missing", message))
    return wrong


def _holds(rate: FxRate, known: Sequence[FxRate]) -> bool:
    return any(
        each.rate_date == rate.rate_date
        and each.rate == rate.rate
        and each.source == rate.source
        for each in known
    )


def _said(rate: FxRate) -> dict[str, str]:
    return {
        "currency": rate.currency,
        "date": rate.rate_date.isoformat(),
        "rate": rate.rate,
        "source": rate.source,
    }
