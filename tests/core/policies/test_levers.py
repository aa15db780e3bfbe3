"""Do calls obey the levers of tripped criteria, and only them?"""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from o10.wire.decisions import Outcome
from o10.wire.reasons import Reason
from policies.core.checks import case_of
from policies.core.decide import decide
from policies.core.levers import IN_CALLS, Lever, strictest_first, told
from policies.core.policy_body import read_body, text_of
from policies.core.question import Left
from policies.core.rules import LeverRule
from policies.core.snapshot import compile_policy
from policies.core.terms import terms_of
from tests.core.policies.rules import (
    NOW,
    make_left,
    make_question,
    make_snapshot,
    make_use_case,
)


def lever(kind, *, amount=None, model="", criterion="kil_a", until=None):
    return LeverRule(
        criterion=criterion,
        name=f"Rule {criterion}",
        lever=kind,
        since=NOW,
        amount=amount,
        model=model,
        until=until,
    )


def ruling_of(*levers, mode="enforce", hour=None, **asked):
    snapshot = make_snapshot(use_case=make_use_case(levers=levers, mode=mode))
    question = make_question(snapshot, **asked)
    left = make_left(snapshot, question)
    return decide(question=question, snapshot=snapshot, left=Left(left.path, left.run, hour))


def codes(ruling):
    return [reason.code for reason in ruling.reasons]


def test_a_freeze_denies_and_names_its_criterion():
    ruling = ruling_of(lever("freeze"))
    assert ruling.outcome is Outcome.DENY
    assert codes(ruling) == [Reason.KILL_CRITERION_ACTIVE]
    assert "kil_a" in ruling.reasons[0].detail and "Rule kil_a" in ruling.reasons[0].detail
    assert ruling.retry_after_s == 60


@pytest.mark.parametrize("mode", ["observe", "shadow"])
def test_a_freeze_is_a_stop_in_every_mode_and_other_levers_are_not(mode):
    assert ruling_of(lever("freeze"), mode=mode).outcome is Outcome.DENY
    tried = ruling_of(lever("cap_steps", amount=2), mode=mode, step=9)
    assert (tried.outcome, tried.would) == (Outcome.ALLOW, Outcome.DENY)


def test_of_several_caps_the_tightest_holds_and_all_are_told():
    ruling = ruling_of(
        lever("cap_output", amount=300),
        lever("cap_output", amount=200, criterion="kil_b"),
        lever("cap_steps", amount=5, criterion="kil_c"),
        step=2,
    )
    assert ruling.max_output_tokens == 200
    assert ruling.steps_remaining == 3
    assert ruling.would is Outcome.ALLOW_WITH_CAPS
    detail = ruling.reasons[0].detail
    assert [detail.index(each) for each in ("kil_c", "kil_a", "kil_b")] == sorted(
        detail.index(each) for each in ("kil_c", "kil_a", "kil_b")
    )
    assert codes(ruling)[:3] == [
        Reason.KILL_CRITERION_ACTIVE,
        Reason.CAPPED_TOKENS,
        Reason.CAPPED_STEPS,
    ]


def test_the_strictest_is_told_first():
    levers = [lever(each.value, criterion=f"kil_{each.value}", amount=1) for each in IN_CALLS]
    order = [each.lever for each in strictest_first(levers)]
    assert order == [each.value for each in reversed(Lever) if each in IN_CALLS]
    assert told(levers).startswith("Wound down")


def test_a_denial_by_a_freeze_tells_the_other_levers_too():
    detail = (
        ruling_of(lever("throttle", amount=5, criterion="kil_b"), lever("freeze"))
        .reasons[0]
        .detail
    )
    assert detail.startswith("Frozen") and "kil_b" in detail


def test_what_the_hour_has_left_is_compared_to_the_nano():
    throttle = lever("throttle", amount=10**9)
    assert ruling_of(throttle, hour=15_000_000).would.goes
    denied = ruling_of(throttle, hour=14_999_999)
    assert codes(denied) == [Reason.KILL_CRITERION_ACTIVE]


def test_steps_and_attempts_up_to_the_lever_go():
    three = lever("cap_steps", amount=3)
    assert ruling_of(three, step=3).would.goes
    assert not ruling_of(three, step=4).would.goes
    assert ruling_of(three, attempt=3).would.goes
    assert not ruling_of(three, attempt=4).would.goes


def test_a_sunset_warns_and_lets_through():
    ruling = ruling_of(lever("sunset", amount=9, until=NOW + timedelta(days=9)))
    assert ruling.would.goes
    assert codes(ruling)[:2] == [Reason.USE_CASE_SUNSET, Reason.KILL_CRITERION_ACTIVE]
    assert "2026-11-29" in ruling.reasons[0].detail


def test_without_levers_nothing_changes_not_even_a_byte():
    plain = make_use_case()
    assert "levers" not in json.loads(text_of(plain))
    assert terms_of(case_of(make_question(make_snapshot()), plain)) is not None


@pytest.mark.parametrize("kind", sorted(IN_CALLS))
def test_a_call_under_a_lever_is_decided_in_full(kind):
    rule = make_use_case(levers=(lever(kind, amount=5, until=NOW),))
    assert terms_of(case_of(make_question(make_snapshot(use_case=rule)), rule)) is None


def test_levers_survive_the_policy_and_its_changes():
    rule = make_use_case(
        levers=(
            lever("cap_output", amount=7),
            lever("sunset", until=NOW + timedelta(days=3), criterion="kil_b"),
            lever("rightsizing", model="gpt-x-mini", criterion="kil_c"),
        )
    )
    snapshot = make_snapshot(use_case=rule)
    read = read_body(snapshot.body)
    assert list(read.use_cases) == [rule]
    assert compile_policy(read, version=1).hash == snapshot.hash
    lifted = snapshot.changed(type(read)([replace(rule, levers=())], []), version=2)
    assert lifted.hash == make_snapshot().hash
