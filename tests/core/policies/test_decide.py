"""Is every reason given for exactly its cause, in the order of the codes?"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.rates import Rates
from o10.kernel.usage import TokenClass
from o10.wire.decisions import Mode, Outcome
from o10.wire.reasons import Effect, Reason
from policies.core.checks import CHECKS
from policies.core.decide import ALWAYS_ENFORCED, decide
from policies.core.record import content_hash, decision_record
from policies.core.rules import LeverRule, ModelRule
from policies.core.snapshot import Place

from .rules import (
    DOLLAR,
    NOW,
    make_envelope,
    make_left,
    make_path,
    make_price,
    make_question,
    make_snapshot,
    make_use_case,
)

WORST = 15_000_000
"""1,200 in and 800 out at 2.50 / 15 a million (golden G15)."""


def ruling_of(*, use_case=None, envelopes=None, left=None, **asked):
    snapshot = make_snapshot(use_case=use_case, envelopes=envelopes)
    question = make_question(snapshot, **asked)
    return decide(
        question=question,
        snapshot=snapshot,
        left=make_left(snapshot, question, **(left or {})),
    )


def first(**given_) -> Reason:
    return ruling_of(**given_).reasons[0].code


def test_a_call_that_fits_is_allowed_as_asked():
    ruling = ruling_of()
    assert ruling.outcome is ruling.would is Outcome.ALLOW
    assert ruling.worst.nanos == WORST
    assert ruling.reasons[0].code is Reason.OK_WITHIN_ENVELOPE
    assert ruling.holds


NO_OUTPUT = Rates("USD", {TokenClass.INPUT: 1})
EUROS = Rates("EUR", {TokenClass.INPUT: 1, TokenClass.OUTPUT: 1})
CASES = [
    (Reason.KEY_NOT_SCOPED, {"scoped": False}),
    (Reason.USE_CASE_UNKNOWN, {"use_case": make_use_case(slug="other")}),
    (
        Reason.USE_CASE_NOT_STARTED,
        {"use_case": make_use_case(starts_at=NOW + timedelta(seconds=1))},
    ),
    (Reason.EMERGENCY_STOP, {"use_case": make_use_case(state="stopped")}),
    (Reason.USE_CASE_SUNSET, {"use_case": make_use_case(state="sunset")}),
    (
        Reason.KILL_CRITERION_ACTIVE,
        {
            "use_case": make_use_case(
                levers=(
                    LeverRule(
                        criterion="kil_1", name="Loop", lever="cap_steps", since=NOW, amount=2
                    ),
                )
            ),
            "step": 3,
        },
    ),
    (Reason.MODEL_NOT_APPROVED, {"use_case": make_use_case(models=())}),
    (
        Reason.APPROVAL_EXPIRED,
        {"use_case": make_use_case(models=(ModelRule(name="gpt-x", until=NOW),))},
    ),
    (Reason.INPUT_TOKENS_OVER_CAP, {"use_case": make_use_case(max_input_tokens=1_199)}),
    (Reason.INPUT_TOKENS_OVER_CAP, {"price": make_price(context_tokens=1_199)}),
    (Reason.PRICE_UNKNOWN, {"price": None}),
    (Reason.PRICE_UNKNOWN, {"price": make_price(rates=NO_OUTPUT)}),
    (Reason.PRICE_UNKNOWN, {"price": make_price(rates=EUROS)}),
    (Reason.PRICE_UNKNOWN, {"model": None}),
    (Reason.PRICE_UNKNOWN, {"cached_input_tokens": 1}),
    (
        Reason.PRICE_STALE,
        {"use_case": make_use_case(strict_prices=True), "price": make_price(stale=True)},
    ),
    (Reason.ESTIMATE_MISSING, {"input_tokens": None}),
    (Reason.ENVELOPE_NOT_FOUND, {"envelopes": []}),
    (
        Reason.ENVELOPE_NOT_STARTED,
        {"envelopes": make_path(start_at=NOW + timedelta(seconds=1))},
    ),
    (Reason.ENVELOPE_FROZEN, {"envelopes": make_path(state="frozen")}),
    (Reason.ENVELOPE_CLOSED, {"envelopes": make_path(state="closed")}),
    (Reason.ENVELOPE_CLOSED, {"envelopes": make_path(end_at=NOW)}),
    (Reason.PER_CALL_LIMIT, {"envelopes": make_path(per_call_nanos=WORST - 1)}),
    (
        Reason.PER_RUN_LIMIT,
        {"envelopes": make_path(per_run_nanos=WORST), "run_id": "r", "left": {"run": 1}},
    ),
    (Reason.ENVELOPE_HARD_LIMIT, {"envelopes": make_path(amount_nanos=WORST - 1)}),
    (Reason.ENVELOPE_HARD_LIMIT, {"envelopes": make_path(amount_nanos=0)}),
    (
        Reason.PARENT_ENVELOPE_EXHAUSTED,
        {"left": {"e1": {"settled": DOLLAR - WORST + 1}}},
    ),
]


@pytest.mark.parametrize(("reason", "given_"), CASES, ids=lambda case: str(case)[:40])
def test_each_cause_has_its_reason(reason, given_):
    ruling = ruling_of(**given_)
    assert ruling.reasons[0].code is reason
    assert ruling.outcome is Outcome.DENY
    assert not ruling.holds
    assert ruling.reasons[0].detail


def test_every_reason_that_can_deny_here_is_covered_by_a_case():
    covered = {reason for reason, _ in CASES}
    assert {reason for reason, _ in CHECKS} <= covered
    assert all(Effect.DENY in reason.row.effects for reason in covered)


def test_the_checks_stand_in_the_order_of_their_codes():
    numbers = [reason.number for reason, _ in CHECKS]
    assert numbers == sorted(numbers)


def test_of_two_causes_the_lower_code_is_told():
    assert (
        first(
            use_case=make_use_case(state="stopped"),
            price=None,
            envelopes=make_path(amount_nanos=0),
        )
        is Reason.EMERGENCY_STOP
    )
    assert first(price=None, envelopes=make_path(amount_nanos=0)) is Reason.PRICE_UNKNOWN
    assert first(envelopes=make_path(per_call_nanos=1, amount_nanos=0)) is Reason.PER_CALL_LIMIT


def test_an_exact_fit_is_allowed_and_one_nano_less_is_not():
    assert first(envelopes=make_path(amount_nanos=WORST)) is Reason.OK_WITHIN_ENVELOPE
    assert first(envelopes=make_path(amount_nanos=WORST - 1)) is Reason.ENVELOPE_HARD_LIMIT


def test_no_cap_on_the_leaf_is_bounded_by_the_level_above():
    unlimited = make_path(amount_nanos=None)
    assert first(envelopes=unlimited) is Reason.OK_WITHIN_ENVELOPE
    assert (
        first(envelopes=unlimited, left={"e2": {"held": DOLLAR}})
        is Reason.PARENT_ENVELOPE_EXHAUSTED
    )


def test_a_path_without_any_cap_says_so():
    path = [replace(rule, amount_nanos=None) for rule in make_path()]
    assert first(envelopes=path) is Reason.OK_UNLIMITED


def test_a_soft_envelope_informs_and_never_denies():
    path = make_path(amount_nanos=WORST, hard=False, soft_thresholds_ppm=(500_000,))
    ruling = ruling_of(envelopes=path, left={"e3": {"settled": 10 * WORST}})
    assert ruling.outcome is Outcome.ALLOW
    codes = [reason.code for reason in ruling.reasons]
    assert codes == [Reason.ENVELOPE_SOFT_LIMIT, Reason.OK_WITHIN_ENVELOPE]


def test_an_old_price_is_flagged_where_prices_are_not_strict():
    ruling = ruling_of(price=make_price(stale=True))
    assert [reason.code for reason in ruling.reasons] == [
        Reason.PRICE_STALE,
        Reason.OK_WITHIN_ENVELOPE,
    ]


def test_without_a_bound_the_decision_sets_one():
    ruling = ruling_of(max_output_tokens=None)
    assert ruling.outcome is Outcome.ALLOW_WITH_CAPS
    assert ruling.max_output_tokens == 1_024
    assert ruling.reasons[0].code is Reason.CAPPED_TOKENS


def test_the_bound_set_is_the_default_of_the_use_case_and_at_most_the_models():
    case = make_use_case(default_max_output_tokens=3_000)
    assert ruling_of(use_case=case, max_output_tokens=None).max_output_tokens == 3_000
    small = make_price(max_output_tokens=2_000)
    assert (
        ruling_of(use_case=case, price=small, max_output_tokens=None).max_output_tokens == 2_000
    )


def test_the_bound_set_is_what_the_envelope_allows():
    # 3,000,000 for the input, the rest buys 200 output tokens of 15,000 nanos.
    ruling = ruling_of(envelopes=make_path(amount_nanos=6_000_000), max_output_tokens=None)
    assert ruling.max_output_tokens == 200
    assert ruling.worst.nanos == 6_000_000


def test_a_bound_too_short_to_be_of_use_is_a_denial_of_the_shortest_useful_one():
    ruling = ruling_of(envelopes=make_path(amount_nanos=4_919_999), max_output_tokens=None)
    assert ruling.reasons[0].code is Reason.ENVELOPE_HARD_LIMIT
    assert ruling.worst.max_output_tokens == 128
    assert ruling.worst.nanos == 4_920_000


def test_an_asked_bound_is_lowered_only_where_the_use_case_says_so():
    path = make_path(amount_nanos=6_000_000)
    assert first(envelopes=path) is Reason.ENVELOPE_HARD_LIMIT
    ruling = ruling_of(envelopes=path, use_case=make_use_case(fit_output=True))
    assert ruling.outcome is Outcome.ALLOW_WITH_CAPS
    assert ruling.reasons[0].code is Reason.CAPPED_TOKENS
    assert ruling.max_output_tokens == 200


def test_observe_and_shadow_tell_what_would_be_and_hold_nothing():
    for mode in ("observe", "shadow"):
        ruling = ruling_of(
            use_case=make_use_case(mode=mode), envelopes=make_path(amount_nanos=0)
        )
        assert (ruling.outcome, ruling.would) == (Outcome.ALLOW, Outcome.DENY)
        assert not ruling.holds
        codes = [reason.code for reason in ruling.reasons]
        assert codes == [Reason.ENVELOPE_HARD_LIMIT, Reason.OK_SHADOW]
        allowed = ruling_of(use_case=make_use_case(mode=mode))
        assert allowed.would is Outcome.ALLOW
        assert not allowed.holds
        assert allowed.mode is Mode(mode)


def test_a_stop_and_a_foreign_key_are_obeyed_in_every_mode():
    for reason, given_ in CASES:
        if reason is Reason.USE_CASE_UNKNOWN:
            continue
        case = replace(given_.get("use_case", make_use_case()), mode="shadow")
        ruling = ruling_of(**{**given_, "use_case": case})
        expected = Outcome.DENY if reason in ALWAYS_ENFORCED else Outcome.ALLOW
        assert ruling.outcome is expected, reason


def test_a_denial_for_money_says_when_the_period_ends():
    ruling = ruling_of(
        envelopes=make_path(amount_nanos=0, period_kind="day"),
    )
    assert ruling.retry_after_s == 52_201
    assert ruling_of(envelopes=make_path(amount_nanos=0)).retry_after_s == 86_400
    assert ruling_of(price=None).retry_after_s is None


def test_a_child_envelope_takes_the_calls_of_its_customer_and_default_the_others():
    below = [
        make_envelope(id=4, parent=3, scope_kind="customer", slug="acme"),
        make_envelope(id=5, parent=3, scope_kind="customer", slug="default"),
    ]
    snapshot = make_snapshot(envelopes=[*make_path(), *below])

    def leaf(**asked):
        place = make_question(snapshot, **asked).place
        assert isinstance(place, Place)
        return place.path[-1].id

    assert leaf(customer="acme") == 4
    assert leaf(customer="unheard-of") == 5
    assert leaf() == 5


@given(
    st.integers(min_value=0, max_value=3 * WORST),
    st.integers(min_value=0, max_value=3 * WORST),
    st.integers(min_value=0, max_value=3 * WORST),
    st.sampled_from([None, 100, 800]),
    st.booleans(),
)
def test_no_yes_exceeds_what_any_level_has_left(company, department, own, output, fit):
    path = [
        replace(rule, amount_nanos=amount)
        for rule, amount in zip(make_path(), (company, department, own), strict=True)
    ]
    ruling = ruling_of(
        envelopes=path,
        use_case=make_use_case(fit_output=fit),
        max_output_tokens=output,
    )
    if ruling.would.goes:
        assert ruling.worst.nanos <= min(company, department, own)
        assert ruling.max_output_tokens <= (output or 1_024)
    else:
        assert ruling.worst.nanos > min(company, department, own)
        expected = (
            Reason.ENVELOPE_HARD_LIMIT
            if ruling.worst.nanos > own
            else Reason.PARENT_ENVELOPE_EXHAUSTED
        )
        assert ruling.reasons[0].code is expected


def test_equal_inputs_give_equal_bytes():
    snapshot = make_snapshot()
    question = make_question(snapshot, prompt="the secret of the week", input_tokens=None)
    left_now = make_left(snapshot, question)

    def record():
        ruling = decide(question=question, snapshot=snapshot, left=left_now)
        return decision_record(
            question=question, ruling=ruling, snapshot=snapshot, left_now=left_now, bound=9
        )

    assert record() == record()
    assert content_hash(record()) == content_hash(record())
    assert "secret" not in str(record())
