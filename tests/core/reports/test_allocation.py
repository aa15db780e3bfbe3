"""Do shared costs add up exactly, stay where they belong, and say how well they are known?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.core.allocation import (
    PPM,
    UNALLOCATED,
    Counted,
    Measures,
    Method,
    Rule,
    Share,
    Statement,
    allocate,
    find_rule_problem,
    full_cost,
    weights_of,
)
from reports.core.cost_components import (
    ABOUT,
    CALLS,
    STATED,
    Component,
    Family,
    Grade,
    component_of,
)

UNIT = 10**9
NUMBERS = st.integers(0, 40)
WEIGHTS = st.dictionaries(NUMBERS, st.integers(0, 10**12), max_size=12)
HEADS = st.dictionaries(st.integers(1, 40), st.integers(0, 500), min_size=1, max_size=12)


@st.composite
def measures(draw):
    return Measures(
        tokens=draw(WEIGHTS),
        calls=draw(WEIGHTS),
        direct_cost=draw(WEIGHTS),
        outcomes=draw(WEIGHTS),
        volumes={"tickets": draw(WEIGHTS)},
    )


@st.composite
def rules(draw):
    method = draw(st.sampled_from(Method))
    if method is Method.BY_HEADCOUNT:
        return Rule(method=method, weights=draw(HEADS))
    if method is Method.FIXED:
        numbers = draw(st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True))
        return Rule(method=method, weights=dict.fromkeys(numbers, PPM // len(numbers) // 2))
    if method is Method.BY_DRIVER:
        return Rule(method=method, driver=draw(st.sampled_from(["", "tickets", "seats"])))
    return Rule(method=method)


@given(total=st.integers(-(10**18), 10**18), rule=rules(), measured=measures())
def test_parts_add_up_exactly_by_any_rule(total, rule, measured):
    shares = allocate(total, rule, measured)
    assert sum(share.nanos for share in shares) == total
    assert [share.use_case for share in shares] == sorted({s.use_case for s in shares})


@given(total=st.integers(1, 10**18), rule=rules(), measured=measures())
def test_no_part_is_a_nano_away_from_its_exact_share(total, rule, measured):
    weights = weights_of(rule, measured)
    whole = sum(weights.values())
    for share in allocate(total, rule, measured):
        if whole:
            assert abs(share.nanos * whole - total * weights[share.use_case]) < whole


@given(total=st.integers(1, 10**18), rule=rules(), measured=measures())
def test_a_refund_is_the_mirror_image_of_the_charge(total, rule, measured):
    there = allocate(total, rule, measured)
    assert allocate(-total, rule, measured) == tuple(
        Share(each.use_case, -each.nanos) for each in there
    )


def test_the_worked_example_of_the_page():
    """docs/algorithms/fully-loaded-cost.md: $100.00 by tokens 1 : 1 : 1, a nano left over."""
    measured = Measures(tokens={7: 1, 3: 1, 5: 1}, calls={}, direct_cost={}, outcomes={})
    shares = allocate(100 * UNIT, Rule(method=Method.BY_TOKENS), measured)
    assert shares == (
        Share(3, 33_333_333_334),
        Share(5, 33_333_333_333),
        Share(7, 33_333_333_333),
    )


def test_what_no_rule_places_is_a_line_of_its_own():
    nothing = Measures(tokens={}, calls={}, direct_cost={}, outcomes={})
    for method in (Method.DIRECT, Method.BY_TOKENS, Method.BY_DRIVER):
        shares = allocate(5, Rule(method=method), nothing)
        assert shares == (Share(UNALLOCATED, 5),)
    fixed = Rule(method=Method.FIXED, weights={1: 250_000, 2: 500_000})
    assert allocate(8 * UNIT, fixed, nothing) == (
        Share(UNALLOCATED, 2 * UNIT),
        Share(1, 2 * UNIT),
        Share(2, 4 * UNIT),
    )
    heads = Rule(method=Method.BY_HEADCOUNT, weights={1: 3, 2: 1})
    assert allocate(8, heads, nothing) == (Share(1, 6), Share(2, 2))


def test_a_driver_shares_by_its_own_volumes_and_outcomes_are_used_without_one():
    measured = Measures(
        tokens={},
        calls={},
        direct_cost={},
        outcomes={3: 1, 5: 1},
        volumes={"seats": {3: 3, 5: 1}},
    )
    by_seats = Rule(method=Method.BY_DRIVER, driver="seats")
    assert allocate(100, by_seats, measured) == (Share(3, 75), Share(5, 25))
    assert allocate(100, Rule(method=Method.BY_DRIVER), measured) == (
        Share(3, 50),
        Share(5, 50),
    )
    never_told = Rule(method=Method.BY_DRIVER, driver="tickets")
    assert allocate(100, never_told, measured) == (Share(UNALLOCATED, 100),)


def test_spend_of_nobody_carries_its_share_and_is_seen():
    measured = Measures(tokens={0: 1, 4: 3}, calls={}, direct_cost={}, outcomes={})
    shares = allocate(8, Rule(method=Method.BY_TOKENS), measured)
    assert shares == (Share(UNALLOCATED, 2), Share(4, 6))


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        (Rule(method=Method.FIXED), "needs a weight"),
        (Rule(method=Method.BY_HEADCOUNT, weights={1: 0}), "above zero"),
        (Rule(method=Method.BY_TOKENS, weights={1: 1}), "takes none"),
        (Rule(method=Method.FIXED, weights={1: 600_000, 2: 400_001}), "100%"),
        (Rule(method=Method.BY_HEADCOUNT, weights={1: -1, 2: 3}), "not negative"),
        (Rule(method=Method.BY_HEADCOUNT, weights={0: 3}), "belongs to a use case"),
    ],
)
def test_a_wrong_rule_is_told_in_a_sentence(rule, word):
    assert word in find_rule_problem(rule)


def test_a_right_rule_has_no_problem():
    assert not find_rule_problem(Rule(method=Method.FIXED, weights={1: PPM}))
    assert not find_rule_problem(Rule(method=Method.BY_CALLS))


cells = st.lists(
    st.builds(
        Counted,
        component=st.sampled_from(Component),
        use_case=NUMBERS,
        nanos=st.integers(-(10**15), 10**15),
        calls=st.integers(0, 10**6),
        calls_estimated=st.just(0),
        tokens=st.integers(0, 10**9),
    ),
    max_size=60,
)


@given(counted=cells)
def test_use_cases_and_components_add_up_to_the_same_total(counted):
    found = full_cost(counted, {}, months=1)
    total = sum(cell.nanos for cell in counted)
    assert found.total == total
    assert sum(found.of(number) for number in found.by_use_case) == total
    assert found.unallocated == found.of(UNALLOCATED)
    assert len(found.lines) == len(Component)


def cell(component, nanos, calls=0, estimated=0, use_case=1):
    return Counted(
        component=component,
        use_case=use_case,
        nanos=nanos,
        calls=calls,
        calls_estimated=estimated,
        tokens=0,
    )


def statement(component, nanos, months=1, coverage=PPM, grade=Grade.ATTESTED):
    return Statement(
        component=component,
        nanos=nanos,
        source="invoice 7",
        basis="bill",
        grade=grade,
        coverage_ppm=coverage,
        months=months,
    )


def test_a_source_or_an_explicit_zero_makes_a_component_known():
    counted = [cell(Component.DIRECT, 80, calls=10), cell(Component.TOOLS, 20)]
    nothing_said = full_cost(counted, {}, months=1)
    assert Component.TOOLS in nothing_said.missing
    assert Component.EVALS in nothing_said.missing
    said = {
        Component.TOOLS: statement(Component.TOOLS, 25),
        Component.EVALS: statement(Component.EVALS, 0),
        Component.PLATFORM: statement(Component.PLATFORM, 0),
    }
    found = full_cost(counted, said, months=1)
    assert not {Component.TOOLS, Component.EVALS, Component.PLATFORM} & set(found.missing)
    assert found.completeness_ppm == 4 * PPM // len(Component)
    tools = next(line for line in found.lines if line.component is Component.TOOLS)
    assert (tools.nanos, tools.waiting, tools.grade) == (20, 5, Grade.ATTESTED)
    assert found.ratio_ppm == 1_250_000
    assert found.grade is Grade.ATTESTED


def test_a_statement_for_one_of_three_months_leaves_the_quarter_incomplete():
    found = full_cost([], {Component.TOOLS: statement(Component.TOOLS, 9)}, months=3)
    tools = next(line for line in found.lines if line.component is Component.TOOLS)
    assert not tools.known
    assert tools.coverage_ppm == PPM // 3


def test_estimated_calls_lower_the_grade():
    found = full_cost([cell(Component.DIRECT, 80, calls=10, estimated=4)], {}, months=1)
    direct = found.lines[0]
    assert (direct.grade, direct.coverage_ppm) == (Grade.DERIVED, 600_000)


def test_the_table_of_components_is_complete_and_each_has_one_family():
    assert set(ABOUT) == set(Component)
    assert {*STATED, *CALLS} <= set(Component)
    assert {ABOUT[each].family for each in Component} == set(Family)


@pytest.mark.parametrize(
    ("entry", "component"),
    [
        (("settle", True, "serve", "ok", ""), Component.DIRECT),
        (("settle", True, "serve", "length", ""), Component.DIRECT),
        (("settle", True, "serve", "error", ""), Component.RETRIES),
        (("usage", True, "retry", "ok", ""), Component.RETRIES),
        (("usage", True, "hedge_loser", "cancelled", ""), Component.HEDGES),
        (("usage", True, "fallback", "ok", ""), Component.FALLBACKS),
        (("usage", True, "classify", "ok", ""), Component.CLASSIFIER),
        (("usage", True, "eval", "ok", ""), Component.EVALS),
        (("settle", True, "shadow", "error", ""), Component.SHADOW),
        (("reversal", True, "serve", "ok", ""), Component.DIRECT),
        (("reversal", False, "serve", "ok", ""), Component.ADJUSTMENTS),
        (("reversal", False, "serve", "ok", "tools"), Component.TOOLS),
        (("adjust", False, "serve", "ok", "human_review"), Component.HUMAN_REVIEW),
        (("adjust", False, "serve", "ok", "no such part"), Component.ADJUSTMENTS),
        (("commitment", False, "serve", "ok", ""), Component.COMMITMENT_USED),
        (("commitment", False, "serve", "ok", "commitment_waste"), Component.COMMITMENT_WASTE),
        (("reconcile", False, "serve", "ok", ""), Component.ADJUSTMENTS),
    ],
)
def test_an_entry_belongs_to_one_component(entry, component):
    kind, of_a_call, purpose, finish, stated = entry
    found = component_of(
        kind=kind, of_a_call=of_a_call, purpose=purpose, finish=finish, stated=stated
    )
    assert found is component
