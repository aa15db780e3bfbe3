"""Do known terms and the full decision agree on every call?"""

from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.rates import Rates
from o10.kernel.usage import TokenClass
from o10.wire.decisions import Outcome
from policies.core.checks import case_of
from policies.core.decide import decide
from policies.core.terms import terms_of, worst_of
from tests.core.policies.rules import (
    make_left,
    make_path,
    make_price,
    make_question,
    make_snapshot,
    make_use_case,
)

tokens = st.integers(min_value=0, max_value=300_000)
prices = st.integers(min_value=0, max_value=10**11)


@given(
    asked=tokens,
    output=st.none() | tokens,
    n=st.integers(min_value=1, max_value=9),
    cached=st.sampled_from([0, 0, 5]),
    in_price=prices,
    out_price=st.none() | prices,
    cache_price=st.none() | prices,
    fee=st.integers(min_value=0, max_value=10**6),
    model_most=st.none() | st.integers(min_value=1, max_value=200_000),
    context=st.none() | st.integers(min_value=1, max_value=200_000),
    input_most=st.none() | st.integers(min_value=1, max_value=200_000),
    writes=st.booleans(),
    default=st.none() | st.integers(min_value=1, max_value=9_000),
    learned=st.tuples(tokens, st.none() | tokens),
)
def test_terms_learned_from_one_call_give_the_ruling_of_another(
    asked,
    output,
    n,
    cached,
    in_price,
    out_price,
    cache_price,
    fee,
    model_most,
    context,
    input_most,
    writes,
    default,
    learned,
):
    given_prices = {
        TokenClass.INPUT: in_price,
        TokenClass.OUTPUT: out_price,
        TokenClass.CACHE_READ: cache_price,
    }
    rates = Rates("USD", {k: v for k, v in given_prices.items() if v is not None}, fee)
    price = make_price(rates=rates, max_output_tokens=model_most, context_tokens=context)
    rule = make_use_case(
        may_write_cache=writes, default_max_output_tokens=default, max_input_tokens=input_most
    )
    snapshot = make_snapshot(use_case=rule, envelopes=make_path(amount_nanos=10**18))
    first = make_question(
        snapshot, price=price, input_tokens=learned[0], max_output_tokens=learned[1]
    )
    terms = terms_of(case_of(first, rule))
    question = make_question(
        snapshot,
        price=price,
        input_tokens=asked,
        max_output_tokens=output,
        n=n,
        cached_input_tokens=cached,
    )
    caps = {f"e{number}": {"cap": 10**18} for number in (1, 2, 3)}

    ruling = decide(
        question=question, snapshot=snapshot, left=make_left(snapshot, question, **caps)
    )

    if terms is None:
        return
    wanted = terms.default_output if output is None else min(output, terms.output_most)
    wanted = min(wanted, terms.output_most)
    refused = (
        asked > terms.bound_most
        or (cached and not terms.cache_priced)
        or (wanted and not terms.output_priced)
    )
    assert refused == (ruling.would is Outcome.DENY)
    if not refused:
        assert ruling.worst.nanos == worst_of(terms, bound=asked, wanted=wanted, n=n)
        assert ruling.max_output_tokens == wanted


def test_no_terms_where_a_call_is_not_enforced_or_may_be_shortened():
    for fields in (
        {"mode": "shadow"},
        {"mode": "observe"},
        {"fit_output": True},
        {"state": "stopped"},
    ):
        rule = make_use_case(**fields)
        snapshot = make_snapshot(use_case=rule)

        assert terms_of(case_of(make_question(snapshot), rule)) is None


def test_no_terms_without_a_price_or_a_place():
    snapshot = make_snapshot()
    rule = snapshot.use_cases["support"]

    assert terms_of(case_of(make_question(snapshot, price=None), rule)) is None
    assert terms_of(case_of(make_question(snapshot, place=None), rule)) is None
    frozen = make_snapshot(envelopes=make_path(state="frozen"))
    assert terms_of(case_of(make_question(frozen), frozen.use_cases["support"])) is None
