"""How do actual volumes of a driver get into o10? Each once, all of a file or none.

Each volume is a `driver` entry of amount 0. Use case, driver and days are its identity; until
the month is closed the next revision may say that it was otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from ledger import facade as ledger
from o10.access.checks import can_see_use_case, check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import FieldError, IdempotencyMismatch, ValidationFailed
from o10.kernel.periods import day_start, zone_of
from policies import facade as policies
from reports.models import DriverVolume
from reports.queries.allocations import next_month
from reports.queries.driver_volumes import period_text

VOLUMES_MOST: Final = 10_000
VOLUME_MOST: Final = 10**15
ERRORS_MOST: Final = 100
_LOCK_CLASS: Final = 7_124
_YEARS: Final = range(2000, 2201)
_TEXT_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeDraft:
    """How much of a driver was there, as told? `period` is a day or a month, as text."""

    use_case: str
    driver: str
    period: str
    volume: int
    revision: int = 1
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeResult:
    """What became of one volume? `status` is `recorded` or, when it was there, `replayed`."""

    use_case: str
    driver: str
    period: str
    volume: int
    revision: int
    status: str
    entry_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    use_case: int
    driver: str
    first: date
    after: date
    revision: int
    volume: int
    source: str

    @property
    def cell(self) -> tuple[int, str, date, date]:
        return self.use_case, self.driver, self.first, self.after

    @property
    def uid(self) -> UUID:
        key = f"{self.use_case}\n{self.driver}\n{self.first}\n{self.after}\n{self.revision}"
        return ids.uid(scope="driver", key=key, origin_ms=0)


def record_drivers(
    *, drafts: Sequence[VolumeDraft], actor: Caller, now: datetime
) -> tuple[VolumeResult, ...]:
    """What was written for these volumes? Again the same: nothing. In the order sent.

    Raises: Forbidden (`forbidden`); ValidationFailed (`validation_failed`) with one error for
    each wrong part (`/<place>/…`), IdempotencyMismatch (`idempotency_mismatch`) when all that
    is wrong is a volume told otherwise before: nothing is written then.
    Locks: an advisory lock until commit, so that revisions and days don't collide.
    """
    check(caller=actor, action=Action.RECORD_USAGE)
    if not 1 <= len(drafts) <= VOLUMES_MOST:
        message = f"From 1 to {VOLUMES_MOST:,} volumes at once."
        raise ValidationFailed(errors=[FieldError("", "too_many", message)])
    errors: list[FieldError] = []
    numbers = {row.slug: row.number for row in policies.list_use_case_rows()}
    company = ledger.ledger_of_company()
    today = now.astimezone(zone_of(company.time_zone)).date()
    ready = {
        place: each
        for place, draft in enumerate(drafts)
        if (each := _ready(f"/{place}", draft, numbers, actor, today, errors)) is not None
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [_LOCK_CLASS])
        kept = _before(ready)
        _check_closed(ready, kept, errors)
        _check_among(ready, kept, errors)
        if errors:
            raise _refused(errors)
        fresh = [each for each in ready.values() if not _is_there(each, kept)]
        _write(fresh, company, actor=actor, now=now)
    return tuple(
        VolumeResult(
            use_case=draft.use_case,
            driver=ready[place].driver,
            period=period_text(ready[place].first, ready[place].after),
            volume=draft.volume,
            revision=draft.revision,
            status="replayed" if _is_there(ready[place], kept) else "recorded",
            entry_id=ids.id_of("ent", ready[place].uid),
        )
        for place, draft in enumerate(drafts)
    )


_Cell = tuple[int, str, date, date]
_Cells = Mapping[_Cell, Mapping[int, DriverVolume]]


def days_of(text: str) -> tuple[date, date] | None:
    """Which days are meant: "2026-11-03" or "2026-11"? Half-open; None for what is neither."""
    if not text.isascii() or len(text) not in (7, 10):
        return None
    try:
        first = date.fromisoformat(text if len(text) == 10 else f"{text}-01")
    except ValueError:
        return None
    if first.year not in _YEARS:
        return None
    return first, first + timedelta(days=1) if len(text) == 10 else next_month(first)


def _ready(
    at: str,
    draft: VolumeDraft,
    numbers: Mapping[str, int],
    actor: Caller,
    today: date,
    errors: list[FieldError],
) -> _Ready | None:
    before = len(errors)
    number = numbers.get(draft.use_case, 0)
    if not number:
        message = f"There is no use case {draft.use_case[:64]!r}."
        errors.append(FieldError(f"{at}/use_case", "unknown", message))
    elif not can_see_use_case(caller=actor, slug=draft.use_case):
        message = "Outside this key's use cases."
        errors.append(FieldError(f"{at}/use_case", "not_scoped", message))
    driver = draft.driver.strip()
    if not 1 <= len(driver) <= 64 or not driver.isprintable():
        message = "A driver has a name of 1 to 64 characters, such as tickets."
        errors.append(FieldError(f"{at}/driver", "required", message))
    if not 0 <= draft.volume <= VOLUME_MOST:
        message = "A volume is a whole number of 0 or more."
        errors.append(FieldError(f"{at}/volume", "out_of_range", message))
    if not 1 <= draft.revision <= 1_000:
        message = "A revision is a number from 1 to 1,000."
        errors.append(FieldError(f"{at}/revision", "out_of_range", message))
    if len(draft.source) > _TEXT_MOST:
        errors.append(FieldError(f"{at}/source", "too_long", "Up to 200 characters."))
    days = days_of(draft.period)
    if days is None:
        message = "A day such as 2026-11-03, or a month such as 2026-11."
        errors.append(FieldError(f"{at}/period", "bad_time", message))
    elif days[1] > today + timedelta(days=1):
        message = "An actual volume has happened: tell a day up to today, or a month once over."
        errors.append(FieldError(f"{at}/period", "in_the_future", message))
    if len(errors) > before or days is None:
        return None
    return _Ready(
        use_case=number,
        driver=driver,
        first=days[0],
        after=days[1],
        revision=draft.revision,
        volume=draft.volume,
        source=draft.source.strip(),
    )


def _before(ready: Mapping[int, _Ready]) -> _Cells:
    """Every revision told before of the use cases and drivers at hand, by cell."""
    found: dict[_Cell, dict[int, DriverVolume]] = {}
    rows = DriverVolume.objects.filter(
        use_case__in={each.use_case for each in ready.values()},
        driver__in={each.driver for each in ready.values()},
        first__lt=max((each.after for each in ready.values()), default=date.min),
        after__gt=min((each.first for each in ready.values()), default=date.min),
    )
    for row in rows:
        cell = (row.use_case, row.driver, row.first, row.after)
        found.setdefault(cell, {})[row.revision] = row
    return found


def _check_closed(ready: Mapping[int, _Ready], kept: _Cells, errors: list[FieldError]) -> None:
    """What a closed month was shared out by stays as it was."""
    months = {each.first.replace(day=1) for each in ready.values()}
    closed = {
        month
        for month in months
        if (found := ledger.find_period(f"{month:%Y-%m}")) and found.status == "closed"
    }
    for place, each in ready.items():
        month = each.first.replace(day=1)
        if month in closed and not _is_there(each, kept):
            message = f"{month:%B %Y} is closed: its volumes stand."
            errors.append(FieldError(f"/{place}/period", "period_closed", message))


def _check_among(ready: Mapping[int, _Ready], kept: _Cells, errors: list[FieldError]) -> None:
    """Nothing twice in one request, no days told twice, one revision after the other."""
    seen: dict[_Cell, int] = {}
    told = {key: cell for cell in kept for key in _days(cell)}
    for place, each in ready.items():
        if each.cell in seen:
            message = f"Item {seen[each.cell] + 1} names the same use case, driver and days."
            errors.append(FieldError(f"/{place}", "twice", message))
            continue
        seen[each.cell] = place
        _check_revision(place, each, kept.get(each.cell, {}), errors)
        if any(told.setdefault(key, each.cell) != each.cell for key in _days(each.cell)):
            message = "Its days were told before, as single days or as a whole month."
            errors.append(FieldError(f"/{place}/period", "overlaps", message))


def _days(cell: _Cell) -> Iterator[tuple[int, str, date]]:
    use_case, driver, day, after = cell
    while day < after:
        yield use_case, driver, day
        day += timedelta(days=1)


def _check_revision(
    place: int,
    each: _Ready,
    revisions: Mapping[int, DriverVolume],
    errors: list[FieldError],
) -> None:
    same, newest = revisions.get(each.revision), max(revisions, default=0)
    if same is not None and same.volume != each.volume:
        message = f"Told before as {same.volume:,}; send it as revision {newest + 1}."
        errors.append(FieldError(f"/{place}/volume", "idempotency_mismatch", message))
    elif same is None and each.revision != newest + 1:
        message = f"The next revision is {newest + 1}."
        errors.append(FieldError(f"/{place}/revision", "no_revision_before", message))


def _is_there(each: _Ready, kept: _Cells) -> bool:
    found = kept.get(each.cell, {}).get(each.revision)
    return found is not None and found.volume == each.volume


def _refused(errors: list[FieldError]) -> ValidationFailed | IdempotencyMismatch:
    told = sorted(errors, key=lambda error: int(error.pointer.split("/")[1]))[:ERRORS_MOST]
    if all(error.code == "idempotency_mismatch" for error in errors):
        return IdempotencyMismatch(scope="driver", errors=told)
    return ValidationFailed(errors=told)


def _write(
    fresh: Sequence[_Ready], company: ledger.LedgerRow, *, actor: Caller, now: datetime
) -> None:
    if not fresh:
        return
    number = ledger.intern(
        ledger.Domain.ACTOR, {"id": actor.actor}, ledger_id=company.id, actor=0, now=now
    )
    bodies = [ledger.canonical_json(_body(each)) for each in fresh]
    hashes = {each.uid: sha256(body).digest() for each, body in zip(fresh, bodies, strict=True)}
    ours, _ = ledger.claim(ledger_id=company.id, hashes=hashes)
    ledger.put_documents(bodies, now=now)
    zone = zone_of(company.time_zone)
    ledger.append(
        [
            ledger.Draft(
                ledger_id=company.id,
                kind=ledger.Kind.DRIVER,
                uid=each.uid,
                # The last second of its days, or now while they run.
                effective_at=min(
                    day_start(each.after, zone).astimezone(UTC) - timedelta(seconds=1), now
                ),
                recorded_at=now,
                use_case_id=each.use_case,
                actor_id=number,
                doc=ledger.document_hash(body),
            )
            for each, body in zip(fresh, bodies, strict=True)
        ],
        claimed=ours,
    )
    DriverVolume.objects.bulk_create(
        [
            DriverVolume(
                use_case=each.use_case,
                driver=each.driver,
                first=each.first,
                after=each.after,
                revision=each.revision,
                volume=each.volume,
                source=each.source,
                entry_uid=each.uid,
                recorded_at=now,
                recorded_by=actor.actor,
            )
            for each in fresh
        ],
        batch_size=1_000,
    )


def _body(each: _Ready) -> dict[str, object]:
    return {
        "driver": {
            "name": each.driver,
            "period": period_text(each.first, each.after),
            "revision": each.revision,
            "source": each.source,
            "volume": each.volume,
        }
    }
