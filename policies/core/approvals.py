"""Who may approve what? The table of maker and checker, and whether enough people have agreed.

Pure: who asked, who has acted and what the policy says go in; yes, no and why come out. Maker
and checker are different people, always; one person counts once, under whatever key or for
whomever they act. Nothing is approved because nobody answered.
Source: product.md section 8; docs/algorithms/approvals.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import msgspec

from o10.access.roles import Role
from o10.kernel.errors import Conflict, FieldError, Forbidden, SelfApproval, ValidationFailed
from o10.kernel.money import NANOS_PER_UNIT, Nanos

PPM: Final = 1_000_000
COMPLIANCE: Final = "compliance"
"""The need that only a person named in the approval policy meets, never `admin`."""
EXPIRY_DAYS_MOST: Final = 90
PEOPLE_MOST: Final = 5
TIERS_MOST: Final = 10

_OWNER, _FINOPS, _CONTROLLER = Role.OWNER, Role.FINOPS, Role.CONTROLLER
_CFO, _ADMIN = Role.CFO, Role.ADMIN
Need = frozenset[str]
"""Any one of these roles (or `compliance`) meets it; each need has a person of its own."""


class AlreadyActed(Conflict):
    """Has this person agreed already, or somebody for them? Fields: `approval`."""

    code = "already_approved"


class NotOpen(Conflict):
    """Has the request been decided, or did its time end? Fields: `approval`, `state`."""

    code = "approval_closed"


class BaseChanged(Conflict):
    """Did what the change was made against change meanwhile? Fields: `approval`.

    The request is void; it is asked again against what holds now.
    """

    code = "base_changed"


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Who may ask for a change of this kind, and whose agreement does it need?

    `above` are needs that come on top above the materiality limit. `by_system` = a job may
    ask. `confirms` = it took effect at once and is looked at afterwards.
    """

    makers: frozenset[Role]
    needs: tuple[Need, ...]
    above: tuple[Need, ...] = ()
    by_system: bool = False
    confirms: bool = False


def _need(*names: str) -> Need:
    return frozenset(str(name) for name in names)


_MONEY = ApprovalRule(
    makers=frozenset({_OWNER, _FINOPS}), needs=(_need(_CONTROLLER),), above=(_need(_CFO),)
)
_AFTERWARDS = ApprovalRule(
    makers=frozenset({_OWNER, _FINOPS, _CONTROLLER, _CFO}),
    needs=(_need(_FINOPS, _CONTROLLER, _CFO),),
    confirms=True,
)
_RESTORE = ApprovalRule(
    makers=frozenset({_OWNER, _FINOPS, _CONTROLLER}), needs=(_need(_CONTROLLER, _CFO),)
)
_KILL = ApprovalRule(
    makers=frozenset({_OWNER, _FINOPS, _CONTROLLER}),
    needs=(_need(_CONTROLLER),),
    by_system=True,
)
_ROLLOUT = ApprovalRule(
    makers=frozenset({_OWNER, _FINOPS}), needs=(_need(_OWNER), _need(_CONTROLLER))
)
_FINANCE = ApprovalRule(makers=frozenset({_FINOPS}), needs=(_need(_CONTROLLER),))
_PLANNED = ApprovalRule(makers=frozenset({_OWNER, _FINOPS}), needs=(_need(_CONTROLLER),))
_ACCESS = ApprovalRule(makers=frozenset({_ADMIN}), needs=(_need(_ADMIN, _CONTROLLER),))

