"""How is a number written? One rule set for page, PDF, XLSX and mail.

Every function returns a `Figure`: the text, the exact value for a title, and the words for a
screen reader where the text alone would mislead. Signs stand before the currency and are the
true minus; rounding is to the nearest, ties away from zero, and happens here alone, on the
way out. Longer than most modules on purpose: the rules of one table belong side by side.
Source: ux.md section 4. Golden: tests/golden/figures.json.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from o10.kernel.money import NANOS_PER_UNIT, Nanos, amount_text
from o10.kernel.periods import zone_of

MINUS = "−"
MISSING = "—"
MISSING_SPOKEN = "not measured"
NOT_APPLICABLE = "n/a"

MATERIAL_FLOOR_NANOS = 500 * NANOS_PER_UNIT
MATERIAL_SHARE_PPM = 20_000
"""A change up to the larger of 500 units and 2 % is grey and has no triangle (settings)."""


class Sign(StrEnum):
    """Is the sign written for gains too?"""

    NEGATIVE_ONLY = "negative_only"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Figure:
    """How is one value shown?

    Shape: `text` is what stands in the cell; `exact` the unrounded value (title, tooltip),
    empty when the text is exact; `spoken` replaces the text for a screen reader, empty when
    the text will do.
    """

    text: str
    exact: str = ""
    spoken: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Scale:
    """In which unit and precision does a whole column stand?

    Units: amounts are divided by `divisor` nanos and shown with `decimals`; `suffix` is "",
    k, M, B.
    """

    divisor: int
    decimals: int
    suffix: str

    def header(self, currency: str = "USD") -> str:
        """What does the head of the column say? "USD", "USD k"."""
        return f"{currency} {self.suffix}".rstrip()


_MISSING = Figure(MISSING, spoken=MISSING_SPOKEN)
_SMALL = Scale(NANOS_PER_UNIT, 4, "")
_CENTS = Scale(NANOS_PER_UNIT, 2, "")
_WHOLE = Scale(NANOS_PER_UNIT, 0, "")
# Above 999,999 the first scale that shows the amount in at most four digits.
_LARGE = (
    Scale(NANOS_PER_UNIT * 10**3, 0, "k"),
    Scale(NANOS_PER_UNIT * 10**6, 2, "M"),
    Scale(NANOS_PER_UNIT * 10**6, 1, "M"),
    Scale(NANOS_PER_UNIT * 10**6, 0, "M"),
    Scale(NANOS_PER_UNIT * 10**9, 2, "B"),
    Scale(NANOS_PER_UNIT * 10**9, 1, "B"),
)
_COUNT_STEPS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))


def money_scale(values: Iterable[Nanos | None]) -> Scale:
    """In which one unit and precision do these amounts stand together? The largest decides.

    Whole units to 999,999; above, 3 to 4 digits with k, M or B. Below 100 units two decimals
    and below one unit four, since an envelope of one dollar has no whole dollar to show.
    """
    largest = max((abs(value) for value in values if value is not None), default=0)
    if _nearest(largest, NANOS_PER_UNIT) < 1_000_000:
        small = _SMALL if largest < NANOS_PER_UNIT else _CENTS
        return small if 0 < largest < 100 * NANOS_PER_UNIT else _WHOLE
    return next((scale for scale in _LARGE if _scaled(largest, scale) < 10_000), _LARGE[-1])


def money(nanos: Nanos | None, currency: str = "USD", *, scale: Scale | None = None) -> Figure:
    """How is an amount written on a card or in a table? "$414,390", "$3,683k", "−$7,120".

    Units: nanos of `currency`; `scale` is that of the column, else the amount's own. An
    amount that is not zero but rounds to it is "< $0.0001": zero means zero.
    """
    if nanos is None:
        return _MISSING
    exact = money_exact(nanos, currency).text
    chosen = scale or money_scale([nanos])
    scaled = _scaled(abs(nanos), chosen)
    if scaled == 0 and nanos != 0:
        least = _signed(_grouped(1, chosen.decimals) + chosen.suffix, nanos, currency)
        return Figure(f"< {least}" if nanos > 0 else f"> {least}", exact)
    digits = _grouped(scaled, chosen.decimals) + chosen.suffix
    return Figure(_signed(digits, nanos, currency), exact)


def money_exact(nanos: Nanos | None, currency: str = "USD") -> Figure:
    """How is an amount written in ledger and invoice? All nine decimals, never rounded."""
    if nanos is None:
        return _MISSING
    return Figure(_signed(_grouped(abs(nanos), 9), nanos, currency))


def unit_cost(nanos: Nanos | None, currency: str = "USD") -> Figure:
    """How is the cost of one call or outcome written? "$0.214", "$0.0016", "$24.71"."""
    if nanos is None:
        return _MISSING
    # From one unit on, cents; below, three significant digits: shift by the leading zeros.
    magnitude = abs(nanos)
    decimals = 2 if magnitude >= NANOS_PER_UNIT else min(9, 12 - len(str(magnitude)))
    digits = _trimmed(_nearest(magnitude, 10 ** (9 - decimals)), decimals, 2)
    return Figure(_signed(digits, nanos, currency), money_exact(nanos, currency).text)


def rate(nanos_per_million: Nanos | None, currency: str = "USD") -> Figure:
    """How is a price per million tokens written? Two to four decimals: "$24.71", "$0.0375"."""
    if nanos_per_million is None:
        return _MISSING
    exact = money_exact(nanos_per_million, currency).text
    scaled = _nearest(abs(nanos_per_million), 10**5)
    if scaled == 0 and nanos_per_million != 0:
        return Figure(exact, exact)
    return Figure(_signed(_trimmed(scaled, 4, 2), nanos_per_million, currency), exact)


def count(number: int | None) -> Figure:
    """How are tokens and calls written? Three digits with k, M, B: "412k", "1.9M", "11.4B"."""
    if number is None:
        return _MISSING
    magnitude = abs(number)
    # Rounded to three digits before the unit is chosen: 999,950 is "1M", not "1,000k".
    quantum = 10 ** max(0, len(str(magnitude)) - 3)
    rounded = _nearest(magnitude, quantum) * quantum
    step, suffix = next((each for each in _COUNT_STEPS if rounded >= each[0]), (1, ""))
    digits = _trimmed(rounded * 100 // step, 2, 0) + suffix
    return Figure(_with_sign(digits, number), count_exact(number).text)


def count_exact(number: int | None) -> Figure:
    """How is a count written in full? "4,812,337"."""
    return _MISSING if number is None else Figure(_with_sign(f"{abs(number):,}", number))


def percent(*, part: int | None, whole: int | None, sign: Sign = Sign.NEGATIVE_ONLY) -> Figure:
    """Which share is this? One decimal: "7.6%"; "n/a" with the reason for a base of zero."""
    if part is None or whole is None:
        return _MISSING
    if whole == 0:
        return Figure(NOT_APPLICABLE, "the base is zero", "not applicable: the base is zero")
    tenths = _nearest(part * 1000, whole)
    text = _with_sign(f"{_grouped(abs(tenths), 1)}%", tenths, sign)
    if abs(tenths) > 9990:
        return Figure("> 999%" if tenths > 0 else f"< {MINUS}999%", text)
    if tenths == 0 and part != 0:
        return Figure("< 0.1%" if (part < 0) == (whole < 0) else f"> {MINUS}0.1%")
    return Figure(text)


def percent_change(*, new: int | None, base: int | None) -> Figure:
    """By how many percent did it change? Signed; "n/a" without a usable base."""
    if new is None or base is None:
        return _MISSING
    if (new < 0) != (base < 0) and new != 0 and base != 0:
        return Figure(NOT_APPLICABLE, "the sign changed", "not applicable: the sign changed")
    return percent(part=new - base, whole=abs(base), sign=Sign.ALWAYS)


def points(parts_per_million: int | None) -> Figure:
    """How is a difference of percents written? In percentage points: "+1.2 pp"."""
    if parts_per_million is None:
        return _MISSING
    tenths = _nearest(parts_per_million, 1000)
    return Figure(_with_sign(f"{_grouped(abs(tenths), 1)} pp", tenths, Sign.ALWAYS))


def delta(*, new: Nanos | None, base: Nanos | None, currency: str = "USD") -> Figure:
    """By how much did an amount change? Money and percent: "+$29,190 (+7.6%)"."""
    if new is None or base is None:
        return _MISSING
    change = new - base
    shown = money(change, currency)
    text = shown.text if change <= 0 or shown.text.startswith("<") else f"+{shown.text}"
    relative = percent_change(new=new, base=base)
    exact = shown.exact if not relative.exact else f"{shown.exact}; {relative.exact}"
    return Figure(f"{text} ({relative.text})", exact)


def is_material(
    *,
    new: Nanos,
    base: Nanos,
    floor_nanos: Nanos = MATERIAL_FLOOR_NANOS,
    share_ppm: int = MATERIAL_SHARE_PPM,
) -> bool:
    """Is a change worth a colour? Only beyond the larger of the floor and the share of base."""
    change = abs(new - base)
    return change > floor_nanos and change * 1_000_000 > abs(base) * share_ppm


def score(value: Decimal | None, *, floor: Decimal) -> Figure:
    """How is a score written? One decimal and the state, which is decided before rounding."""
    if value is None:
        return _MISSING
    state = "below floor" if value < floor else "above floor" if value > floor else "at floor"
    shown = value.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    return Figure(f"{str(shown).replace('-', MINUS)}, {state}", str(value))


def day(value: date | None) -> Figure:
    """How is a date written? "22 Nov 2026"."""
    if value is None:
        return _MISSING
    return Figure(
        f"{value.day} {_MONTHS[value.month - 1]} {value.year}", value.isoformat()[:10]
    )


def clock_time(at: datetime | None, *, time_zone: str = "UTC") -> Figure:
    """How is a time written? With its zone: "05:00 UTC"."""
    if at is None:
        return _MISSING
    local = at.astimezone(zone_of(time_zone))
    return Figure(f"{local:%H:%M} {_zone_name(local)}", _iso(at))


def instant(at: datetime | None, *, time_zone: str = "UTC") -> Figure:
    """How is an instant written? "22 Nov 2026 05:00 UTC"."""
    if at is None:
        return _MISSING
    local = at.astimezone(zone_of(time_zone))
    return Figure(f"{day(local).text} {local:%H:%M} {_zone_name(local)}", _iso(at))


def ago(at: datetime | None, *, now: datetime, time_zone: str = "UTC") -> Figure:
    """How long ago? "2 min ago" with the exact time behind it; after a week the date."""
    if at is None:
        return _MISSING
    seconds = int((now - at).total_seconds())
    exact = instant(at, time_zone=time_zone)
    if seconds < 0 or seconds >= 7 * 86_400:
        return exact
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return Figure(f"{seconds // size} {unit} ago", exact.text)
    return Figure("now", exact.text)


def rounding_note(*, parts: Sequence[Nanos], total: Nanos, scale: Scale | None = None) -> str:
    """Must a table say "rounded"? Yes when its rows as shown do not add up to its total."""
    chosen = scale or money_scale([*parts, total])
    shown = sum(_scaled(part, chosen) for part in parts)
    return "" if shown == _scaled(total, chosen) else "rounded"


def csv_money(nanos: Nanos | None) -> str:
    """How does an amount stand in a CSV? A raw decimal with a dot; empty when missing."""
    return "" if nanos is None else amount_text(nanos)


def csv_text(text: str) -> str:
    """How does a text stand in a CSV, so that no spreadsheet runs it? Quoted before = + - @."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _signed(digits: str, number: int, currency: str) -> str:
    return _with_sign(f"${digits}" if currency == "USD" else f"{currency} {digits}", number)


