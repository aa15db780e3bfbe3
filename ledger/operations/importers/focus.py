"""What does a FOCUS file (1.0 to 1.3, CSV) say of AI? Lines of a bill, in its billing currency.

Taken are rows of service category "AI and Machine Learning"; the others are other teams' bills.
The amount is `BilledCost`; quantities count where the unit is tokens. Column names are those of
the header, unknown ones are left out, `NULL` is empty. The model is the resource, else the SKU.
Dedupe key: all that tells the row apart, and its turn among equal ones.
Source: conventions.md section 1.
"""

from collections.abc import Iterator
from typing import Final, TextIO

from ledger.operations.importers.reading import csv_rows
from ledger.operations.importers.rows import (
    BillRow,
    Row,
    RowRefused,
    Terms,
    currency_of,
    decimal_of,
    instant_of,
    last_day_of,
    nanos_of,
    refused,
    text_of,
)

NEEDS: Final = (
    "BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ServiceCategory",
)  # fmt: skip
CATEGORY: Final = "AI and Machine Learning"
_VENUES: Final = {
    "aws": "aws", "amazon web services": "aws", "microsoft": "azure", "google cloud": "google",
}  # fmt: skip
_UNITS: Final = {"tokens": 1, "1000 tokens": 1_000, "1000000 tokens": 1_000_000}


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which AI lines are on this bill?"""
    for number, raw in csv_rows(stream, source=terms.source, needs=NEEDS):
        cells = {name: "" if cell == "NULL" else cell for name, cell in raw.items()}
        if "bad_row" not in cells and cells["ServiceCategory"] != CATEGORY:
            continue
        try:
            yield _line(number, cells, terms)
        except RowRefused as failure:
            yield refused(number, failure, ",".join(cells.values()))


def _line(number: int, cells: dict[str, str], terms: Terms) -> BillRow:
    if "bad_row" in cells:
        raise RowRefused("bad_row", cells["bad_row"])
    start = instant_of(cells["ChargePeriodStart"], "ChargePeriodStart")
    end = instant_of(cells["ChargePeriodEnd"], "ChargePeriodEnd")
    if end <= start:
        raise RowRefused("not_an_instant", "ChargePeriodEnd is not after ChargePeriodStart.")
    provider = text_of(cells.get("ProviderName") or cells.get("Provider"), "ProviderName")
    if not provider:
        raise RowRefused("venue_missing", "There is no ProviderName.")
    unit = (cells.get("ConsumedUnit") or "").strip().lower()
    factor, quantity = _UNITS.get(unit), cells.get("ConsumedQuantity")
    tier = text_of(cells.get("x_ServiceTier"), "x_ServiceTier").lower()
    return BillRow(
        row=number,
        key=terms.hashed(*cells.values()),
        venue=_VENUES.get(provider.lower(), provider.lower().replace(" ", "-")),
        currency=currency_of(cells["BillingCurrency"]),
        day=start.date(),
        last_day=last_day_of(end),
        amount_nanos=nanos_of(cells["BilledCost"], "BilledCost"),
        account=text_of(cells.get("SubAccountId"), "SubAccountId"),
        number=text_of(cells.get("InvoiceId"), "InvoiceId"),
        model=text_of(cells.get("ResourceName") or cells.get("SkuId"), "ResourceName"),
        tier=tier,
        meter=text_of(cells.get("SkuMeter") or cells.get("ChargeCategory"), "SkuMeter")[:64],
        quantity=int((decimal_of(quantity, "ConsumedQuantity") * factor).to_integral_value())
        if factor and quantity
        else None,
        unit="tokens" if factor and quantity else "",
    )
