"""Is the table of maker and checker complete, and does no path through it skip a person?"""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.kernel.errors import Forbidden, SelfApproval, ValidationFailed
from policies.core import approvals
from policies.core.approvals import (
    COMPLIANCE,
    RULES,
    AlreadyActed,
    ApprovalPolicy,
    Approver,
    Asked,
    NotOpen,
    Tier,
    Vote,
    Weight,
)

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
POLICY = ApprovalPolicy(keys_may_approve=True)
DOLLAR = 10**9
PEOPLE = {role: f"usr_{role}" for role in Role}

# product.md section 8, row by row: kind, makers, needs, above materiality.
W, F, C, X, A = "owner", "finops", "controller", "cfo", "admin"
TABLE = {
    "envelope.create envelope.raise envelope.uncap envelope.top_up envelope.loosen": (
        {W, F},
        [{C}],
        [{X}],
    ),
    "envelope.confirm use_case.confirm": ({W, F, C, X}, [{F, C, X}], []),
    "envelope.restore use_case.restore": ({W, F, C}, [{C, X}], []),
    "kill.create kill.loosen kill.override kill.restore kill.trip": ({W, F, C}, [{C}], []),
    "kill.override_violations": ({W, F, C}, [{X}], []),
    "rollout.canary rollout.step rollout.enforce": ({W, F}, [{W}, {C}], []),
    "price.contract price.override price.revaluation price.release commitment.set": (
        {F},
        [{C}],
        [],
    ),
    "price.refresh": ({F}, [{C}], []),
    "offer.approve": ({W, F}, [{C}, {COMPLIANCE}], []),
    "outcome.value plan.set allocation.rule attribution.rule utility.weights share.link "
    "change.signed": ({W, F}, [{C}], []),
    "allocation.run savings.statement reconcile.book accrual.book period.close": (
        {F},
        [{C}],
        [],
    ),
    "pack.publish": ({F}, [{C}, {X}], []),
    "ledger.reversal ledger.adjust ledger.write_off": ({F}, [{C}], []),
    "person.role person.create key.create": ({A}, [{A, C}], []),
    "approval.policy": ({C}, [{X}], []),
}
ROWS = {kind: row for kinds, row in TABLE.items() for kind in kinds.split()}


def test_the_table_is_the_one_of_the_specification_and_complete():
    assert set(ROWS) == set(RULES)
    for kind, (makers, needs, above) in ROWS.items():
        rule = RULES[kind]
        assert set(rule.makers) == makers, kind
        assert [set(need) for need in rule.needs] == needs, kind
        assert [set(need) for need in rule.above] == above, kind


@pytest.mark.parametrize("kind", sorted(RULES))
@pytest.mark.parametrize("role", [*Role, None])
def test_every_role_may_ask_for_a_kind_or_not(kind, role):
    if approvals.can_make(kind=kind, role=role):
        approvals.check_may_make(kind=kind, role=role)
    else:
        with pytest.raises(Forbidden):
            approvals.check_may_make(kind=kind, role=role)
    if role in (Role.VIEWER, Role.AUDITOR, Role.ROUTER):
        assert not approvals.can_make(kind=kind, role=role)


def test_whoever_can_meet_a_need_has_the_action_and_money_needs_finance():
    for kind, rule in RULES.items():
        for need in (*rule.needs, *rule.above):
            for name in need - {COMPLIANCE}:
                assert Action.COUNTERSIGN in ROLE_ACTIONS[Role(name)], kind
        if kind.partition(".")[0] in {"person", "key"} or rule.confirms:
            continue
        # Whatever else is needed, somebody with authority over money agrees.
        assert any(
            all(Action.APPROVE in ROLE_ACTIONS[Role(name)] for name in need)
            for need in rule.needs
            if COMPLIANCE not in need
        ), kind
    assert not any("admin" in need for kind in RULES for need in RULES[kind].needs
                   if not kind.startswith(("person.", "key.")))  # fmt: skip


def asked_for(kind="envelope.raise", maker="usr_maker", votes=(), **fields):
    wanted = {
        "needs": RULES[kind].needs,
        "state": "open",
        "expires_at": NOW + timedelta(days=7),
        "votes": tuple(votes),
        **fields,
    }
    return Asked("apr_1", maker, **wanted)


def decide(asked, approver, policy=POLICY, now=NOW):
    return approvals.check_may_approve(asked=asked, approver=approver, policy=policy, now=now)


@pytest.mark.parametrize("kind", sorted(RULES))
@pytest.mark.parametrize("role", sorted(Role))
def test_each_role_meets_the_needs_that_name_it_and_no_other(kind, role):
    needs = approvals.needs_of(kind=kind, weight=Weight(unlimited=True), policy=POLICY)
    asked = asked_for(kind, needs=needs)
    may = any(role in need for need in needs)
    assert may is approvals.can_approve(
        asked=asked, approver=Approver("usr_2", role), policy=POLICY, now=NOW
    )