def _with_sign(text: str, number: int, sign: Sign = Sign.NEGATIVE_ONLY) -> str:
    if number < 0:
        return MINUS + text
    return f"+{text}" if sign is Sign.ALWAYS and number > 0 else text


def _grouped(scaled: int, decimals: int) -> str:
    """How is scaled / 10^decimals written, with thousands commas?"""
    whole, fraction = divmod(scaled, 10**decimals)
    return f"{whole:,}.{fraction:0{decimals}d}" if decimals else f"{whole:,}"


def _trimmed(scaled: int, decimals: int, least: int) -> str:
    whole, _, fraction = _grouped(scaled, decimals).partition(".")
    fraction = fraction.rstrip("0").ljust(least, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _nearest(numerator: int, denominator: int) -> int:
    """What is the nearest integer, ties away from zero, as people round on paper?"""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -magnitude if numerator < 0 else magnitude


def _scaled(nanos: Nanos, scale: Scale) -> int:
    return _nearest(nanos * 10**scale.decimals, scale.divisor)


def _zone_name(local: datetime) -> str:
    name = local.tzname() or "UTC"
    # Zones without letters are named by their offset: "+0545" alone would read as a number.
    return f"UTC{name.replace('-', MINUS)}" if name[:1] in "+-" else name


def _iso(at: datetime) -> str:
    return at.astimezone(zone_of("UTC")).isoformat().replace("+00:00", "Z")


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
