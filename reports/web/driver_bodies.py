"""Which volumes of drivers does a body tell, as JSON or as CSV, and how is it answered?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from o10.kernel.errors import FieldError, MalformedBody, ValidationFailed
from o10.wire import fields as f
from o10.wire.decoding import mistakes, parse
from reports import facade
from reports.web.serializers import AsOf

VOLUMES_MOST = 10_000
VOLUME_BYTES = 4 * 1024 * 1024
ERRORS_MOST = 100

Period = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$(?!\n)")]
Source = Annotated[str, Meta(max_length=200, pattern=r"^[^\u0000-\u001f\u007f]*$(?!\n)")]


class VolumeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a driver was there? `use_case`, `driver`, `period` are its identity for good.

    `period` is a day such as "2026-11-03" or a whole month such as "2026-11". A later
    `revision` replaces it until the month is closed.
    """

    use_case: f.Name
    driver: f.Word
    period: Period
    volume: Annotated[int, Meta(ge=0, le=10**15)]
    revision: Annotated[int, Meta(ge=1, le=1_000)] = 1
    source: Source = ""


class VolumeItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one volume: `recorded`, or `replayed` when it was there."""

    use_case: str
    driver: str
    period: str
    volume: int
    revision: int
    status: str
    entry_id: str


class VolumesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the volumes, in the order sent?"""

    items: list[VolumeItem]
    recorded: int
    replayed: int


class VolumeRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which volume was told, when, by whom, in which entry?"""

    use_case: str
    driver: str
    period: str
    volume: int
    revision: int
    source: str
    entry_id: str
    recorded_at: datetime
    recorded_by: str


class VolumesRead(msgspec.Struct, frozen=True, kw_only=True):
    """Which volumes were told, newest first, every revision?"""

    items: list[VolumeRead]
    next: str | None
    as_of: AsOf


def read_volumes(body: bytes) -> list[facade.VolumeDraft]:
    """Which volumes does this JSON tell: one, or an array of them?

    Raises: MalformedBody (`malformed_body`); ValidationFailed (`validation_failed`).
    """
    raw = parse(body)
    rows = raw if isinstance(raw, list) else [raw]
    if not 1 <= len(rows) <= VOLUMES_MOST:
        message = f"One volume, or an array of 1 to {VOLUMES_MOST:,}."
        raise ValidationFailed(errors=[FieldError("", "too_many", message)])
    errors: list[FieldError] = []
    for place, row in enumerate(rows):
        if isinstance(row, dict):
            errors += mistakes(VolumeBody, row, f"/{place}")
        else:
            errors.append(FieldError(f"/{place}", "wrong_type", "Expected an object."))
    if errors:
        raise ValidationFailed(errors=errors[:ERRORS_MOST])
    return [_draft(msgspec.convert(row, VolumeBody, strict=True)) for row in rows]


def read_volume_rows(body: bytes) -> list[facade.VolumeDraft]:
    """Which volumes does this CSV tell?

    Raises: MalformedBody (`malformed_body`) for what is no UTF-8; ValidationFailed
    (`validation_failed`) with the row in each message.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise MalformedBody(reason="a CSV file is read as UTF-8") from failure
    found = facade.parse_volumes(text)
    if found.problems:
        errors = [
            FieldError(f"/{each.row}", "bad_format", f"Row {each.row}: {each.message}")
            for each in found.problems
        ]
        raise ValidationFailed(errors=errors[:ERRORS_MOST])
    return [draft_of(line) for line in found.lines]


def draft_of(line: facade.VolumeLine) -> facade.VolumeDraft:
    """Which volume does this row tell?"""
    return facade.VolumeDraft(
        use_case=line.use_case,
        driver=line.driver,
        period=line.period,
        volume=line.volume,
        revision=line.revision,
        source=line.source,
    )


def volumes_answer(results: Sequence[facade.VolumeResult]) -> VolumesAnswer:
    """How do the results stand on the wire?"""
    items = [
        VolumeItem(
            use_case=each.use_case,
            driver=each.driver,
            period=each.period,
            volume=each.volume,
            revision=each.revision,
            status=each.status,
            entry_id=each.entry_id,
        )
        for each in results
    ]
    return VolumesAnswer(
        items=items,
        recorded=sum(item.status == "recorded" for item in items),
        replayed=sum(item.status == "replayed" for item in items),
    )


def volume_read(row: facade.VolumeRow) -> VolumeRead:
    """How does a volume stand on the wire?"""
    return VolumeRead(
        use_case=row.use_case,
        driver=row.driver,
        period=row.period,
        volume=row.volume,
        revision=row.revision,
        source=row.source,
        entry_id=row.entry_id,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
    )


def _draft(body: VolumeBody) -> facade.VolumeDraft:
    return facade.VolumeDraft(
        use_case=body.use_case,
        driver=body.driver,
        period=body.period,
        volume=body.volume,
        revision=body.revision,
        source=body.source,
    )
