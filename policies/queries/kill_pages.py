"""How is a kill criterion told: to scripts, in the list, and on its own page?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.queries import list_people
from o10.kernel.errors import FieldError, NotFound, ValidationFailed
from o10.kernel.money import amount_text
from policies.core.kill_pack import PACK, Offered
from policies.core.kill_spec import Spec
from policies.core.kill_text import action_text, progress_ppm, signal_text, value_text
from policies.core.levers import Lever
from policies.core.metrics import METRICS, Metric
from policies.models import KillCriterion, KillEvent, KillReview, KillVersion
from policies.queries.current_policy import current_policy
from policies.queries.envelopes import LIMIT_MOST, AsOf, ledger_position
from policies.queries.kill_drill import Drill, drill
from policies.queries.kill_rows import get_criterion, scope_of, spec_of
from policies.queries.metric_sources import has_source

EVENTS_MOST = 100
SHOWN = 20


class KillScope(msgspec.Struct, frozen=True, kw_only=True):
    """Of what is it measured?"""

    kind: str
    slug: str


class KillLook(msgspec.Struct, frozen=True, kw_only=True):
    """What did the last look see? `value` a decimal text, null = not enough evidence.

    `progress_ppm` = how near it is to its threshold, a million = there.
    """

    evidence: str
    value: str | None
    shown: str
    sample: int
    missing: tuple[str, ...]
    progress_ppm: int | None
    at: datetime | None
    ledger_seq: int


class KillReviewView(msgspec.Struct, frozen=True, kw_only=True):
    """What has the board to decide, who brings it, by when? Money as text; null = no cap.

    `decision` null = it waits.
    """

    opened_at: datetime
    due: date
    owner: str
    cap_an_hour: str | None
    decided_at: datetime | None
    decided_by: str | None
    decision: str | None


class KillView(msgspec.Struct, frozen=True, kw_only=True):
    """How does one criterion read, and where does it stand?"""

    id: str
    name: str
    scope: KillScope
    state: str
    acts: bool
    version: int
    spec: Spec
    signal: str
    action: str
    last: KillLook
    review: KillReviewView | None
    tripped_at: datetime | None
    restorable_at: datetime | None
    override_until: datetime | None
    proposed_at: datetime | None
    created_at: datetime


class KillPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which criteria, and from where does the next page go on? Null = it ends here."""

    items: tuple[KillView, ...]
    next: str | None
    as_of: AsOf


class KillTripView(msgspec.Struct, frozen=True, kw_only=True):
    """When would it have tripped, and what would it have met? Money as text and nanos."""

    at: datetime
    day: date
    value: str
    restored_at: datetime | None
    spent: str
    spent_nanos: str
    calls: int
    avoided: str | None
    avoided_nanos: str | None
    refused: int | None
    reversed_itself: bool