@given(
    role=st.sampled_from(sorted(Role)),
    kind=st.sampled_from(sorted(RULES)),
    is_key=st.booleans(),
    for_whom=st.sampled_from(["", "usr_3", "usr_maker"]),
)
def test_nobody_approves_their_own_request_however_they_come(role, kind, is_key, for_whom):
    own = Approver("usr_maker", role, is_key, role if is_key else None, for_whom)
    asked = asked_for(kind, delegates={"usr_3": "usr_maker", "usr_maker": "usr_2"})
    with pytest.raises(SelfApproval):
        decide(asked, own)
    with pytest.raises(SelfApproval):
        decide(asked, Approver("usr_2", role, for_whom="usr_maker"))


ACTORS = st.builds(
    Approver,
    principal=st.sampled_from([f"usr_{number}" for number in range(6)]),
    role=st.sampled_from(sorted(Role)),
    is_key=st.booleans(),
    person_role=st.sampled_from([None, *Role]),
    for_whom=st.sampled_from(["", *[f"usr_{number}" for number in range(6)]]),
)


@given(
    kind=st.sampled_from(sorted(RULES)),
    actors=st.lists(ACTORS, max_size=14),
    nanos=st.integers(0, 200_000 * DOLLAR),
    people=st.integers(1, 4),
)
def test_what_is_complete_was_agreed_by_enough_different_people(kind, actors, nanos, people):
    policy = ApprovalPolicy(
        keys_may_approve=True,
        compliance_approvers=("usr_4",),
        tiers=(Tier(above_nanos=100_000 * DOLLAR, people=people),),
    )
    needs = approvals.needs_of(kind=kind, weight=Weight(nanos=nanos), policy=policy)
    delegates = {actor.for_whom: actor.principal for actor in actors if actor.for_whom}
    votes = []
    for actor in actors:
        asked = asked_for(kind, maker="usr_0", needs=needs, votes=votes, delegates=delegates)
        try:
            votes.append(decide(asked, actor, policy))
        except (SelfApproval, AlreadyActed, Forbidden):
            continue
    used = [name for vote in votes for name in vote.people]
    assert len(used) == len(set(used)) and "usr_0" not in used
    if not approvals.unmet(needs, votes):
        assert len(votes) == len(needs)
        assert any(
            all(vote.names & need for vote, need in zip(order, needs, strict=True))
            for order in permutations(votes)
        )


def test_votes_meet_needs_in_the_best_way_whatever_their_order():
    both, controller = Vote("a", frozenset({C, COMPLIANCE})), Vote("b", frozenset({C}))
    needs = RULES["offer.approve"].needs
    assert not approvals.unmet(needs, [both, controller])
    assert not approvals.unmet(needs, [controller, both])
    assert len(approvals.unmet(needs, [controller, Vote("c", frozenset({C}))])) == 1


@pytest.mark.parametrize(
    ("nanos", "parent", "material"),
    [
        (10_000 * DOLLAR, None, False),
        (10_000 * DOLLAR + 1, None, True),
        (-10_000 * DOLLAR - 1, None, True),
        (100, 1_000, False),
        (101, 1_000, True),
        (1, 0, True),
        (0, 0, False),
    ],
)
def test_material_is_above_the_amount_or_the_share_of_the_parent(nanos, parent, material):
    weight = Weight(nanos=nanos, parent_nanos=parent)
    assert approvals.is_material(weight, ApprovalPolicy()) is material
    assert approvals.is_material(Weight(unlimited=True), ApprovalPolicy())


def test_the_number_of_approvers_follows_the_amount():
    policy = ApprovalPolicy(
        tiers=(Tier(above_nanos=5, people=2), Tier(above_nanos=50, people=3))
    )

    def needs(nanos):
        found = approvals.needs_of(
            kind="price.contract", weight=Weight(nanos=nanos), policy=policy
        )
        return approvals.texts_of(found)

    assert needs(5) == ("controller",)
    assert needs(6) == ("controller", "controller")
    assert needs(51) == ("controller",) * 3


def test_a_request_is_over_from_the_instant_its_time_ends():
    asked = asked_for(expires_at=NOW)
    with pytest.raises(NotOpen):
        decide(asked, Approver("usr_2", Role.CONTROLLER))
    for state in ("approved", "declined", "withdrawn", "expired", "void"):
        with pytest.raises(NotOpen):
            decide(asked_for(state=state), Approver("usr_2", Role.CONTROLLER))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"materiality_nanos": -1}, "/materiality"),
        ({"materiality_parent_ppm": 1_000_001}, "/materiality_parent_ppm"),
        ({"expiry_days": 0}, "/expiry_days"),
        ({"expiry_days": 91}, "/expiry_days"),
        ({"confirm_hours": 0}, "/confirm_hours"),
        ({"tiers": (Tier(above_nanos=-1, people=1),)}, "/tiers/0"),
        ({"tiers": (Tier(above_nanos=1, people=6),)}, "/tiers/0"),
    ],
)
def test_a_policy_that_cannot_be_is_named(fields, pointer):
    with pytest.raises(ValidationFailed) as refused:
        approvals.check_policy(ApprovalPolicy(**fields))
    assert [error.pointer for error in refused.value.errors] == [pointer]
