"""Does every way of easing a use case's rules wait for somebody, and nothing else?"""

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.errors import ValidationFailed
from o10.wire.decisions import Outcome
from o10.wire.reasons import Reason
from policies.core import use_case_changes as changes
from policies.core.checks import case_of
from policies.core.decide import decide
from policies.core.drafts import MODES, USE_CASE_STATES
from policies.core.policy_body import read_body, text_of
from policies.core.rules import ModelRule
from policies.core.terms import terms_of
from policies.core.use_case_changes import Standing, kind_of
from tests.core.policies.rules import (
    NOW,
    make_left,
    make_price,
    make_question,
    make_snapshot,
    make_use_case,
)

A, B = ModelRule(name="gpt-x"), ModelRule(name="openai/gpt-y")
A_UNTIL = ModelRule(name="gpt-x", until=NOW + timedelta(days=1))
LISTS = (None, (), (A,), (A, B), (A_UNTIL,), (B,))


@pytest.mark.parametrize(("before", "after"), list(product(MODES, MODES)))
def test_only_enforcing_waits_and_only_stepping_back_from_it_is_looked_at(before, after):
    kind = kind_of(Standing(before, "active", None), Standing(after, "active", None))
    wanted = ""
    if before != "enforce" and after == "enforce":
        wanted = "rollout.enforce"
    elif before == "enforce" and after != "enforce":
        wanted = "use_case.confirm"
    assert kind == wanted


@pytest.mark.parametrize(("before", "after"), list(product(USE_CASE_STATES, USE_CASE_STATES)))
def test_coming_back_to_life_waits_and_a_stop_does_not(before, after):
    kind = kind_of(Standing("enforce", before, None), Standing("enforce", after, None))
    wanted = "use_case.restore" if after == "active" else "use_case.confirm"
    assert kind == ("" if before == after else wanted)


@given(before=st.sampled_from(LISTS), after=st.sampled_from(LISTS))
def test_a_model_more_or_longer_waits_and_fewer_do_not(before, after):
    def allowed(models, name, at):
        return models is None or any(
            each.name == name and (each.until is None or at < each.until) for each in models
        )

    kind = kind_of(Standing("shadow", "active", before), Standing("shadow", "active", after))
    eases = any(
        allowed(after, name, at) and not allowed(before, name, at)
        for name in ("gpt-x", "openai/gpt-y", "another")
        for at in (NOW, NOW + timedelta(days=9))
    )
    assert kind == ("offer.approve" if eases else "")
    if before is not None and after is not None:
        assert bool(changes.added(before, after)) == eases


def test_what_needs_different_people_is_asked_for_by_itself():
    with pytest.raises(ValidationFailed):
        kind_of(Standing("shadow", "active", (A,)), Standing("enforce", "active", (A, B)))
    with pytest.raises(ValidationFailed):
        kind_of(Standing("shadow", "active", None), Standing("enforce", "stopped", None))


@pytest.mark.parametrize("names", [[""], ["a" * 129], ["a", "a"], ["a\x00b"]])
def test_a_list_of_models_is_a_list_of_names(names):
    with pytest.raises(ValidationFailed):
        changes.check_models([ModelRule(name=name) for name in names])


def ruling(models, *, at=NOW, price="known", **fields):
    snapshot = make_snapshot(use_case=make_use_case(models=models, **fields))
    question = make_question(snapshot, now=at, price=make_price() if price == "known" else None)
    return decide(question=question, snapshot=snapshot, left=make_left(snapshot, question))


@pytest.mark.parametrize("models", [None, (A,), (ModelRule(name="openai/gpt-x"),), (B, A)])
def test_an_approved_model_or_offer_may_spend(models):
    assert ruling(models).outcome is Outcome.ALLOW


@pytest.mark.parametrize("price", ["known", "none"])
@pytest.mark.parametrize("models", [(), (B,), (ModelRule(name="azure/gpt-x"),)])
def test_another_model_is_denied_before_money_is_looked_at(models, price):
    found = ruling(models, price=price)
    assert (found.outcome, found.reasons[0].code) == (Outcome.DENY, Reason.MODEL_NOT_APPROVED)
    assert ruling(models, mode="shadow").outcome is Outcome.ALLOW
    assert ruling(models, mode="shadow").would is Outcome.DENY


def test_an_approval_ends_at_its_instant():
    assert ruling((A_UNTIL,)).outcome is Outcome.ALLOW
    over = ruling((A_UNTIL,), at=NOW + timedelta(days=1))
    assert (over.outcome, over.reasons[0].code) == (Outcome.DENY, Reason.APPROVAL_EXPIRED)


@pytest.mark.parametrize(("models", "learned"), [((A,), True), ((A_UNTIL,), False)])
def test_terms_are_never_learned_from_an_approval_that_ends(models, learned):
    snapshot = make_snapshot(use_case=make_use_case(models=models))
    question = make_question(snapshot)
    case = case_of(question, snapshot.use_cases["support"])
    assert (terms_of(case) is not None) is learned


def test_a_policy_says_its_models_and_one_without_keeps_its_bytes():
    assert b"models" not in text_of(make_use_case())
    for models in LISTS:
        snapshot = make_snapshot(use_case=make_use_case(models=models))
        assert read_body(snapshot.body).use_cases[0].models == models
