"""When is a fact effective that belongs to a closed month? Now, and its document says the rest.

A closed month never moves: what is learned later stands in the open period with the flag
PRIOR_PERIOD and names the month and the instant it is about. The month restated is its closed
figure and all such lines.
Source: product.md section 18; docs/algorithms/period-close.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from o10.kernel.errors import FieldError, ValidationFailed


@dataclass(frozen=True, slots=True)
class Placement:
    """At which instant is it effective, and what does its document say beside?

    `told` is empty for what lies in an open period.
    """

    effective_at: datetime
    is_prior: bool
    told: dict[str, object]


def place(
    at: datetime, *, closed_until: datetime | None, now: datetime, time_zone: str
) -> Placement:
    """Where does a fact of this instant stand when all before `closed_until` is closed?"""
    if closed_until is None or at >= closed_until:
        return Placement(at, is_prior=False, told={})
    about = {
        "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "period": month_of(at, time_zone=time_zone),
    }
    return Placement(now, is_prior=True, told={"prior_period": about})


def month_of(at: datetime, *, time_zone: str) -> str:
    """Which month of the ledger's zone is it? `2026-10`."""
    return f"{at.astimezone(ZoneInfo(time_zone)):%Y-%m}"


def month_bounds(period: str, *, time_zone: str) -> tuple[datetime, datetime]:
    """From when until when is this month of the ledger's zone (UTC, half-open)?

    Raises: ValidationFailed (`validation_failed`) for what is no month.
    """
    year, dash, month = period.partition("-")
    plain = period.isascii() and year.isdigit() and month.isdigit()
    if not dash or not plain or len(year) != 4 or len(month) != 2 or not 1 <= int(month) <= 12:
        raise _no_month()
    if not 2000 <= int(year) <= 2199:
        raise _no_month()
    zone = ZoneInfo(time_zone)
    start = datetime(int(year), int(month), 1, tzinfo=zone)
    end = datetime(int(year) + int(month) // 12, int(month) % 12 + 1, 1, tzinfo=zone)
    return start.astimezone(UTC), end.astimezone(UTC)


def month_before(period: str) -> str:
    """Which month comes before this one?"""
    number = int(period[:4]) * 12 + int(period[5:7]) - 2
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def month_after(period: str) -> str:
    """Which month comes after this one?"""
    number = int(period[:4]) * 12 + int(period[5:7])
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _no_month() -> ValidationFailed:
    message = "A month is a year and a month, such as 2026-10."
    return ValidationFailed(errors=[FieldError("/period", "bad_format", message)])
