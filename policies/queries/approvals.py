"""Which changes wait for whom, who did what about them, and what came of them?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access import queries as access
from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action, Role
from o10.kernel.errors import NotFound
from policies.core import approvals as core
from policies.core.approvals import ApprovalPolicy, Approver, Asked, Vote
from policies.models import Approval, ApprovalStep
from policies.queries.approval_policy import approval_policy, approval_policy_of
from policies.queries.envelopes import AsOf, ledger_position

OPEN_MOST = 1_000
"""Open requests looked at for one inbox."""
SYSTEM = "system"
KEY_PREFIX = "key_"


class PartyView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is it: the person or key that answers, by name, and under which role?"""

    id: str
    name: str
    role: str


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """What did somebody do about a request? `entry` is the uid of its ledger entry."""

    number: int
    act: str
    by: PartyView
    at: datetime
    reason: str
    until: datetime | None
    for_whom: PartyView | None
    to_whom: PartyView | None
    entry: str


class DiffView(msgspec.Struct, frozen=True, kw_only=True):
    """Which line changes, from what to what?"""

    label: str
    old: str
    new: str


class EffectView(msgspec.Struct, frozen=True, kw_only=True):
    """What follows if it is approved, declined, or if nobody acts?"""

    label: str
    approved: str
    declined: str
    nobody: str


class EvidenceView(msgspec.Struct, frozen=True, kw_only=True):
    """Which figure supports it, and where does it come from?"""

    label: str
    value: str
    note: str
    url: str


class TextView(msgspec.Struct, frozen=True, kw_only=True):
    """How was the change told when it was asked for?

    Units: `money_nanos` the effect a month in nanos as text, null = not known.
    """

    title: str
    rows: tuple[DiffView, ...] = ()
    effect: tuple[EffectView, ...] = ()
    evidence: tuple[EvidenceView, ...] = ()
    money_nanos: str | None = None
    url: str = ""


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """What is one request: the exact change, who asked, who has agreed, what is still needed?

    `needs` are the needs that are open (`controller`, `controller|cfo`, `compliance`), `asked`
    all of them. `until` is the earliest end that maker or approvers set. `state` is `expired`
    from the instant its time ends. `result` are the ids of what was made.
    """

    id: str
    kind: str
    subject: str
    state: str
    version: int
    maker: PartyView
    reason: str
    change: dict[str, Any]
    change_hash: str
    base: str
    text: TextView
    needs: tuple[str, ...]
    asked: tuple[str, ...]
    raised_at: datetime
    expires_at: datetime
    until: datetime | None
    decided_at: datetime | None
    policy_version: int
    steps: tuple[StepView, ...]
    result: dict[str, str]

    @property
    def is_open(self) -> bool:
        """Can something still be done about it?"""
        return self.state == "open"

    @property
    def approved_by(self) -> tuple[PartyView, ...]:
        """Who has agreed?"""
        return tuple(step.by for step in self.steps if step.act == "approved")


class ApprovalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests, and from where does the next page go on? Null = it ends here."""

    items: tuple[ApprovalView, ...]
    next: str | None
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class Inbox:
    """What waits for this caller, what did they ask for, what is decided?

    `done` are the newest decisions; `done_count` counts all.
    """

    mine: tuple[ApprovalView, ...]
    raised: tuple[ApprovalView, ...]
    others: tuple[ApprovalView, ...]
    done: tuple[ApprovalView, ...]
    done_count: int


def get_approval(*, approval: str, now: datetime) -> ApprovalView:
    """Which request has this id?

    Raises: NotFound (`not_found`).
    """
    return _views([find_row(approval)], now=now)[0]


def find_row(approval: str) -> Approval:
    """Which row has this id?

    Raises: NotFound (`not_found`).
    """
    row: Approval | None = Approval.objects.filter(public=approval[:64]).first()
    if row is None:
        raise NotFound(kind="approval", id=approval)
    return row


def view_of(row: Approval, *, now: datetime) -> ApprovalView:
    """How is this row told?"""
    return _views([row], now=now)[0]


def find_open(*, subject: str, now: datetime) -> tuple[ApprovalView, ...]:
    """Which requests about this subject are open? Oldest first."""
    rows = Approval.objects.filter(subject=subject, state="open", expires_at__gt=now)
    return tuple(_views(list(rows.order_by("id")[:OPEN_MOST]), now=now))


def list_approvals(
    *,
    now: datetime,
    state: str = "",
    subject: str = "",
    kind: str = "",
    cursor: str = "",
    limit: int = 50,
) -> ApprovalPage:
    """One page of requests, newest first.

    Raises: NotFound (`not_found`) for a cursor that is no request.
    """
    rows = Approval.objects.all()
    if state == "open":
        rows = rows.filter(state="open", expires_at__gt=now)
    elif state == "expired":
        rows = rows.filter(state__in=("open", "expired"), expires_at__lte=now)
    elif state:
        rows = rows.filter(state=state)
    if subject:
        rows = rows.filter(subject=subject)
    if kind:
        rows = rows.filter(kind=kind)
    if cursor:
        rows = rows.filter(id__lt=find_row(cursor).id)
    found = list(rows.order_by("-id")[: limit + 1])
    page = found[:limit]
    return ApprovalPage(
        items=tuple(_views(page, now=now)),
        next=page[-1].public if len(found) > limit else None,
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def inbox(*, caller: Caller, now: datetime, done_most: int = 50) -> Inbox:
    """What waits for this caller, what did they ask for, what was decided lately?"""
    rows = _open_rows(now)
    views = _views(rows, now=now)
    waiting = _waiting_ids(rows, caller, now)
    mine = tuple(view for view in views if view.id in waiting)
    raised = tuple(view for view in views if view.maker.id == caller.principal)
    others = tuple(
        view for view in views if view.id not in waiting and view.maker.id != caller.principal
    )
    closed = Approval.objects.exclude(state="open", expires_at__gt=now)
    done = list(closed.order_by("-id")[:done_most])
    return Inbox(mine, raised, others, tuple(_views(done, now=now)), closed.count())


def count_waiting(*, caller: Caller, now: datetime) -> int:
    """How many requests wait for this caller? For the navigation of every page."""
    rows = _open_rows(now)
    return len(_waiting_ids(rows, caller, now)) if rows else 0


def approvers_of(caller: Caller, delegates: Mapping[str, str]) -> list[Approver]:
    """As whom may this caller act: for themselves, then for those who handed over a vote?"""
    is_key = caller.key_id.startswith(KEY_PREFIX)
    person_role = None
    if is_key and caller.principal != caller.key_id:
        person = access.find_person(caller.principal)
        # A key outlives the rights of the person it stands for no longer than they do.
        person_role = Role(person.role) if person and person.is_active else Role.VIEWER
    own = Approver(caller.principal, caller.role, is_key, person_role)
    found = [own]
    for giver, taker in sorted(delegates.items()):
        person = access.find_person(giver) if taker == caller.principal else None
        if person is not None and person.is_active:
            found.append(
                Approver(caller.principal, Role(person.role), is_key, None, for_whom=giver)
            )
    return found


def asked_of(row: Approval, steps: Sequence[ApprovalStep]) -> Asked:
    """What is this request as far as deciding it goes?"""
    return Asked(
        approval=row.public,
        maker=row.maker,
        needs=tuple(frozenset(need) for need in row.needs),
        state=row.state,
        expires_at=row.expires_at,
        votes=tuple(
            Vote(step.principal, frozenset(step.names), step.for_whom)
            for step in steps
            if step.act == "approved"
        ),
        delegates={step.for_whom: step.to_whom for step in steps if step.act == "delegated"},
    )


def can_decide(view: ApprovalView, *, caller: Caller, now: datetime) -> bool:
    """May this caller approve this request now?"""
    row = find_row(view.id)
    return bool(_waiting_ids([row], caller, now))


def can_take_part(caller: Caller) -> bool:
    """May this caller ask about requests, or agree to some? For buttons."""
    return can(caller=caller, action=Action.COUNTERSIGN)


def position_of_entry(uid: str) -> int | None:
    """At which ledger position does this entry stand? None while it waits to be sealed."""
    stored = ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=UUID(uid))
    return None if stored is None else stored.seq


def policy_for(row: Approval) -> ApprovalPolicy:
    """Under which policy is this request decided? The one it was made under, but for keys.

    Whether keys may approve is asked of the policy in force now: switching it off must hold at
    once.
    """
    own = approval_policy_of(row.policy_version)
    now = approval_policy().policy
    return msgspec.structs.replace(
        own, keys_may_approve=own.keys_may_approve and now.keys_may_approve
    )


def _open_rows(now: datetime) -> list[Approval]:
    rows = Approval.objects.filter(state="open", expires_at__gt=now)
    return list(rows.order_by("expires_at", "id")[:OPEN_MOST])


def _steps_of(rows: Iterable[Approval]) -> dict[int, list[ApprovalStep]]:
    found: dict[int, list[ApprovalStep]] = {row.id: [] for row in rows}
    steps = ApprovalStep.objects.filter(approval_id__in=list(found))
    for step in steps.order_by("approval_id", "number"):
        found[step.approval_id].append(step)
    return found


def _waiting_ids(rows: Sequence[Approval], caller: Caller, now: datetime) -> set[str]:
    if core.APPROVING_ROLES.isdisjoint({caller.role}) and not rows:
        return set()
    steps = _steps_of(rows)
    current = approval_policy()
    policies = {current.version: current.policy}
    found = set()
    for row in rows:
        asked = asked_of(row, steps[row.id])
        if row.policy_version not in policies:
            policies[row.policy_version] = approval_policy_of(row.policy_version)
        own = policies[row.policy_version]
        policy = msgspec.structs.replace(
            own,
            keys_may_approve=own.keys_may_approve and current.policy.keys_may_approve,
        )
        if any(
            core.can_approve(asked=asked, approver=approver, policy=policy, now=now)
            for approver in approvers_of(caller, asked.delegates)
        ):
            found.add(row.public)
    return found


def _views(rows: Sequence[Approval], *, now: datetime) -> list[ApprovalView]:
    steps = _steps_of(rows)
    names = names_of(
        {row.maker for row in rows}
        | {
            name
            for each in steps.values()
            for step in each
            for name in (step.principal, step.for_whom, step.to_whom)
        }
    )
    return [_view(row, steps[row.id], names, now) for row in rows]


def _view(
    row: Approval, steps: Sequence[ApprovalStep], names: Mapping[str, str], now: datetime
) -> ApprovalView:
    asked = asked_of(row, steps)
    ends = [each.until for each in steps if each.until is not None]
    if row.until is not None:
        ends.append(row.until)
    state = row.state
    if state == "open" and now >= row.expires_at:
        state = "expired"
    return ApprovalView(
        id=row.public,
        kind=row.kind,
        subject=row.subject,
        state=state,
        version=row.version,
        maker=PartyView(
            id=row.maker, name=names.get(row.maker, row.maker), role=row.maker_role
        ),
        reason=row.reason,
        change=row.change,
        change_hash=row.change_hash,
        base=row.base,
        text=msgspec.convert(row.text, TextView),
        needs=core.texts_of(core.unmet(asked.needs, asked.votes)),
        asked=core.texts_of(asked.needs),
        raised_at=row.raised_at.astimezone(UTC),
        expires_at=row.expires_at.astimezone(UTC),
        until=min(ends).astimezone(UTC) if ends else None,
        decided_at=row.decided_at.astimezone(UTC) if row.decided_at else None,
        policy_version=row.policy_version,
        steps=tuple(_step(each, names) for each in steps),
        result=dict(row.result or {}),
    )


def _step(step: ApprovalStep, names: Mapping[str, str]) -> StepView:
    def party(name: str) -> PartyView | None:
        return PartyView(id=name, name=names.get(name, name), role="") if name else None

    return StepView(
        number=step.number,
        act=step.act,
        by=PartyView(
            id=step.principal, name=names.get(step.principal, step.principal), role=step.role
        ),
        at=step.at.astimezone(UTC),
        reason=step.reason,
        until=step.until.astimezone(UTC) if step.until else None,
        for_whom=party(step.for_whom),
        to_whom=party(step.to_whom),
        entry=str(step.entry_uid),
    )


def names_of(ids: set[str]) -> dict[str, str]:
    """How are these people and keys called on screen?"""
    found = {SYSTEM: "o10 itself"}
    people = {each for each in ids if each.startswith("usr_")}
    if people:
        found |= {
            person.id: person.display_name
            for person in access.list_people()
            if person.id in people
        }
    for each in ids:
        if each.startswith(KEY_PREFIX):
            key = access.find_key(each)
            if key is not None:
                found[each] = f"key {key.name}"
    return found
