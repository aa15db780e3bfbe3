"""How is a request decided? Approve, decline, ask, delegate, withdraw; time ends the rest.

The last approval carries the change out in its own transaction: the next call obeys it. A
request whose base has changed becomes void instead; one that nobody answers expires, and
nothing is ever approved by silence.
Locks: the key, the request's row, then those of the change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from ledger import facade as ledger
from o10.access import queries as access
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action, Role
from o10.kernel import ids
from o10.kernel.errors import (
    FieldError,
    Forbidden,
    NotFound,
    O10Error,
    PreconditionFailed,
    SelfApproval,
    ValidationFailed,
)
from policies.core import approvals as core
from policies.core.approvals import AlreadyActed, Approver, BaseChanged, Vote
from policies.models import Approval, ApprovalStep
from policies.operations.approval_steps import Step, check_reason, move_on, write_step
from policies.operations.change_kinds import Applied, get_kind
from policies.operations.propose_change import check_until
from policies.operations.raise_alert import raise_alert
from policies.queries.approvals import (
    KEY_PREFIX,
    SYSTEM,
    ApprovalView,
    approvers_of,
    asked_of,
    find_row,
    policy_for,
    view_of,
)

SWEEP_MOST = 200
Steps = list[ApprovalStep]
Decide = Callable[[Approval, Steps], Step]


@dataclass(slots=True)
class _Taken:
    """Which step was taken on which row, if it was not a repeat?"""

    row: Approval | None = None
    step: Step | None = None


def approve(
    *,
    approval: str,
    actor: Caller,
    now: datetime,
    reason: str = "",
    until: datetime | None = None,
    key: str = "",
    expected_version: int | None = None,
) -> ApprovalView:
    """How does the request stand after this person's yes? The last one carries it out.

    `until` lets the change hold before that instant only, where its kind knows an end.
    Raises: as `check_may_approve`: NotOpen, SelfApproval, AlreadyActed, Forbidden; BaseChanged
    (`base_changed`), then the request is void; ValidationFailed; PreconditionFailed; NotFound;
    IdempotencyMismatch; what carrying it out raises, then nothing was written.
    """
    check(caller=actor, action=Action.COUNTERSIGN)
    said = check_reason(reason, required=False)

    def decide(row: Approval, steps: Steps) -> Step:
        kind = get_kind(row.kind)
        check_until(until, takes=kind.takes_until, now=now)
        vote, approver = _vote(row, steps, actor, now)
        if kind.base_of(row.change) != row.base:
            return _by_system("voided", "void", "What it was made against has changed.", now)
        asked = asked_of(row, steps)
        done = not core.unmet(asked.needs, [*asked.votes, vote])
        return Step(
            act="approved",
            actor=actor.actor,
            principal=actor.principal,
            role=approver.role.value,
            at=now,
            reason=said,
            names=tuple(vote.names),
            for_whom=vote.for_whom,
            until=until,
            state="approved" if done else "open",
        )

    def carry_out(row: Approval) -> Applied:
        return get_kind(row.kind).apply(row.change, view_of(row, now=now), actor, now)

    asked = ["approve", said, until]
    view = _act(approval, actor.key_id, key, asked, decide, now, expected_version, carry_out)
    if view.state == "void":
        raise BaseChanged(approval=approval)
    return view


def decline(
    *,
    approval: str,
    actor: Caller,
    now: datetime,
    reason: str,
    key: str = "",
    expected_version: int | None = None,
) -> ApprovalView:
    """How does the request stand after this person's no? It is over; nothing changes.

    Whoever could approve may decline, and says why.
    Raises: as `approve`.
    """
    check(caller=actor, action=Action.COUNTERSIGN)
    said = check_reason(reason, required=True)

    def decide(row: Approval, steps: Steps) -> Step:
        vote, approver = _vote(row, steps, actor, now)
        return Step(
            act="declined",
            actor=actor.actor,
            principal=actor.principal,
            role=approver.role.value,
            at=now,
            reason=said,
            for_whom=vote.for_whom,
            state="declined",
        )

    asked = ["decline", said]
    return _act(approval, actor.key_id, key, asked, decide, now, expected_version)


def withdraw(
    *,
    approval: str,
    actor: Caller,
    now: datetime,
    reason: str = "",
    key: str = "",
    expected_version: int | None = None,
) -> ApprovalView:
    """How does the request stand once who made it takes it back? It is over.

    Raises: NotOpen; Forbidden for everybody else; NotFound; PreconditionFailed.
    """
    said = check_reason(reason, required=False)

    def decide(row: Approval, steps: Steps) -> Step:
        core.check_open(asked=asked_of(row, steps), now=now)
        if row.maker != actor.principal:
            raise Forbidden(action="withdraw", role=actor.role.value)
        return _own(actor, "withdrawn", now, said, state="withdrawn")

    asked = ["withdraw", said]
    return _act(approval, actor.key_id, key, asked, decide, now, expected_version)


def ask(
    *, approval: str, actor: Caller, now: datetime, reason: str, key: str = ""
) -> ApprovalView:
    """How does the request stand after a question? It waits on; who made it answers here, too.

    Raises: NotOpen; Forbidden for who neither made it nor may take part in approvals; NotFound.
    """
    said = check_reason(reason, required=True)

    def decide(row: Approval, steps: Steps) -> Step:
        core.check_open(asked=asked_of(row, steps), now=now)
        if row.maker == actor.principal:
            return _own(actor, "answered", now, said)
        check(caller=actor, action=Action.COUNTERSIGN)
        return _own(actor, "asked", now, said)

    return _act(approval, actor.key_id, key, ["ask", said], decide, now, None)


def delegate(
    *, approval: str, actor: Caller, to: str, now: datetime, reason: str = "", key: str = ""
) -> ApprovalView:
    """How does the request stand once this person has handed their vote to another one?

    The two stay one voter: as soon as either has agreed the other no longer can.
    Raises: as `approve`; ValidationFailed for somebody who can't take a vote; SelfApproval when
    it is who asked; Forbidden for a key.
    """
    check(caller=actor, action=Action.COUNTERSIGN)
    said = check_reason(reason, required=False)
    if actor.key_id.startswith(KEY_PREFIX):
        raise Forbidden(action="delegate", reason="a_key_has_no_vote_to_hand_over")

    def decide(row: Approval, steps: Steps) -> Step:
        asked = asked_of(row, steps)
        own = approvers_of(actor, {})[0]
        core.check_may_approve(asked=asked, approver=own, policy=policy_for(row), now=now)
        taker = _taker(to, row, actor)
        if any(taker in vote.people for vote in asked.votes):
            raise AlreadyActed(approval=row.public, person=taker)
        return Step(
            act="delegated",
            actor=actor.actor,
            principal=actor.principal,
            role=actor.role.value,
            at=now,
            reason=said,
            for_whom=actor.principal,
            to_whom=taker,
        )

    return _act(approval, actor.key_id, key, ["delegate", to, said], decide, now, None)


def end_due(*, now: datetime) -> int:
    """How many requests ended by themselves: their time is over, or their base has changed?"""
    ended = 0
    for row in Approval.objects.filter(state="open").order_by("expires_at")[:SWEEP_MOST]:
        step = None
        if row.expires_at <= now:
            step = _by_system("expired", "expired", "Nobody acted before its time ended.", now)
        elif _base_changed(row):
            step = _by_system("voided", "void", "What it was made against has changed.", now)
        if step is not None:
            ended += _end(row.public, step, now)
    return ended


def _end(approval: str, step: Step, now: datetime) -> int:
    """Somebody may have been faster: then there is nothing to end."""

    def decide(row: Approval, _: Steps) -> Step:
        if row.state != "open":
            raise core.NotOpen(approval=approval, state=row.state)
        return step

    try:
        with transaction.atomic():
            view = _act(approval, SYSTEM, step.act, [step.act], decide, now, None)
            if step.act == "expired" and core.rule_of(view.kind).confirms:
                _tell_unconfirmed(view, now)
    except core.NotOpen:
        return 0
    return 1


def _tell_unconfirmed(view: ApprovalView, now: datetime) -> None:
    """A limit that nobody looked at stays, and is no secret."""
    raise_alert(
        kind="limit_unconfirmed",
        subject=view.id,
        window="once",
        title=f"Nobody confirmed in time: {view.text.title}",
        detail="The limit stays in force. Undoing it is a request of its own.",
        severity="warning",
        now=now,
        url=f"/approvals/{view.id}/",
    )


def _act(
    approval: str,
    who: str,
    key: str,
    asked: list[Any],
    decide: Decide,
    now: datetime,
    expected_version: int | None,
    carry_out: Callable[[Approval], Applied] | None = None,
) -> ApprovalView:
    """One step under the lock of its row, and what follows from it, in one transaction."""
    find_row(approval)
    taken = _Taken()

    def run(uid: UUID) -> list[ledger.Draft]:
        row = Approval.objects.select_for_update().get(public=approval)
        steps = list(row.steps.order_by("number"))
        if expected_version is not None and row.version != expected_version:
            raise PreconditionFailed(approval=approval, version=row.version)
        step = decide(row, steps)
        taken.row, taken.step = row, step
        return [write_step(row, step, uid)]

    with transaction.atomic():
        ledger.write(
            ledger_id=ledger.COMPANY_LEDGER,
            scope="approval",
            key=f"{who}#{approval}#{key or ids.new_uuid()}",
            request_hash=sha256(msgspec.json.encode(asked)).digest(),
            run=run,
        )
        if taken.row is not None and taken.step is not None:
            result = None
            if carry_out is not None and taken.step.state == "approved":
                result = dict(carry_out(taken.row).ids)
            move_on(taken.row, taken.step, result=result)
    return view_of(find_row(approval), now=now)


def _vote(row: Approval, steps: Steps, actor: Caller, now: datetime) -> tuple[Vote, Approver]:
    """As whom may this caller vote? For themselves if they can, else for who delegated.

    Raises: why they can't vote for themselves, when nobody's vote is theirs to give.
    """
    asked, policy = asked_of(row, steps), policy_for(row)
    refused: O10Error | None = None
    for approver in approvers_of(actor, asked.delegates):
        try:
            vote = core.check_may_approve(
                asked=asked, approver=approver, policy=policy, now=now
            )
        except (Forbidden, AlreadyActed, SelfApproval) as error:
            refused = refused or error
            continue
        return vote, approver
    raise refused or Forbidden(action="approve", role=actor.role.value)


def _taker(to: str, row: Approval, actor: Caller) -> str:
    person = access.find_person(to[:64])
    if person is None or not person.is_active:
        raise NotFound(kind="person", id=to)
    if person.id == row.maker:
        raise SelfApproval(approval=row.public)
    if person.id == actor.principal or Role(person.role) not in core.DELEGATES:
        roles = ", ".join(sorted(core.DELEGATES))
        message = f"Another person with one of the roles {roles}."
        raise ValidationFailed(errors=[FieldError("/to", "not_allowed", message)])
    return str(person.id)


def _own(actor: Caller, act: str, now: datetime, said: str, *, state: str = "open") -> Step:
    return Step(
        act=act,
        actor=actor.actor,
        principal=actor.principal,
        role=actor.role.value,
        at=now,
        reason=said,
        state=state,
    )


def _by_system(act: str, state: str, reason: str, now: datetime) -> Step:
    return Step(
        act=act,
        actor=SYSTEM,
        principal=SYSTEM,
        role=SYSTEM,
        at=now,
        reason=reason,
        state=state,
    )


def _base_changed(row: Approval) -> bool:
    """A kind that can't say so any more, its subject being gone, has changed, too."""
    try:
        return bool(get_kind(row.kind).base_of(row.change) != row.base)
    except O10Error:
        return True
