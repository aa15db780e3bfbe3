"""Does the sentence agree with the figures: over, under, on plan, no plan, no spend?"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.figures import money
from reports.core.headline import Part, Progress, headline
from reports.core.plan import Stance, Variance, sum_variances

UNIT = 10**9
RUNNING, ENDED = Progress.RUNNING, Progress.ENDED


def say(parts, progress=RUNNING, currency="USD"):
    return headline(
        period="November",
        progress=progress,
        currency=currency,
        parts=[Part(name, Variance(*values)) for name, values in parts.items()],
    )


def units(actual, plan):
    return actual * UNIT, None if plan is None else plan * UNIT


def test_over_plan_names_size_and_causes():
    said = say(
        {
            "Support assistant": units(131_900, 112_000),
            "Agent · collections": units(22_800, 12_000),
            "Sandbox": units(2_990, 3_000),
            "Meeting summaries": units(13_300, 14_000),
        }
    )
    assert said.title == "November is $29,990 over plan to date. Two use cases cause it."
    assert said.detail == (
        "Support assistant and Agent · collections add $30,700; "
        "the other two give back $710 net."
    )
    assert said.stance is Stance.OVER


def test_under_plan_says_who_spends_less():
    said = say({"A": units(60_000, 80_000), "B": units(21_000, 20_000)}, ENDED)
    assert said.title == "November ended $19,000 under plan. One use case causes it."
    assert said.detail == "A spends $20,000 less than planned; the other one adds $1,000 net."


def test_on_plan_says_so_and_what_evens_out():
    said = say({"A": units(90_000, 80_000), "B": units(70_000, 80_000)})
    assert said.title == "November is on plan: $160,000 spent of $160,000 planned to date."
    assert said.detail == "One use case is over, one is under; together they even out."


def test_no_plan_names_the_largest():
    said = say({"A": units(60_000, None), "B": units(40_000, None)})
    assert said.title == (
        "November has spent $100,000 so far; there is no plan to compare it with."
    )
    assert said.detail.startswith("A is the largest with $60,000 (60.0%).")


def test_no_spend_and_no_plan_is_nothing_yet():
    assert say({}).title == "Nothing was spent in November yet."
    assert say({"A": units(0, None)}, ENDED).title == "Nothing was spent in November."


def test_a_plan_without_spend_is_under_plan():
    said = say({"A": units(0, 40_000)})
    assert said.stance is Stance.UNDER
    assert said.title == "November is $40,000 under plan to date. One use case causes it."


def test_many_causes_are_counted_and_not_all_listed():
    said = say({f"Use case {n}": units(10_000 + n, 9_000) for n in range(14)})
    assert "14 use cases cause it" in said.title
    assert said.detail.startswith("Use case 13, Use case 12 and twelve more add ")


def test_names_are_data_and_stay_as_they_are():
    said = say({"<b>&'\"\u202e": units(20_000, 1_000)})
    assert said.detail.startswith("<b>&'\"\u202e adds $19,000")


def test_another_currency_is_named_by_its_code():
    assert "EUR 19,000" in say({"A": units(20_000, 1_000)}, currency="EUR").title


parts = st.dictionaries(
    st.text(st.characters(categories=["Ll"]), min_size=1, max_size=8),
    st.tuples(st.integers(0, 10**15), st.none() | st.integers(0, 10**15)),
    max_size=10,
)


@given(parts, st.sampled_from(list(Progress)))
def test_the_sentence_never_contradicts_the_total(parts, progress):
    said = say(parts, progress)
    whole = sum_variances(Variance(*values) for values in parts.values())
    assert said.stance is whole.stance
    word = {Stance.OVER: " over plan", Stance.UNDER: " under plan", Stance.ON_PLAN: "on plan"}
    for stance, text in word.items():
        assert (text in said.title) == (whole.stance is stance)
    if whole.stance in (Stance.OVER, Stance.UNDER):
        assert money(abs(whole.delta)).text in said.title
    if whole.stance in (Stance.ON_PLAN, Stance.NO_PLAN):
        assert money(whole.actual).text in said.title


@given(parts)
def test_no_sentence_has_a_hole_or_a_bare_minus(parts):
    said = say(parts)
    for text in (said.title, said.detail):
        assert text.endswith(".")
        assert "  " not in text
        assert not re.search(r"\bNone\b", text)
        assert "−" not in text and "—" not in text


@pytest.mark.parametrize("progress", list(Progress))
def test_singular_and_plural_agree(progress):
    one = say({"A": units(20_000, 1_000)}, progress)
    assert "One use case causes it" in one.title
    assert one.detail == "A adds $19,000."
