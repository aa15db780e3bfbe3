"""What is new on a use case: a prompt version, a model asked for, a retry setting, a venue?

A watch of the ledger: it reads what is sealed, in its order, after booking and never on the
path of a call. The first sight of a value is written down with its entry, and with whoever
signed it in advance; nobody is a finding too. What a use case began with is no change.
Source: docs/algorithms/cost-shift.md.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F

from ledger import facade as ledger
from policies.core.policy_body import read_body
from policies.models import (
    ChangeSighting,
    OverrunHour,
    PolicyVersion,
    SignedChange,
    UseCase,
    WatchCursor,
)

CURSOR: Final = "changes"
STEP: Final = 5_000
"""Positions read in one transaction."""
_SERVED: Final = frozenset(
    {
        ledger.Purpose.SERVE,
        ledger.Purpose.RETRY,
        ledger.Purpose.HEDGE_LOSER,
        ledger.Purpose.FALLBACK,
    }
)
_POLICIES_SEARCHED: Final = 50
_ASKED: Final = """
SELECT id, coalesce(shape ->> 'model', model) FROM reservation WHERE id = ANY(%s::uuid[])
"""


@dataclass
class _Known:
    """Which values were seen before, by use case and dimension? The newest value last."""

    values: dict[tuple[int, str], dict[str, None]] = field(default_factory=dict)

    def newest(self, use_case: int, dimension: str) -> str:
        found = self.values.get((use_case, dimension))
        return next(reversed(found)) if found else ""

    def add(self, use_case: int, dimension: str, value: str) -> None:
        self.values.setdefault((use_case, dimension), {})[value] = None


@dataclass(frozen=True, slots=True)
class _Meanings:
    """What do the numbers of a batch mean?"""

    prompts: Mapping[int, str]
    venues: Mapping[int, str]
    models: Mapping[int, str]
    asked: Mapping[Any, str]


def find_changes(*, now: datetime, steps: int = 4) -> int:
    """How many changes were seen for the first time? Reads on from where it was.

    Safe to run in any number of workers: one reads at a time, the others find nothing to do.
    Locks: the cursor, skipped when another worker has it.
    """
    found = 0
    for _ in range(steps):
        read, fresh = _read_on(now)
        found += fresh
        if not read:
            break
    return found


def _read_on(now: datetime) -> tuple[bool, int]:
    with transaction.atomic():
        cursor = (
            WatchCursor.objects.select_for_update(skip_locked=True).filter(name=CURSOR).first()
        )
        if cursor is None:
            if not WatchCursor.objects.filter(name=CURSOR).exists():
                _begin(now)
            return False, 0
        upto, entries = ledger.watched_after(seq=cursor.seq, most=STEP)
        if upto == cursor.seq:
            return False, 0
        _add_overruns(entries)
        fresh = _see(entries, now)
        WatchCursor.objects.filter(name=CURSOR).update(seq=upto, at=now)
    return True, fresh


def _begin(now: datetime) -> None:
    """The watch begins here: what the books hold until now is what use cases began with."""
    # Two workers may begin at once; the second finds the cursor there and its baseline too.
    upto = ledger.seal_state(now=now).seq
    made = WatchCursor.objects.bulk_create(
        [WatchCursor(name=CURSOR, seq=upto, at=now)], ignore_conflicts=True
    )
    if not made or not upto:
        return
    sets = ledger.seen_sets()
    meanings = _Meanings(
        _prompts({each.dims_id for each in sets}),
        _slugs(ledger.Domain.VENUE, {each.venue_id for each in sets}),
        _slugs(ledger.Domain.MODEL, {each.model_id for each in sets}),
        {},
    )
    known = set(UseCase.objects.values_list("id", flat=True))
    rows = {
        (each.use_case_id, dimension, value)
        for each in sets
        if each.use_case_id in known
        for dimension, value in (
            ("prompt_version", meanings.prompts.get(each.dims_id, "")),
            ("venue", meanings.venues.get(each.venue_id, "")),
            ("model", meanings.models.get(each.model_id, "")),
        )
    }
    ChangeSighting.objects.bulk_create(
        [
            ChangeSighting(
                use_case_id=use_case,
                dimension=dimension,
                value=value[:128],
                baseline=True,
                seq=upto,
                entry_uid=ledger.ZERO_UUID,
                seen_at=now,
                found_at=now,
                weighing="none",
            )
            for use_case, dimension, value in sorted(rows)
        ],
        ignore_conflicts=True,
    )


def _add_overruns(entries: Sequence[ledger.WatchedEntry]) -> None:
    sums: Counter[tuple[int, datetime]] = Counter()
    for each in entries:
        if each.kind == ledger.Kind.OVERRUN:
            hour = each.effective_at.replace(minute=0, second=0, microsecond=0)
            sums[each.envelope_id, hour] += each.amount
    for (envelope, hour), nanos in sorted(sums.items()):
        OverrunHour.objects.bulk_create(
            [OverrunHour(envelope_id=envelope, hour=hour, overrun_nanos=0)],
            ignore_conflicts=True,
        )
        OverrunHour.objects.filter(envelope_id=envelope, hour=hour).update(
            overrun_nanos=F("overrun_nanos") + nanos
        )


def _see(entries: Sequence[ledger.WatchedEntry], now: datetime) -> int:
    calls = [
        each
        for each in entries
        if each.kind != ledger.Kind.OVERRUN
        and each.use_case_id
        and ledger.unpack_flags(each.flags).purpose in _SERVED
    ]
    use_cases = set(
        UseCase.objects.filter(id__in={each.use_case_id for each in calls}).values_list(
            "id", flat=True
        )
    )
    known = _known(use_cases)
    meanings = _meanings(calls)
    fresh = []
    for entry in calls:
        if entry.use_case_id not in use_cases:
            continue
        for dimension, value in _values(entry, meanings):
            before = known.values.get((entry.use_case_id, dimension))
            if before is not None and not _is_new(dimension, value, before):
                continue
            fresh.append(_sighting(entry, dimension, value, known, now))
            known.add(entry.use_case_id, dimension, value)
    ChangeSighting.objects.bulk_create(fresh, ignore_conflicts=True)
    return sum(not each.baseline for each in fresh)


def _is_new(dimension: str, value: str, before: Mapping[str, None]) -> bool:
    """Calls that state no version are no version; a retry is new above the most seen."""
    if dimension == "attempt":
        return int(value) > max(map(int, before))
    return bool(value) and value not in before


def _sighting(
    entry: ledger.WatchedEntry, dimension: str, value: str, known: _Known, now: datetime
) -> ChangeSighting:
    baseline = (entry.use_case_id, dimension) not in known.values
    by, ref = ("", "")
    if not baseline:
        by, ref = find_signer(
            use_case=entry.use_case_id,
            dimension=dimension,
            value=value,
            at=entry.effective_at,
        )
    return ChangeSighting(
        use_case_id=entry.use_case_id,
        dimension=dimension,
        value=value,
        before=known.newest(entry.use_case_id, dimension),
        baseline=baseline,
        seq=entry.seq,
        entry_uid=entry.uid,
        seen_at=entry.effective_at,
        found_at=now,
        signed_by=by,
        signed_ref=ref,
        weighing="none" if baseline or by else "open",
    )


def find_signer(*, use_case: int, dimension: str, value: str, at: datetime) -> tuple[str, str]:
    """Who signed this change before it was seen, and where does it stand? ("", "") = nobody.

    An approval of the change itself; or, for a model, the policy that made it the default.
    """
    rows = SignedChange.objects.filter(use_case_id=use_case, dimension=dimension)
    found = rows.exclude(until__lte=at).order_by("-id")
    signed = next((each for each in found if covers(dimension, each.value, value)), None)
    if signed is not None:
        return signed.signed_by, signed.ref
    if dimension != "model":
        return "", ""
    versions = PolicyVersion.objects.filter(
        at__lte=at, at__gte=at - timedelta(days=90), change__contains=value
    ).order_by("-version")
    for version in versions[:_POLICIES_SEARCHED]:
        for rule in read_body(version.change).use_cases:
            if rule.id == use_case and rule.default_model == value:
                return version.actor, f"policy v{version.version}"
    return "", ""


def covers(dimension: str, signed: str, seen: str) -> bool:
    """Does this signature hold for what was seen? A retry limit holds for all below it."""
    return int(seen) <= int(signed) if dimension == "attempt" else seen == signed


def _values(entry: ledger.WatchedEntry, meanings: _Meanings) -> Iterator[tuple[str, str]]:
    yield "prompt_version", meanings.prompts.get(entry.dims_id, "")[:128]
    model = meanings.asked.get(entry.reservation) or meanings.models.get(entry.model_id, "")
    if model:
        yield "model", model[:128]
    venue = meanings.venues.get(entry.venue_id, "")
    if venue:
        yield "venue", venue[:128]
    if entry.attempt > 0:
        yield "attempt", str(entry.attempt)


def _known(use_cases: set[int]) -> _Known:
    known = _Known()
    rows = ChangeSighting.objects.filter(use_case_id__in=use_cases).order_by("seq", "id")
    for use_case, dimension, value in rows.values_list("use_case_id", "dimension", "value"):
        known.add(use_case, dimension, value)
    return known


def _meanings(calls: Sequence[ledger.WatchedEntry]) -> _Meanings:
    reserved = {each.reservation for each in calls} - {ledger.ZERO_UUID}
    with connection.cursor() as cursor:
        cursor.execute(_ASKED, [list(reserved)])
        found = cursor.fetchall()
    named = {name: _model_meant(name) for _, name in found}
    asked = {reservation: named[name] for reservation, name in found}
    return _Meanings(
        _prompts({each.dims_id for each in calls}),
        _slugs(ledger.Domain.VENUE, {each.venue_id for each in calls}),
        _slugs(ledger.Domain.MODEL, {each.model_id for each in calls}),
        asked,
    )


def _model_meant(name: str) -> str:
    """Which model does this name mean? An alias is no identity, so it is no change either."""
    models = {key.model for key in ledger.offers_meant(model=name, book=ledger.price_book())}
    return models.pop() if len(models) == 1 else name


def _prompts(numbers: set[int]) -> dict[int, str]:
    found = ledger.meanings_of(domain=ledger.Domain.DIMS, numbers=numbers)
    return {number: str(body.get("prompt_version") or "") for number, body in found.items()}


def _slugs(domain: ledger.Domain, numbers: set[int]) -> dict[int, str]:
    found = ledger.meanings_of(domain=domain, numbers=numbers)
    return {number: str(body.get("slug") or "") for number, body in found.items()}