RULES: Final[Mapping[str, ApprovalRule]] = MappingProxyType(
    {
        "envelope.create": _MONEY,
        "envelope.raise": _MONEY,
        "envelope.uncap": _MONEY,
        "envelope.top_up": _MONEY,
        "envelope.loosen": _MONEY,
        "envelope.confirm": _AFTERWARDS,
        "envelope.restore": _RESTORE,
        "use_case.restore": _RESTORE,
        "use_case.confirm": _AFTERWARDS,
        "kill.create": _KILL,
        "kill.loosen": _KILL,
        "kill.override": _KILL,
        "kill.override_violations": ApprovalRule(makers=_KILL.makers, needs=(_need(_CFO),)),
        "kill.restore": _KILL,
        "kill.trip": _KILL,
        "rollout.canary": _ROLLOUT,
        "rollout.step": _ROLLOUT,
        "rollout.enforce": _ROLLOUT,
        "price.refresh": ApprovalRule(
            makers=frozenset({_FINOPS}), needs=(_need(_CONTROLLER),), by_system=True
        ),
        "price.contract": _FINANCE,
        "price.override": _FINANCE,
        "price.revaluation": _FINANCE,
        "price.release": _FINANCE,
        "commitment.set": _FINANCE,
        "offer.approve": ApprovalRule(
            makers=frozenset({_OWNER, _FINOPS}), needs=(_need(_CONTROLLER), _need(COMPLIANCE))
        ),
        "outcome.value": _PLANNED,
        "plan.set": _PLANNED,
        "allocation.rule": _PLANNED,
        "allocation.run": _FINANCE,
        "attribution.rule": _PLANNED,
        "utility.weights": _PLANNED,
        "share.link": _PLANNED,
        "change.signed": _PLANNED,
        "savings.statement": _FINANCE,
        "reconcile.book": _FINANCE,
        "accrual.book": _FINANCE,
        "period.close": _FINANCE,
        "pack.publish": ApprovalRule(
            makers=frozenset({_FINOPS}), needs=(_need(_CONTROLLER), _need(_CFO))
        ),
        "ledger.reversal": _FINANCE,
        "ledger.adjust": _FINANCE,
        "ledger.write_off": _FINANCE,
        "person.role": _ACCESS,
        "person.create": _ACCESS,
        "key.create": _ACCESS,
        "approval.policy": ApprovalRule(makers=frozenset({_CONTROLLER}), needs=(_need(_CFO),)),
    }
)
"""Every kind of change that needs a second person, row by row of product.md section 8."""

APPROVING_ROLES: Final = frozenset(
    role for role in Role for rule in RULES.values() for need in rule.needs if role in need
) | {_CFO}
"""Roles that can meet some need."""
DELEGATES: Final = frozenset({_OWNER, _FINOPS, _CONTROLLER, _CFO})
"""Whom an approver may hand their vote to: never who reads only, never who keeps people."""


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Above which amount do how many people have to agree? Units: nanos of the ledger."""

    above_nanos: Nanos
    people: int


class ApprovalPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What does the company itself say about approvals? Versioned; changed by two people.

    Units: `materiality_nanos` nanos; `materiality_parent_ppm` millionths of the parent's cap;
    a change is material above either. Running requests keep the version they were made under.
    """

    materiality_nanos: Nanos = 10_000 * NANOS_PER_UNIT
    materiality_parent_ppm: int = 100_000
    expiry_days: int = 7
    confirm_hours: int = 24
    keys_may_approve: bool = False
    compliance_approvers: tuple[str, ...] = ()
    tiers: tuple[Tier, ...] = ()


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """How much money does the change move? `unlimited` = no number bounds it.

    Units: nanos; `parent_nanos` the cap of the envelope above, None without one.
    """

    nanos: Nanos = 0
    parent_nanos: Nanos | None = None
    unlimited: bool = False


