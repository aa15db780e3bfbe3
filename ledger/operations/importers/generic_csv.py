"""What does a plain CSV say: usage where it has token columns, a bill where it has amounts?

Usage: `at`, `model`, `input_tokens`, `output_tokens` and, when known, `id`, `venue`,
`use_case`, `cached_input_tokens`, `cache_write_tokens`, `cache_write_1h_tokens`,
`reasoning_tokens`, `calls`, `service_tier`, `environment`, `region`, `provider_request_id`.
Bill: `date`, `venue`, `amount`, `currency` and, when known, `id`, `end_date`, `model`,
`tier`, `account`, `invoice`, `meter`, `quantity` (tokens). Amounts are plain decimals of the
currency.
Dedupe key: `id`, else all that tells the row apart and its turn among equal ones.
Source: conventions.md section 11.
"""

import csv
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final, TextIO

from ledger.operations.importers.reading import csv_rows
from ledger.operations.importers.rows import (
    BillRow,
    FileRejected,
    Row,
    RowRefused,
    Terms,
    UsageRow,
    currency_of,
    instant_of,
    nanos_of,
    refused,
    text_of,
    usage_row,
    whole_of,
)

USAGE: Final = ("at", "model", "input_tokens", "output_tokens")
BILL: Final = ("date", "venue", "amount", "currency")
_COUNTS: Final = (
    "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "reasoning_tokens",
)  # fmt: skip
_TEXTS: Final = (
    "model", "venue", "service_tier", "environment", "region", "provider_request_id",
)  # fmt: skip


def kind_of(stream: TextIO, *, source: str) -> str:
    """Is it usage or a bill, by its header? The stream stands at its begin again.

    Raises: FileRejected (`file_rejected`) when it is neither.
    """
    header = next(csv.reader(stream), [])
    stream.seek(0)
    names = {name.strip().lstrip("\ufeff") for name in header}
    if names.issuperset(BILL):
        return "bill"
    if names.issuperset(USAGE):
        return "usage"
    wanted = f"{', '.join(USAGE)} (usage) or {', '.join(BILL)} (bill)"
    raise FileRejected(source=source, what=f"it has no columns {wanted}")


def read(stream: TextIO, terms: Terms) -> Iterator[Row]:
    """Which usage or which lines of a bill are in this file?"""
    kind = kind_of(stream, source=terms.source)
    needs, make = (BILL, _line) if kind == "bill" else (USAGE, _usage)
    for number, cells in csv_rows(stream, source=terms.source, needs=needs):
        try:
            if "bad_row" in cells:
                raise RowRefused("bad_row", cells["bad_row"])
            yield make(number, cells, terms)
        except RowRefused as failure:
            yield refused(number, failure, ",".join(cells.values()))


def _usage(number: int, cells: dict[str, str], terms: Terms) -> UsageRow:
    values: dict[str, Any] = {
        "id": cells.get("id") or terms.hashed(*chain(cells.values())),
        "source": terms.source,
        "at": instant_of(cells["at"], "at").isoformat(),
        "usage": {name: whole_of(cells.get(name), name) for name in _COUNTS},
        "calls": max(1, whole_of(cells.get("calls"), "calls")),
        "use_case": cells.get("use_case") or terms.use_case,
        **{name: cells.get(name) for name in _TEXTS},
    }
    return usage_row(number, values)


def _line(number: int, cells: dict[str, str], terms: Terms) -> BillRow:
    day = instant_of(cells["date"], "date").date()
    end = cells.get("end_date")
    last = instant_of(end, "end_date").date() if end else day
    if last < day:
        raise RowRefused("not_an_instant", "end_date lies before date.")
    venue = text_of(cells["venue"], "venue").lower()
    if not venue:
        raise RowRefused("venue_missing", "There is no venue.")
    quantity = cells.get("quantity")
    own = text_of(cells.get("id"), "id")
    return BillRow(
        row=number,
        key=f"id/{own}" if own else terms.hashed(*cells.values()),
        venue=venue,
        currency=currency_of(cells["currency"]),
        day=day,
        last_day=last,
        amount_nanos=nanos_of(cells["amount"], "amount"),
        account=text_of(cells.get("account"), "account"),
        number=text_of(cells.get("invoice"), "invoice"),
        model=text_of(cells.get("model"), "model"),
        tier=text_of(cells.get("tier"), "tier").lower(),
        meter=text_of(cells.get("meter"), "meter")[:64],
        quantity=whole_of(quantity, "quantity") if quantity else None,
        unit="tokens" if quantity else "",
    )
