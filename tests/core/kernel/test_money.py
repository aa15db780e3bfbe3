import pickle
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.errors import UnitMismatch
from o10.kernel.money import (
    MAX_NANOS,
    AmountMalformed,
    Money,
    amount_text,
    ceil_div,
    half_even,
    parse_nanos,
    split,
)
from tests.core.kernel.golden import golden

VECTORS = golden("money")
NANOS = st.integers(-MAX_NANOS, MAX_NANOS)


@pytest.mark.parametrize("case", VECTORS["half_even"], ids=str)
def test_half_even_rounds_ties_to_the_even_neighbour(case):
    assert half_even(case["numerator"], case["denominator"]) == case["is"]


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_half_even_agrees_with_exact_fractions(numerator, denominator):
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_half_even_is_odd_so_that_a_reversal_is_the_exact_negative(numerator, denominator):
    assert half_even(-numerator, denominator) == -half_even(numerator, denominator)


@pytest.mark.parametrize("case", VECTORS["ceil_div"], ids=str)
def test_ceil_div_rounds_up(case):
    assert ceil_div(case["numerator"], case["denominator"]) == case["is"]


@given(st.integers(0, 10**30), st.integers(1, 10**15))
def test_ceil_div_is_never_below_and_never_a_whole_unit_above(numerator, denominator):
    rounded = ceil_div(numerator, denominator)
    assert 0 <= rounded * denominator - numerator < denominator


@pytest.mark.parametrize("case", VECTORS["split"], ids=str)
def test_split_gives_the_golden_parts(case):
    assert list(split(case["total"], case["weights"])) == case["is"]


WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(any)


@given(NANOS, WEIGHTS)
def test_split_loses_no_nano_and_moves_no_part_by_a_whole_one(total, weights):
    parts = split(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * whole - total * weight) < whole


@given(NANOS, WEIGHTS)
def test_split_of_a_reversal_mirrors_the_split_of_the_original(total, weights):
    assert split(-total, weights) == tuple(-part for part in split(total, weights))


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1]])
def test_split_refuses_weights_that_divide_nothing(weights):
    with pytest.raises(ValueError, match="weights"):
        split(10, weights)


@pytest.mark.parametrize("case", VECTORS["amounts"], ids=lambda case: case["text"])
def test_amounts_are_read_and_written_without_loss(case):
    money = Money.parse(case["text"], "USD")
    assert money.nanos == case["nanos"]
    assert money.amount == case["amount"]
    assert money.as_json() == {
        "amount": case["amount"],
        "amount_nanos": str(case["nanos"]),
        "currency": "USD",
    }


@pytest.mark.parametrize("text", VECTORS["refused"], ids=repr)
def test_text_that_is_no_plain_decimal_is_refused(text):
    with pytest.raises(AmountMalformed) as caught:
        parse_nanos(text)
    assert caught.value.code == "validation_failed"
    assert caught.value.errors[0].code == "amount_malformed"


@given(NANOS)
def test_every_amount_reads_back_as_itself(nanos):
    text = amount_text(nanos)
    assert parse_nanos(text) == nanos
    assert Decimal(text) == Decimal(nanos).scaleb(-9)


def test_two_currencies_do_not_meet():
    euro, dollar = Money("EUR", 5), Money("USD", 5)
    for meet in (
        lambda: euro + dollar,
        lambda: euro - dollar,
        lambda: euro < dollar,
        lambda: euro >= dollar,
    ):
        with pytest.raises(UnitMismatch) as caught:
            meet()
        assert caught.value.fields == {"expected": "EUR", "got": "USD"}
    assert euro != dollar


def test_money_adds_subtracts_negates_and_compares():
    two, five = Money("USD", 2), Money("USD", 5)
    assert five + two == Money("USD", 7)
    assert two - five == Money("USD", -3)
    assert -five == Money("USD", -5)
    assert two < five <= five
    assert five > two >= two


@pytest.mark.parametrize("currency", ["usd", "US", "USDT", "", "U$D", "USD\n"])
def test_a_currency_is_three_capital_letters(currency):
    with pytest.raises(AmountMalformed):
        Money(currency, 1)


def test_an_amount_beyond_64_bits_is_refused_and_not_wrapped():
    assert Money("USD", MAX_NANOS).nanos == MAX_NANOS
    with pytest.raises(AmountMalformed):
        Money("USD", MAX_NANOS) + Money("USD", 1)


def test_an_error_survives_pickling_with_its_fields():
    error = UnitMismatch(expected="EUR", got="USD")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), copy.fields, copy.expected) == (UnitMismatch, error.fields, "EUR")