@dataclass(frozen=True, slots=True)
class Approver:
    """Who wants to act on a request?

    `principal` answers for it: a person, or a key of the command line. `role` is the one acted
    under; `person_role` the role of the person whom a key stands for, None for a key that
    stands for itself. `for_whom` is who delegated their vote.
    """

    principal: str
    role: Role
    is_key: bool = False
    person_role: Role | None = None
    for_whom: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """Who has agreed, under which role, and whose vote was it?"""

    principal: str
    names: frozenset[str]
    for_whom: str = ""

    @property
    def people(self) -> frozenset[str]:
        """Which people does this vote use up?"""
        return frozenset({self.principal, self.for_whom} - {""})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is a request as far as deciding it goes? `delegates`: from whom to whom."""

    approval: str
    maker: str
    needs: tuple[Need, ...]
    state: str
    expires_at: datetime
    votes: tuple[Vote, ...] = ()
    delegates: Mapping[str, str] = field(default_factory=dict)


def rule_of(kind: str) -> ApprovalRule:
    """Which row of the table is this kind?

    Raises: KeyError for a kind that is not in the table: such a change can't be asked for.
    """
    return RULES[kind]


def can_make(*, kind: str, role: Role | None) -> bool:
    """May a person of this role ask for a change of this kind? None = a job of the system."""
    rule = rule_of(kind)
    return rule.by_system if role is None else role in rule.makers


def check_may_make(*, kind: str, role: Role | None) -> None:
    """May a person of this role ask for a change of this kind?

    Raises: Forbidden (`forbidden`) with the kind and who could.
    """
    if not can_make(kind=kind, role=role):
        makers = ", ".join(sorted(rule_of(kind).makers))
        raise Forbidden(action=kind, role=role.value if role else "system", makers=makers)


def is_material(weight: Weight, policy: ApprovalPolicy) -> bool:
    """Is this above the materiality limit: the amount, or the share of the parent?"""
    if weight.unlimited or abs(weight.nanos) > policy.materiality_nanos:
        return True
    if weight.parent_nanos is None:
        return False
    return abs(weight.nanos) * PPM > weight.parent_nanos * policy.materiality_parent_ppm


def needs_of(*, kind: str, weight: Weight, policy: ApprovalPolicy) -> tuple[Need, ...]:
    """Whose agreement does this change need? One need, one person.

    The kind's own needs, those above materiality, then more approvers until the number of the
    amount's tier is reached; these may be anybody whom the kind names.
    """
    rule = rule_of(kind)
    needs = rule.needs
    if rule.above and is_material(weight, policy):
        needs += rule.above
    if rule.confirms:
        return needs
    anybody = frozenset[str]().union(*rule.needs, *rule.above) - {COMPLIANCE}
    return needs + (anybody,) * max(0, people_for(weight, policy) - len(needs))


def people_for(weight: Weight, policy: ApprovalPolicy) -> int:
    """How many people have to agree to an amount of this size?"""
    reached = [
        tier.people
        for tier in policy.tiers
        if weight.unlimited or abs(weight.nanos) > tier.above_nanos
    ]
    return max(reached, default=1)


def unmet(needs: Sequence[Need], votes: Sequence[Vote]) -> tuple[Need, ...]:
    """Which needs are open after these votes? Each vote meets one, in the best way."""
    best: tuple[Need, ...] = tuple(needs)
    if not votes:
        return best
    first, rest = votes[0], votes[1:]
    for place, need in enumerate(needs):
        if first.names & need:
            left = unmet([*needs[:place], *needs[place + 1 :]], rest)
            if len(left) < len(best):
                best = left
    without = unmet(needs, rest)
    return without if len(without) < len(best) else best


def names_of(approver: Approver, policy: ApprovalPolicy) -> frozenset[str]:
    """Which needs can this approver meet at all?

    A key has the role it was given, and only as far as the person it stands for has it, too: a
    key made by an administrator gives no authority over money.
    """
    names = {approver.role.value}
    if approver.person_role is not None and approver.person_role is not approver.role:
        names = set()
    is_person = not approver.is_key
    named = (approver.for_whom or approver.principal) in policy.compliance_approvers
    if is_person and named and _ADMIN not in {approver.role, approver.person_role}:
        names.add(COMPLIANCE)
    return frozenset(names)


def check_may_approve(
    *, asked: Asked, approver: Approver, policy: ApprovalPolicy, now: datetime
) -> Vote:
    """May this approver agree to this request? The vote that would be theirs.

    Raises: NotOpen (`approval_closed`) once it is decided or its time has ended; SelfApproval
    (`self_approval`) for who asked, or a key or delegate of theirs; AlreadyActed
    (`already_approved`) for who has agreed before; Forbidden (`forbidden`) when keys may not
    approve here, or the role meets none of the needs that are open.
    """
    check_open(asked=asked, now=now)
    people = frozenset({approver.principal, approver.for_whom} - {""})
    if asked.maker in people:
        raise SelfApproval(approval=asked.approval)
    if approver.is_key and not policy.keys_may_approve:
        raise Forbidden(action="approve", reason="keys_may_not_approve")
    if any(people & vote.people for vote in asked.votes):
        raise AlreadyActed(approval=asked.approval)
    if approver.for_whom and asked.delegates.get(approver.for_whom) != approver.principal:
        raise Forbidden(action="approve", reason="not_delegated")
    vote = Vote(approver.principal, names_of(approver, policy), approver.for_whom)
    before = unmet(asked.needs, asked.votes)
    if len(unmet(asked.needs, [*asked.votes, vote])) >= len(before):
        raise Forbidden(action="approve", role=approver.role.value, needs=texts_of(before))
    return vote


def can_approve(
    *, asked: Asked, approver: Approver, policy: ApprovalPolicy, now: datetime
) -> bool:
    """May this approver agree to this request? For buttons and the inbox."""
    try:
        check_may_approve(asked=asked, approver=approver, policy=policy, now=now)
    except (NotOpen, SelfApproval, AlreadyActed, Forbidden):
        return False
    return True


def check_open(*, asked: Asked, now: datetime) -> None:
    """Can anything still be done about this request?

    Raises: NotOpen (`approval_closed`) with its state; a request whose time has ended counts
    as expired from that instant, whether or not a job has written it down.
    """
    state = asked.state
    if state == "open" and now >= asked.expires_at:
        state = "expired"
    if state != "open":
        raise NotOpen(approval=asked.approval, state=state)


def expires_at(*, kind: str, policy: ApprovalPolicy, now: datetime) -> datetime:
    """Until when can this request be decided?"""
    if rule_of(kind).confirms:
        return now + timedelta(hours=policy.confirm_hours)
    return now + timedelta(days=policy.expiry_days)


def text_of(need: Need) -> str:
    """How is a need written? `controller`, or `controller|cfo` when either will do."""
    return "|".join(sorted(need))


def texts_of(needs: Iterable[Need]) -> tuple[str, ...]:
    """How are needs written, in their order?"""
    return tuple(text_of(need) for need in needs)


def check_policy(policy: ApprovalPolicy) -> None:
    """Can this approval policy be?

    Raises: ValidationFailed (`validation_failed`) naming every field that cannot.
    """
    wrong = []
    if policy.materiality_nanos < 0:
        wrong.append(FieldError("/materiality", "out_of_range", "Not below zero."))
    if not 0 <= policy.materiality_parent_ppm <= PPM:
        wrong.append(
            FieldError("/materiality_parent_ppm", "out_of_range", "From 0 to 1,000,000.")
        )
    if not 1 <= policy.expiry_days <= EXPIRY_DAYS_MOST:
        wrong.append(
            FieldError("/expiry_days", "out_of_range", f"From 1 to {EXPIRY_DAYS_MOST} days.")
        )
    if not 1 <= policy.confirm_hours <= 7 * 24:
        wrong.append(FieldError("/confirm_hours", "out_of_range", "From 1 to 168 hours."))
    if len(policy.tiers) > TIERS_MOST:
        wrong.append(FieldError("/tiers", "too_many", f"At most {TIERS_MOST}."))
    for place, tier in enumerate(policy.tiers):
        if not 1 <= tier.people <= PEOPLE_MOST or tier.above_nanos < 0:
            message = f"1 to {PEOPLE_MOST} people above an amount that is not negative."
            wrong.append(FieldError(f"/tiers/{place}", "out_of_range", message))
    if len(policy.compliance_approvers) > 50:
        wrong.append(FieldError("/compliance_approvers", "too_many", "At most 50 people."))
    if wrong:
        raise ValidationFailed(errors=wrong)