class KillDrillView(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of a drill? `blind` looks had not enough evidence."""

    criterion: str
    start: datetime
    end: datetime
    days: tuple[date, ...]
    trips: tuple[KillTripView, ...]
    false_trips: int
    looks: int
    blind: int
    spent: str
    avoided: str | None
    refused: int | None
    currency: str
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class EventLine:
    """What happened to a criterion when, by whom? `inputs` as in its ledger entry."""

    at: datetime
    kind: str
    before: str
    after: str
    version: int
    actor: str
    reason: str
    inputs: dict[str, Any]
    entry_uid: Any


@dataclass(frozen=True, slots=True)
class VersionLine:
    """How did it read in one version?"""

    version: int
    at: datetime
    actor: str
    reason: str
    signal: str
    action: str


@dataclass(frozen=True, slots=True)
class KillScreen:
    """What stands on the page of one criterion?

    `seqs` are the ledger positions of the newest events, `people` the names of who acted.
    """

    view: KillView
    metric: Metric
    use_case_name: str
    events: tuple[EventLine, ...]
    versions: tuple[VersionLine, ...]
    drill: Drill | None
    currency: str
    as_of: AsOf
    seqs: Mapping[UUID, int]
    people: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KillListScreen:
    """What stands on the list? `offered` of the default pack, which nobody has taken yet."""

    views: tuple[KillView, ...]
    names: dict[str, str]
    offered: tuple[Offered, ...]
    currency: str
    as_of: AsOf


def list_criteria(
    *,
    slugs: frozenset[str] | None = None,
    use_case: str | None = None,
    state: str | None = None,
    cursor: str = "",
    limit: int = LIMIT_MOST,
) -> KillPage:
    """Which criteria are there? By id; `slugs` = only those of these use cases."""
    rows = _rows(slugs=slugs, use_case=use_case, state=state)
    if cursor:
        rows = rows.filter(public__gt=cursor)
    found = list(rows.order_by("public")[: limit + 1])
    more = len(found) > limit
    items = tuple(map(view_of, found[:limit]))
    return KillPage(
        items=items,
        next=items[-1].id if more else None,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def get_kill_view(*, criterion: str, slugs: frozenset[str] | None = None) -> KillView:
    """How does this criterion read?

    Raises: NotFound (`not_found`), also for one of a use case outside of `slugs`.
    """
    return view_of(_within(get_criterion(criterion), slugs))


def get_kill_list(*, use_case: str | None = None) -> KillListScreen:
    """What stands on the list: acting first, then by how near they are?"""
    rows = list(_rows(slugs=None, use_case=use_case, state=None).order_by("public"))
    views = sorted(map(view_of, rows), key=_urgency)
    taken = {row.name for row in rows}
    return KillListScreen(
        views=tuple(views),
        names={row.public: scope_name(row) for row in rows},
        offered=tuple(each for each in PACK if each.name not in taken),
        currency=current_policy().currency,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def get_kill_screen(*, criterion: str, now: datetime, days: int | None = None) -> KillScreen:
    """What stands on the page of this criterion? With a drill of so many days when asked.

    Raises: NotFound (`not_found`).
    """
    row = get_criterion(criterion)
    spec = spec_of(row)
    currency = current_policy().currency
    events = list(KillEvent.objects.filter(criterion=row).order_by("-at", "-id")[:EVENTS_MOST])
    return KillScreen(
        view=view_of(row),
        metric=METRICS[spec.metric],
        use_case_name=scope_name(row),
        events=tuple(
            EventLine(
                at=each.at,
                kind=each.kind,
                before=each.before,
                after=each.after,
                version=each.version,
                actor=each.actor,
                reason=each.reason,
                inputs=each.inputs,
                entry_uid=each.entry_uid,
            )
            for each in events
        ),
        versions=tuple(
            VersionLine(
                version=each.version,
                at=each.at,
                actor=each.actor,
                reason=each.reason,
                signal=signal_text(msgspec.convert(each.spec, Spec), currency=currency),
                action=action_text(msgspec.convert(each.spec, Spec), currency=currency),
            )
            for each in KillVersion.objects.filter(criterion=row).order_by("-version")
        ),
        drill=None
        if days is None
        else drill(spec=spec, scope=scope_of(row), end=now, days=days),
        currency=currency,
        as_of=AsOf(ledger_seq=ledger_position()),
        seqs=_positions([each.entry_uid for each in events[:SHOWN]]),
        people={person.id: person.display_name for person in list_people()},
    )


def drill_criterion(
    *, criterion: str, now: datetime, days: int, slugs: frozenset[str] | None = None
) -> KillDrillView:
    """When would this criterion have tripped in the last days? Reads only.

    Raises: NotFound; ValidationFailed for less than one day or more than 400.
    """
    if not 1 <= days <= 400:
        message = "Between 1 and 400 days."
        raise ValidationFailed(errors=[FieldError("/days", "out_of_range", message)])
    row = _within(get_criterion(criterion), slugs)
    spec = spec_of(row)
    found = drill(spec=spec, scope=scope_of(row), end=now, days=days)
    currency = current_policy().currency
    return KillDrillView(
        criterion=row.public,
        start=found.start,
        end=found.end,
        days=found.days,
        trips=tuple(
            KillTripView(
                at=trip.at,
                day=trip.day,
                value=value_text(METRICS[spec.metric], trip.value, currency=currency),
                restored_at=trip.restored_at,
                spent=amount_text(trip.spent),
                spent_nanos=str(trip.spent),
                calls=trip.calls,
                avoided=None if trip.avoided is None else amount_text(trip.avoided),
                avoided_nanos=None if trip.avoided is None else str(trip.avoided),
                refused=trip.refused,
                reversed_itself=trip.reversed_itself,
            )
            for trip in found.trips
        ),
        false_trips=found.false_trips,
        looks=found.looks,
        blind=found.blind,
        spent=amount_text(found.spent),
        avoided=None if found.avoided is None else amount_text(found.avoided),
        refused=found.refused,
        currency=currency,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def view_of(row: KillCriterion) -> KillView:
    """How is this row told?"""
    spec = spec_of(row)
    currency = current_policy().currency
    return KillView(
        id=row.public,
        name=row.name,
        scope=KillScope(kind=row.scope_kind, slug=_slug(row)),
        state=row.state,
        acts=row.acts,
        version=row.version,
        spec=spec,
        signal=signal_text(spec, currency=currency),
        action=action_text(spec, currency=currency),
        last=_look(row, spec, currency),
        review=_review(row),
        tripped_at=row.tripped_at,
        restorable_at=row.restorable_at,
        override_until=row.override_until,
        proposed_at=row.proposed_at,
        created_at=row.created_at,
    )


def scope_name(row: KillCriterion) -> str:
    """How is what it watches called on a screen?"""
    if row.use_case is not None:
        return str(row.use_case.name)
    return str(row.department.name) if row.department is not None else "The whole company"


def waits_for(metric: str) -> str:
    """What does nobody record here that this metric rests on? Empty = it can be measured."""
    known = METRICS.get(metric)
    return "" if known is None or has_source(metric) else known.keeper


def fraction_of(document: dict[str, Any]) -> Fraction | None:
    """Which value do these stored inputs say?"""
    value = document.get("value")
    return Fraction(int(value["over"]), int(value["under"])) if value else None


def _review(row: KillCriterion) -> KillReviewView | None:
    """The newest: one that is open, or how the last was decided."""
    found = KillReview.objects.filter(criterion=row).order_by("-id").first()
    if found is None:
        return None
    return KillReviewView(
        opened_at=found.opened_at,
        due=found.due,
        owner=found.owner,
        cap_an_hour=None if found.cap_nanos is None else amount_text(found.cap_nanos),
        decided_at=found.decided_at,
        decided_by=found.decided_by or None,
        decision=found.decision or None,
    )


def _look(row: KillCriterion, spec: Spec, currency: str) -> KillLook:
    last = row.last or {}
    value = fraction_of(last)
    evidence = str(last.get("evidence", "none"))
    missing: Sequence[str] = last.get("missing", ())
    return KillLook(
        evidence=evidence,
        value=None if value is None else _decimal(value),
        shown=value_text(METRICS[spec.metric], value, currency=currency),
        sample=int(last.get("sample", 0)),
        missing=tuple(missing),
        progress_ppm=progress_ppm(spec, value) if evidence != "not_enough" else None,
        at=row.looked_at,
        ledger_seq=int(last.get("ledger_seq", 0)),
    )


def _decimal(value: Fraction) -> str:
    """Six places, for scripts; the exact parts stand in the trip entry."""
    sign = "-" if value < 0 else ""
    scaled = int(abs(value) * 1_000_000 + Fraction(1, 2))
    return f"{sign}{scaled // 1_000_000}.{scaled % 1_000_000:06d}"


def _rows(*, slugs: frozenset[str] | None, use_case: str | None, state: str | None) -> Any:
    rows = KillCriterion.objects.select_related("use_case", "department")
    if slugs is not None:
        rows = rows.filter(use_case__slug__in=slugs)
    if use_case is not None:
        own = rows.filter(use_case__slug=use_case)
        rule = current_policy().snapshot.use_cases.get(use_case)
        department = 0 if rule is None else rule.department
        rows = own | rows.filter(department_id=department) | rows.filter(scope_kind="company")
    return rows if state is None else rows.filter(state=state)


def _positions(uids: Sequence[UUID | None]) -> dict[UUID, int]:
    found = {}
    for uid in uids:
        stored = uid and ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=uid)
        if uid and stored and stored.seq is not None:
            found[uid] = stored.seq
    return found


def _within(row: KillCriterion, slugs: frozenset[str] | None) -> KillCriterion:
    if slugs is not None and (row.use_case is None or row.use_case.slug not in slugs):
        raise NotFound(kind="kill_criterion", id=row.public)
    return row


def _slug(row: KillCriterion) -> str:
    if row.use_case is not None:
        return str(row.use_case.slug)
    return str(row.department.slug) if row.department is not None else ""


def _urgency(view: KillView) -> tuple[int, int, str]:
    order = ("tripped", "restoring", "overridden", "armed", "draft", "retired")
    strict = Lever(view.spec.lever).rank if view.acts else 0
    near = view.last.progress_ppm or 0
    return order.index(view.state), -(strict * 10**9 + near), view.id
