"""Which actual volumes of drivers were told, and what do they add up to?"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from o10.kernel import ids
from reports.models import DriverVolume
from reports.queries.outcome_list import Slugs, newest_page, slugs


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRow:
    """Which volume was told? `use_case` is a slug; `period` a day or a month."""

    use_case: str
    driver: str
    period: str
    volume: int
    revision: int
    source: str
    entry_id: str
    recorded_at: datetime
    recorded_by: str


def newest_volumes(
    *, first: date, after: date, told_to: datetime | None = None
) -> list[DriverVolume]:
    """Which volumes hold for days [first, after)? The newest revisions, as told by then."""
    rows = DriverVolume.objects.filter(first__gte=first, after__lte=after)
    if told_to is not None:
        rows = rows.filter(recorded_at__lte=told_to)
    cell = ("use_case", "driver", "first", "after")
    return list(rows.order_by(*cell, "-revision").distinct(*cell))


def sum_volumes(*, first: date, after: date) -> Mapping[str, Mapping[int, int]]:
    """How many units of each driver had each use case on days [first, after)?"""
    found: dict[str, dict[int, int]] = {}
    for row in newest_volumes(first=first, after=after):
        own = found.setdefault(row.driver, {})
        own[row.use_case] = own.get(row.use_case, 0) + row.volume
    return found


def list_driver_names() -> list[str]:
    """Which drivers were ever told? By name."""
    names = DriverVolume.objects.order_by("driver").values_list("driver", flat=True)
    return list(names.distinct())


def list_volume_rows(
    *,
    use_case: str = "",
    driver: str = "",
    among: Collection[str] | None,
    cursor: str = "",
    limit: int,
) -> tuple[list[VolumeRow], str | None]:
    """Which volumes were told, newest first, and with which cursor does it go on?

    `among` are the slugs a caller may see, None = all.
    Raises: NotFound (`not_found`) for an unknown use case; ValidationFailed for a cursor that
    is none of ours.
    """
    rows = DriverVolume.objects.order_by("-id")
    if driver:
        rows = rows.filter(driver=driver)
    called = slugs()
    found, more = newest_page(
        rows, called=called, use_case=use_case, among=among, cursor=cursor, limit=limit
    )
    return [volume_row(row, called) for row in found], more


def volume_row(row: DriverVolume, called: Slugs) -> VolumeRow:
    """How is this volume told, by name?"""
    return VolumeRow(
        use_case=called.of(row.use_case),
        driver=row.driver,
        period=period_text(row.first, row.after),
        volume=row.volume,
        revision=row.revision,
        source=row.source,
        entry_id=ids.id_of("ent", row.entry_uid),
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
    )


def period_text(first: date, after: date) -> str:
    """How are these days written? "2026-11-03" for a day, "2026-11" for a month."""
    return str(first) if after - first == timedelta(days=1) else f"{first:%Y-%m}"
