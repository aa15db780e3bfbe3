"""What can a row of an export be: usage, a line of a bill, or bad, with the reason?

Units and currency are stated by each source's module; amounts become nano-units once, half even
beyond nine decimals, and never pass a float. A row is as a person counts: in a CSV the header
is row 1, in JSON the first result is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Final

import msgspec

from o10.kernel.errors import Rejected
from o10.kernel.money import MAX_NANOS, NANOS_PER_UNIT, half_even
from o10.wire.decoding import mistakes
from o10.wire.facts import UsageRecord

CONTENT_MOST: Final = 400
TEXT_MOST: Final = 128


class FileRejected(Rejected):
    """Is the file none of this source at all? Fields: `source`, `what`."""

    code = "file_rejected"


class RowRefused(Exception):  # noqa: N818 - caught by the reader of the same row
    """Why is this row not taken? Fields: `code`, `message`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Which usage does the row tell of?"""

    row: int
    record: UsageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRow:
    """Which line of a bill is it?

    Units: `amount_nanos` of `currency`; `quantity` of `unit`, None where none is stated. `day`
    and `last_day` are provider days (UTC), both inside. `key` is its identity within the
    source; empty text = the bill does not say.
    """

    row: int
    key: str
    venue: str
    currency: str
    day: date
    last_day: date
    amount_nanos: int
    account: str = ""
    number: str = ""
    model: str = ""
    tier: str = ""
    meter: str = ""
    quantity: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """Which row can't be taken, and why? `content` is the start of what stood there."""

    row: int
    code: str
    message: str
    content: str = ""


Row = UsageRow | BillRow | BadRow


@dataclass(slots=True)
class Terms:
    """What holds for a whole file? `use_case` for rows that name none; `now` ends the buckets.

    `seen` counts equal rows, so that two real ones of the same content are two.
    """

    source: str
    now: datetime
    use_case: str = ""
    seen: dict[str, int] = field(default_factory=dict)

    def hashed(self, *parts: object) -> str:
        """Which key has a row without an id? The hash of its content, and its turn."""
        digest = sha256("\n".join(map(str, parts)).encode()).hexdigest()[:40]
        turn = self.seen[digest] = self.seen.get(digest, 0) + 1
        return f"{digest}#{turn}"


def usage_row(row: int, values: Mapping[str, Any]) -> UsageRow:
    """Which usage do these values tell of? None and empty text are left out.

    Raises: RowRefused with the first field that is wrong.
    """
    told = {name: value for name, value in values.items() if value not in (None, "")}
    wrong = mistakes(UsageRecord, told)
    if wrong:
        raise RowRefused(wrong[0].code, f"{wrong[0].pointer}: {wrong[0].message}")
    try:
        return UsageRow(row, msgspec.convert(told, UsageRecord, strict=True))
    except msgspec.ValidationError as error:
        raise RowRefused("validation_failed", str(error)) from error


def refused(row: int, failure: RowRefused, content: object) -> BadRow:
    """How is a row told that was not taken?"""
    text = content if isinstance(content, str) else json.dumps(content, default=str)
    return BadRow(row, failure.code, failure.message[:300], text[:CONTENT_MOST])


def decimal_of(value: object, name: str) -> Decimal:
    """Which exact number is this? Text, integers and decimals; never a float.

    Raises: RowRefused for what is none, or not finite.
    """
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation as error:
        raise RowRefused("not_a_number", f"{name} is no number.") from error
    if not number.is_finite():
        raise RowRefused("not_a_number", f"{name} is no number.")
    return number


def nanos_of(value: object, name: str, *, parts_of_unit: int = 1) -> int:
    """How many nano-units is this amount? `parts_of_unit` 100 = it is stated in cents.

    Raises: RowRefused for what is no amount or too large.
    """
    number = decimal_of(value, name)
    sign, digits, exponent = number.as_tuple()
    mantissa = int("".join(map(str, digits)) or "0") * (-1 if sign else 1)
    power = int(exponent)
    if power > 20 or power < -60:
        raise RowRefused("out_of_range", f"{name} is out of range.")
    top = mantissa * NANOS_PER_UNIT * 10 ** max(0, power)
    nanos = half_even(top, parts_of_unit * 10 ** max(0, -power))
    if abs(nanos) > MAX_NANOS:
        raise RowRefused("out_of_range", f"{name} does not fit.")
    return nanos


def plain_amount(value: object, name: str) -> str:
    """How is this amount written as a plain decimal (evidence of a usage record)?"""
    nanos = nanos_of(value, name)
    whole, rest = divmod(abs(nanos), NANOS_PER_UNIT)
    return f"{'-' if nanos < 0 else ''}{whole}.{rest:09d}"


def whole_of(value: object, name: str) -> int:
    """Which whole number is this? Empty and null are 0.

    Raises: RowRefused for a fraction, a negative number or no number.
    """
    if value in (None, ""):
        return 0
    number = decimal_of(value, name)
    if number != number.to_integral_value() or number < 0:
        raise RowRefused("not_a_count", f"{name} is no whole number of 0 or more.")
    return int(number)


def instant_of(value: object, name: str) -> datetime:
    """Which instant is this? Unix seconds, or ISO 8601; without a zone it is UTC.

    Raises: RowRefused for what is none.
    """
    text = str(value).strip()
    try:
        if text.replace(".", "", 1).isdigit() and "-" not in text and len(text) >= 9:
            seconds = decimal_of(text, name)
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                microseconds=int(seconds * 1_000_000)
            )
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError) as error:
        raise RowRefused("not_an_instant", f"{name} is no date or time.") from error
    if not 2000 <= at.year <= 2199:
        raise RowRefused("not_an_instant", f"{name} lies outside the years 2000 to 2199.")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def last_day_of(end: datetime) -> date:
    """Which is the last provider day of a span that ends before this instant?"""
    return (end - timedelta(microseconds=1)).date()


def over(end: datetime, terms: Terms) -> None:
    """Is this bucket complete? One that still runs would be counted short, and for good.

    Raises: RowRefused for one that ends ahead.
    """
    if end > terms.now:
        raise RowRefused("bucket_open", "This bucket is not over yet; import it again later.")


def currency_of(value: object) -> str:
    """Which ISO 4217 code is this?

    Raises: RowRefused for what is none: an amount without a currency is no amount.
    """
    text = str(value or "").strip().upper()
    if len(text) != 3 or not text.isascii() or not text.isalpha():
        raise RowRefused("currency_missing", "The currency is no ISO 4217 code such as USD.")
    return text


def text_of(value: object, name: str) -> str:
    """Which short text is this? Control characters and more than 128 characters are refused."""
    text = "" if value is None else str(value).strip()
    if len(text) > TEXT_MOST or any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise RowRefused("bad_text", f"{name} is too long or has control characters.")
    return text


def slug_of(*candidates: object) -> str:
    """Which of these names could be a use case? The first that reads like a slug."""
    for each in candidates:
        text = str(each or "").strip().lower()
        if text and len(text) <= 64 and all(c.isalnum() or c in "-_." for c in text):
            return text
    return ""
