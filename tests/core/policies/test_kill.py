"""Does a criterion trip, hold and let go as an independent model says? And the formulas?"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o10.kernel.errors import ValidationFailed
from policies.core.breach import breach_ppm
from policies.core.kill import Event, Evidence, Standing, State, evaluate
from policies.core.kill_pack import PACK
from policies.core.kill_spec import Spec, check_spec, is_beyond, is_inside, loosens
from policies.core.kill_text import progress_ppm, signal_text, value_text
from policies.core.levers import Lever
from policies.core.metric_formulas import nearest_rank
from policies.core.metrics import METRICS, Measured, measure

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "kill_metrics.json").read_text())


def make_spec(**fields):
    base = {
        "metric": "error_rate",
        "comparator": ">",
        "threshold": "0.5",
        "window_s": 3_600,
        "min_sample": 10,
        "consecutive": 2,
        "lever": "cap_steps",
        "amount": 5,
        "cooldown_s": 0,
        "restore_consecutive": 2,
    }
    return Spec(**{**base, **fields})


@dataclass
class Oracle:
    """The rule of product.md 7.2 told from the whole history, every time anew.

    Written without the code under test: it keeps every look since the last change of state
    and asks for how long the newest ones have all been alike.
    """

    threshold: float
    restore_at: float
    more_is_worse: int
    least: int
    trip_s: int
    restore_s: int
    cooldown_s: int
    by_itself: int
    proposes: int
    state: str = "armed"
    looks: list = field(default_factory=list)
    tripped: int = 0
    ready: int = 0
    asked: int = -1

    def look(self, at, value, sample):
        self.looks.append((at, self._kind(value, sample)))
        return self._when_armed(at) if self.state == "armed" else self._when_tripped(at)

    def _kind(self, value, sample):
        if value is None or sample < self.least:
            return "nothing"
        worse, fine = value > self.threshold, value <= self.restore_at
        if not self.more_is_worse:
            worse, fine = value < self.threshold, value >= self.restore_at
        return "over" if worse else "in" if fine else "between"

    def _when_armed(self, at):
        lasted = self._lasted("over", at)
        if lasted < 0 or lasted < self.trip_s:
            return []
        if self.proposes:
            if self.asked >= 0 and at - self.asked < max(self.cooldown_s, 3_600):
                return []
            self.asked = at
            return ["propose"]
        self.state, self.tripped, self.ready = "tripped", at, 0
        return ["trip"]

    def _when_tripped(self, at):
        lasted = self._lasted("in", at)
        if lasted < 0:
            self.state, self.ready = "tripped", 0
            return []
        self.state = "restoring"
        if lasted < self.restore_s or at - self.tripped < self.cooldown_s:
            return []
        if self.by_itself:
            self.state, self.looks, self.asked = "armed", [], -1
            return ["restore"]
        if self.ready:
            return []
        self.ready = 1
        return ["restorable"]

    def _lasted(self, kind, at):
        """For how long have the newest looks all been of this kind? -1 = the newest is not."""
        lasted = -1
        for when, each in reversed(self.looks):
            if each != kind:
                break
            lasted = at - when
        return lasted


looks = st.lists(
    st.tuples(
        st.integers(min_value=1, max_value=5_400),
        st.none() | st.integers(min_value=0, max_value=100),
        st.integers(min_value=0, max_value=20),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(
    looks=looks,
    consecutive=st.integers(min_value=1, max_value=4),
    back=st.integers(min_value=1, max_value=4),
    cooldown=st.sampled_from([0, 1_800, 7_200]),
    rises=st.booleans(),
    lever=st.sampled_from(["cap_steps", "freeze"]),
    execution=st.sampled_from(["auto", "auto", "propose"]),
    auto_restore=st.booleans(),
)
def test_every_life_of_a_criterion_agrees_with_the_model(
    looks, consecutive, back, cooldown, rises, lever, execution, auto_restore
):
    spec = make_spec(
        comparator=">" if rises else "<",
        consecutive=consecutive,
        restore_consecutive=back,
        cooldown_s=cooldown,
        lever=lever,
        amount=5 if lever == "cap_steps" else None,
        execution=execution,
        auto_restore=auto_restore,
    )
    oracle = Oracle(
        threshold=50,
        restore_at=45 if rises else 55,
        more_is_worse=rises,
        least=10,
        trip_s=(consecutive - 1) * 3_600,
        restore_s=(back - 1) * 3_600,
        cooldown_s=cooldown,
        by_itself=auto_restore and lever == "cap_steps",
        proposes=execution == "propose",
    )
    standing, at = Standing(state=State.ARMED), 0
    for gap, percent, sample in looks:
        at += gap
        value = None if percent is None else Fraction(percent, 100)
        verdict = evaluate(
            spec=spec,
            standing=standing,
            measured=Measured(value, sample, {}),
            at=NOW + timedelta(seconds=at),
        )
        standing = verdict.standing
        assert [str(each) for each in verdict.events] == oracle.look(at, percent, sample)
        assert standing.state == oracle.state


def test_the_worked_example_of_the_documents():
    spec = make_spec()
    steps = [
        ("09:00", 6, 10, "armed"),
        ("09:40", 7, 9, "armed"),
        ("10:00", 8, 12, "armed"),
        ("10:59", 8, 12, "armed"),
        ("11:00", 9, 14, "tripped"),
        ("11:30", 6, 12, "tripped"),
        ("12:00", 4, 12, "restoring"),
        ("13:00", 3, 12, "armed"),
    ]
    standing = Standing(state=State.ARMED)
    for clock, failed, calls, state in steps:
        at = datetime.fromisoformat(f"2026-11-20T{clock}:00+00:00")
        measured = measure(METRICS["error_rate"], {"failed": failed, "calls": calls})
        standing = evaluate(spec=spec, standing=standing, measured=measured, at=at).standing
        assert standing.state == state, clock


@given(looks=looks, threshold=st.sampled_from(["0", "0.5", "1"]))
def test_without_enough_evidence_nothing_ever_trips(looks, threshold):
    spec = make_spec(threshold=threshold, min_sample=21, consecutive=1)
    standing, at = Standing(state=State.ARMED), NOW
    for gap, percent, sample in looks:
        at += timedelta(seconds=gap)
        value = None if percent is None else Fraction(percent, 100)
        verdict = evaluate(
            spec=spec, standing=standing, measured=Measured(value, sample, {}), at=at
        )
        standing = verdict.standing
        assert verdict.evidence is Evidence.NOT_ENOUGH
        assert verdict.events == () and verdict.distance is None
    assert standing.state is State.ARMED


@pytest.mark.parametrize("state", [State.DRAFT, State.RETIRED])
def test_drafts_and_retired_ones_are_measured_and_nothing_follows(state):
    worst = Measured(Fraction(1), 10**6, {})
    verdict = evaluate(
        spec=make_spec(consecutive=1), standing=Standing(state=state), measured=worst, at=NOW
    )
    assert (verdict.standing.state, verdict.events) == (state, ())
    assert verdict.evidence is Evidence.BEYOND
    assert verdict.distance == Fraction(-1, 2)


def test_an_override_pulls_nothing_until_it_ends_and_then_it_counts_again():
    spec = make_spec(consecutive=1)
    until = NOW + timedelta(days=2)
    standing = Standing(state=State.OVERRIDDEN, override_until=until)
    worst = Measured(Fraction(1), 100, {})
    before = evaluate(
        spec=spec, standing=standing, measured=worst, at=until - timedelta(microseconds=1)
    )
    assert before.events == () and before.standing.state is State.OVERRIDDEN
    after = evaluate(spec=spec, standing=before.standing, measured=worst, at=until)
    assert after.events == (Event.REARM, Event.TRIP)


def test_to_tell_people_needs_nobodys_leave():
    spec = make_spec(lever="notify", amount=None, execution="propose", consecutive=1)
    verdict = evaluate(
        spec=spec,
        standing=Standing(state=State.ARMED),
        measured=Measured(Fraction(1), 100, {}),
        at=NOW,
    )
    assert verdict.events == (Event.TRIP,)


@given(
    threshold=st.integers(min_value=-1_000, max_value=1_000),
    value=st.fractions(min_value=-2_000, max_value=2_000),
    comparator=st.sampled_from([">", ">=", "<", "<="]),
)
def test_nothing_is_beyond_and_inside_at_once(threshold, value, comparator):
    spec = make_spec(threshold=str(threshold), comparator=comparator)
    assert not (is_beyond(spec, value) and is_inside(spec, value))


def test_p12_utilisation_is_one_definition():
    """A rule at 99 % fired at 0.40 of 15: the value is 0.026667 and nothing fires."""
    found = measure(
        METRICS["envelope_utilisation"],
        {"settled": 400_000_000, "leased": 0, "unsettled": 0, "cap": 15_000_000_000},
    )
    assert found.value == Fraction(2, 75)
    assert f"{float(found.value or 0):.6f}" == "0.026667"
    spec = make_spec(
        metric="envelope_utilisation", threshold="0.99", min_sample=1, consecutive=1
    )
    verdict = evaluate(spec=spec, standing=Standing(state=State.ARMED), measured=found, at=NOW)
    assert verdict.events == ()


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_the_formula_gives_the_golden_value(case):
    found = measure(METRICS[case["metric"]], case["inputs"])
    expected = None if case["value"] is None else Fraction(case["value"])
    assert (found.value, found.sample) == (expected, case["sample"])


def test_every_metric_has_a_golden_value():
    kyi = {each for each in METRICS if each.startswith("kyi_pillar:")}
    assert {case["metric"] for case in GOLDEN} >= set(METRICS) - kyi


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_an_input_that_nobody_knows_makes_the_value_unknown(metric):
    found = measure(METRICS[metric], {})
    assert found.value is None and set(found.missing) == set(METRICS[metric].needs)


@given(st.lists(st.integers(min_value=0, max_value=10**6), min_size=1, max_size=300))
def test_the_nearest_rank_has_so_many_at_or_below_it(values):
    rank = nearest_rank(values, 95)
    assert rank in values
    below = sum(each <= rank for each in values)
    assert below * 100 >= 95 * len(values)
    assert sum(each < rank for each in values) * 100 < 95 * len(values)


@pytest.mark.parametrize("offered", PACK, ids=lambda each: each.slug)
def test_what_is_offered_can_hold_and_reads_well(offered):
    check_spec(offered.spec, scope_kind=offered.scope_kind)
    text = signal_text(offered.spec, currency="USD")
    assert METRICS[offered.spec.metric].label in text


def test_the_pack_acts_by_itself_only_where_the_design_says():
    auto = {each.slug for each in PACK if each.spec.execution == "auto"}
    assert auto == {"envelope-spent", "served-against-compliance", "eval-collapse"}


@pytest.mark.parametrize(
    ("change", "looser"),
    [
        ({"threshold": "0.4"}, False),
        ({"threshold": "0.6"}, True),
        ({"lever": "notify", "amount": None}, True),
        ({"lever": "freeze", "amount": None}, False),
        ({"lever": "rightsizing", "amount": None}, True),
        ({"lever": "sunset", "amount": 30}, True),
        ({"amount": 4}, False),
        ({"amount": 6}, True),
        ({"window_s": 60}, True),
        ({"min_sample": 5}, True),
        ({"execution": "propose"}, True),
        ({"owner": "usr_x"}, False),
    ],
)
def test_whatever_is_not_surely_stricter_loosens(change, looser):
    before = make_spec()
    assert loosens(before=before, after=msgspec.structs.replace(before, **change)) is looser


def test_a_freeze_is_not_lifted_by_a_lever_that_stands_higher():
    frozen = make_spec(lever="freeze", amount=None)
    winding = msgspec.structs.replace(frozen, lever="sunset", amount=366)
    assert loosens(before=frozen, after=winding)
    assert loosens(before=winding, after=frozen)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lever": "notify", "board_review": True, "amount": None}, "/spec/board_review"),
        ({"review_cap": 5}, "/spec/review_cap"),
        (
            {"lever": "throttle", "board_review": True, "review_cap": 5},
            "/spec/review_cap",
        ),
        ({"board_review": True, "review_cap": -1}, "/spec/review_cap"),
        ({"model": "gpt"}, "/spec/model"),
    ],
)
def test_a_board_review_never_stands_alone(change, field):
    with pytest.raises(ValidationFailed) as failure:
        check_spec(make_spec(**change), scope_kind="use_case")
    assert [each.pointer for each in failure.value.errors] == [field]


@pytest.mark.parametrize("lever", sorted(Lever))
def test_only_the_milder_levers_restore_themselves(lever):
    spec = make_spec(lever=lever)
    assert spec.restores_itself is (lever not in {"freeze", "sunset"})
    assert not make_spec(lever=lever, board_review=True).restores_itself


def test_a_restore_threshold_beyond_the_threshold_is_refused():
    with pytest.raises(ValidationFailed):
        check_spec(make_spec(restore_threshold="0.7"), scope_kind="use_case")


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("error_rate", "1/8", "12.5%"),
        ("error_rate", "-1/3", "−33.3%"),
        ("burn_multiple", "3/2", "1.5×"),
        ("repeat_loop", "1234", "1,234"),
        ("p95_latency", "1250", "1,250 ms"),
        ("kyi_composite", "64.96", "65"),
    ],
)
def test_values_are_written_for_people(metric, value, text):
    assert value_text(METRICS[metric], Fraction(value), currency="USD") == text


def test_how_near_it_is_counts_up_to_the_threshold():
    spec = make_spec(threshold="0.5")
    assert progress_ppm(spec, Fraction(1, 4)) == 500_000
    assert progress_ppm(spec, Fraction(1, 2)) == 1_000_000
    assert progress_ppm(make_spec(comparator="<", threshold="65"), Fraction(130)) == 500_000
    assert progress_ppm(spec, None) is None


def test_the_worked_example_of_a_breach():
    weeks = [[1] * 7, [4] * 7]
    week = 7 * 86_400
    assert breach_ppm(weeks=weeks, spent=60, cap=100, seconds_left=week) == 0
    assert breach_ppm(weeks=weeks, spent=60, cap=100, seconds_left=2 * week) == 250_000
    assert breach_ppm(weeks=[], spent=60, cap=100, seconds_left=week) is None
    # Half a day of the first day's spend: 62, and 62 is not above 62.
    half = {"weeks": [[4] * 7], "spent": 60, "seconds_left": 43_200}
    assert breach_ppm(cap=62, **half) == 0
    assert breach_ppm(cap=61, **half) == 1_000_000


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 10**12), min_size=7, max_size=7), min_size=1, max_size=8),
    st.integers(0, 10**13),
    st.integers(0, 10**13),
    st.integers(0, 400 * 86_400),
)
def test_a_breach_is_a_share_that_falls_with_the_cap(weeks, spent, cap, seconds_left):
    asked = {"weeks": weeks, "spent": spent, "seconds_left": seconds_left}
    share = breach_ppm(cap=cap, **asked)
    assert share is not None and 0 <= share <= 1_000_000
    assert breach_ppm(cap=cap, **asked) == share
    assert (breach_ppm(cap=cap + 10**11, **asked) or 0) <= share
    assert spent <= cap or share == 1_000_000
