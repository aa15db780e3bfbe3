"""Which signals can a kill criterion watch, and how is each computed from counted inputs?

Every metric is an exact fraction of integers that were counted in ledger entries (or handed up
by whoever keeps them) up to a stated position. An input that nobody knows makes the value
unknown, never zero.
Source: product.md section 7.1; docs/algorithms/kill-criteria.md. Units: nanos; parts per
million where a name ends in `_ppm`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from o10.kernel.money import NANOS_PER_UNIT

Inputs = Mapping[str, int]
PPM: Final = 1_000_000
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
JUMP_SHARE_PPM: Final = 200_000
"""A model's share must rise by so much before a dearer mix counts as a switch."""
SUCCESS_STEP_PPM: Final = 10_000
COLLAPSE_PPM: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is measured, from which inputs, with how much evidence at least?

    `money` = looked at as soon as spend is booked; the others every minute. `unit` is how a
    value is written: share, ratio, money (whole units of the currency), count, days, points,
    ms, score.
    """

    id: str
    label: str
    unit: str
    needs: tuple[str, ...]
    formula: Callable[[Inputs], Fraction | None]
    sample: Callable[[Inputs], int]
    min_sample: int = 1
    window_s: int = HOUR_S
    money: bool = False
    comparator: str = ">="
    scope: str = "any"
    means: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out? `value` None = not known, and `missing` says which inputs nobody has."""

    value: Fraction | None
    sample: int
    inputs: Inputs
    missing: tuple[str, ...] = ()


def measure(metric: Metric, inputs: Inputs) -> Measured:
    """What does the metric say of these inputs?

    Source: product.md section 7.1. Golden: tests/golden/kill_metrics.json.
    """
    missing = tuple(name for name in metric.needs if name not in inputs)
    if missing:
        return Measured(None, 0, dict(inputs), missing)
    return Measured(metric.formula(inputs), metric.sample(inputs), dict(inputs))


def find_metric(metric_id: str) -> Metric | None:
    """Which metric has this id? None = there is none."""
    return METRICS.get(metric_id)


def nearest_rank(values: Sequence[int], percent: int) -> int | None:
    """Which value is the percentile by nearest rank? None of none."""
    if not values:
        return None
    rank = max(1, -(-percent * len(values) // 100))
    return sorted(values)[rank - 1]


def over(numerator: str, denominator: str) -> Callable[[Inputs], Fraction | None]:
    """The one by the other; not known where the other is not positive."""

    def formula(inputs: Inputs) -> Fraction | None:
        below = inputs[denominator]
        return Fraction(inputs[numerator], below) if below > 0 else None

    return formula


def _plain(name: str) -> Callable[[Inputs], Fraction | None]:
    return lambda inputs: Fraction(inputs[name])


def _ppm(name: str) -> Callable[[Inputs], Fraction | None]:
    return lambda inputs: Fraction(inputs[name], PPM)


def _mille(name: str) -> Callable[[Inputs], Fraction | None]:
    return lambda inputs: Fraction(inputs[name], 1_000)


def _count(name: str) -> Callable[[Inputs], int]:
    return lambda inputs: inputs[name]


def _one(_: Inputs) -> int:
    return 1


def _utilisation(inputs: Inputs) -> Fraction | None:
    exposure = inputs["settled"] + inputs["leased"] + inputs["unsettled"]
    return Fraction(exposure, inputs["cap"]) if inputs["cap"] > 0 else None


def _margin(inputs: Inputs) -> Fraction | None:
    return Fraction(inputs["value_nanos"] - inputs["cost_upper_nanos"], NANOS_PER_UNIT)


def _per_outcome(inputs: Inputs) -> Fraction | None:
    if inputs["outcomes"] <= 0:
        return None
    return Fraction(inputs["full_cost"], inputs["outcomes"] * NANOS_PER_UNIT)


def _week_on_week(inputs: Inputs) -> Fraction | None:
    if inputs["outcomes"] <= 0 or inputs["outcomes_before"] <= 0:
        return None
    now = Fraction(inputs["full_cost"], inputs["outcomes"])
    before = Fraction(inputs["full_cost_before"], inputs["outcomes_before"])
    return now / before - 1 if before > 0 else None


def _spend_jump(inputs: Inputs) -> Fraction | None:
    """Only while success has not risen by a point: more success may cost more."""
    if inputs["same_weekdays"] <= 0 or inputs["same_weekday_spend"] <= 0:
        return None
    mean = Fraction(inputs["same_weekday_spend"], inputs["same_weekdays"])
    jump = inputs["spend"] / mean - 1
    risen = inputs.get("success_ppm", 0) - inputs.get("success_before_ppm", 0)
    return min(jump, Fraction(0)) if risen >= SUCCESS_STEP_PPM else jump


def _floor_gap(inputs: Inputs) -> Fraction | None:
    return Fraction(inputs["eval_lower_ppm"] - inputs["eval_bar_ppm"], 10_000)


def _collapsed(inputs: Inputs) -> Fraction | None:
    below = inputs["eval_lower_ppm"] < inputs["eval_bar_ppm"]
    fell = inputs["eval_score_ppm"] < inputs["eval_median_ppm"] - COLLAPSE_PPM
    return Fraction(int(below or fell))


def _unsettled(inputs: Inputs) -> Fraction | None:
    both = inputs["settled"] + inputs["unsettled"]
    return Fraction(inputs["unsettled"], both) if both > 0 else None


def _dearer(inputs: Inputs) -> Fraction | None:
    """Cost per token against the week before; only where another model took over."""
    if min(inputs["tokens"], inputs["tokens_before"], inputs["direct_before"]) <= 0:
        return None
    now = Fraction(inputs["direct"], inputs["tokens"])
    before = Fraction(inputs["direct_before"], inputs["tokens_before"])
    moved = inputs["share_gained_ppm"] >= JUMP_SHARE_PPM
    return now / before - 1 if moved else min(now / before - 1, Fraction(0))


def _all() -> tuple[Metric, ...]:
    return (
        Metric(
            id="envelope_utilisation",
            label="Envelope used",
            unit="share",
            needs=("settled", "leased", "unsettled", "cap"),
            formula=_utilisation,
            sample=_one,
            money=True,
            means="(settled + lent + unsettled) / cap of the running period",
        ),
        Metric(
            id="p_breach",
            label="Probability of a breach",
            unit="share",
            needs=("p_breach_ppm",),
            formula=_ppm("p_breach_ppm"),
            sample=_one,
            means="P(spend at the end of the period > cap), from the paths of the forecast",
        ),
        Metric(
            id="burn_multiple",
            label="Spend against plan",
            unit="ratio",
            needs=("spend", "plan", "hours"),
            formula=over("spend", "plan"),
            sample=_count("hours"),
            window_s=DAY_S,
            money=True,
            means="spend of the window / plan of the window",
        ),
        Metric(
            id="cost_per_outcome",
            label="Cost per outcome",
            unit="money",
            needs=("full_cost", "outcomes"),
            formula=_per_outcome,
            sample=_count("outcomes"),
            min_sample=30,
            window_s=7 * DAY_S,
            money=True,
            means="fully loaded cost / confirmed outcomes",
        ),
        Metric(
            id="margin_per_outcome",
            label="Margin per outcome",
            unit="money",
            needs=("value_nanos", "cost_upper_nanos", "outcomes"),
            formula=_margin,
            sample=_count("outcomes"),
            min_sample=30,
            window_s=30 * DAY_S,
            money=True,
            comparator="<",
            means="approved value per outcome - 90 % upper bound of its cost",
        ),
        Metric(
            id="cost_per_outcome_wow",
            label="Cost per outcome, week on week",
            unit="share",
            needs=("full_cost", "outcomes", "full_cost_before", "outcomes_before"),
            formula=_week_on_week,
            sample=lambda inputs: min(inputs["outcomes"], inputs["outcomes_before"]),
            min_sample=30,
            window_s=7 * DAY_S,
            money=True,
            comparator=">",
            means="cost per outcome of 7 days / that of the 7 days before - 1",
        ),
        Metric(
            id="retry_waste",
            label="Wasted on attempts that did not serve",
            unit="share",
            needs=("waste", "direct", "calls"),
            formula=over("waste", "direct"),
            sample=_count("calls"),
            min_sample=200,
            window_s=DAY_S,
            money=True,
            comparator=">",
            means="cost of attempts that failed, were cancelled or lost a race / direct cost",
        ),
        Metric(
            id="premium_share",
            label="Frontier models on simple tasks",
            unit="share",
            needs=("premium", "direct", "calls"),
            formula=over("premium", "direct"),
            sample=_count("calls"),
            min_sample=200,
            window_s=7 * DAY_S,
            comparator=">",
            means="direct cost at frontier prices for task type simple / direct cost",
        ),
        Metric(
            id="review_share",
            label="Human review in the full cost",
            unit="share",
            needs=("review", "full_cost"),
            formula=over("review", "full_cost"),
            sample=_one,
            window_s=DAY_S,
            comparator=">",
            means="cost of human review / fully loaded cost, month to date",
        ),
        Metric(
            id="spend_jump",
            label="Spend against the same weekday",
            unit="share",
            needs=("spend", "same_weekday_spend", "same_weekdays", "history_days"),
            formula=_spend_jump,
            sample=_count("history_days"),
            min_sample=28,
            window_s=DAY_S,
            money=True,
            comparator=">",
            means="spend of 24 h / mean of the same weekday over 28 days - 1",
        ),
        Metric(
            id="floor_gap",
            label="Distance to the floor",
            unit="points",
            needs=("eval_lower_ppm", "eval_bar_ppm", "eval_n"),
            formula=_floor_gap,
            sample=_count("eval_n"),
            min_sample=50,
            comparator="<",
            means="lower bound of the eval - bar",
        ),
        Metric(
            id="eval_collapse",
            label="Eval collapsed",
            unit="count",
            needs=(
                "eval_lower_ppm",
                "eval_bar_ppm",
                "eval_score_ppm",
                "eval_median_ppm",
                "eval_n",
            ),
            formula=_collapsed,
            sample=_count("eval_n"),
            min_sample=50,
            means="1 = the lower bound under the bar, or the score 5 points under its median",
        ),
        Metric(
            id="eval_age",
            label="Days since a passing eval",
            unit="days",
            needs=("eval_age_days",),
            formula=_plain("eval_age_days"),
            sample=_one,
            comparator=">",
            means="days since the last passing eval",
        ),
        Metric(
            id="error_rate",
            label="Failed attempts",
            unit="share",
            needs=("failed", "calls"),
            formula=over("failed", "calls"),
            sample=_count("calls"),
            min_sample=200,
            comparator=">",
            means="failed attempts / attempts",
        ),
        Metric(
            id="p95_latency",
            label="Latency, 95th percentile",
            unit="ms",
            needs=("p95_ms", "timed"),
            formula=_plain("p95_ms"),
            sample=_count("timed"),
            min_sample=200,
            comparator=">",
            means="nearest-rank 95th percentile of the latency of attempts",
        ),
        Metric(
            id="violations",
            label="Served against compliance",
            unit="count",
            needs=("violations",),
            formula=_plain("violations"),
            sample=_one,
            min_sample=0,
            window_s=DAY_S,
            means=(
                "calls served though residency, retention or approval said no,"
                " or by a model nobody authorized"
            ),
        ),
        Metric(
            id="unattributed_share",
            label="Spend nobody owns",
            unit="share",
            needs=("unattributed", "spend"),
            formula=over("unattributed", "spend"),
            sample=lambda inputs: inputs["spend"] // NANOS_PER_UNIT,
            window_s=DAY_S,
            scope="company",
            comparator=">",
            means="spend without a registered use case / spend",
        ),
        Metric(
            id="estimate_ratio",
            label="Actual against reserved",
            unit="ratio",
            needs=("actual", "reserved", "reserved_calls"),
            formula=over("actual", "reserved"),
            sample=_count("reserved_calls"),
            min_sample=200,
            window_s=DAY_S,
            comparator=">",
            means="sum of actual cost / sum of reserved money",
        ),
        Metric(
            id="unsettled_share",
            label="Unsettled",
            unit="share",
            needs=("unsettled", "settled", "calls"),
            formula=_unsettled,
            sample=_count("calls"),
            min_sample=100,
            window_s=DAY_S,
            money=True,
            comparator=">",
            means="unsettled / (settled + unsettled)",
        ),
        Metric(
            id="unguarded_share",
            label="Unguarded",
            unit="share",
            needs=("unguarded", "settled", "calls"),
            formula=over("unguarded", "settled"),
            sample=_count("calls"),
            min_sample=100,
            window_s=DAY_S,
            money=True,
            comparator=">",
            means="unguarded / settled",
        ),
        Metric(
            id="price_coverage",
            label="Tokens with an approved price",
            unit="share",
            needs=("tokens_priced", "tokens"),
            formula=over("tokens_priced", "tokens"),
            sample=_count("tokens"),
            window_s=DAY_S,
            comparator="<",
            means="tokens booked at a price of the price book / tokens",
        ),
        *(
            Metric(
                id=name,
                label=label,
                unit="score",
                needs=(f"{name}_mille",),
                formula=_mille(f"{name}_mille"),
                sample=_one,
                comparator="<",
                window_s=DAY_S,
                means="the score of Know Your Inference, 0 to 100",
            )
            for name, label in (
                ("kyi_composite", "KYI composite"),
                *((f"kyi_pillar:{pillar}", f"KYI pillar {pillar}") for pillar in "PEISR"),
            )
        ),
        Metric(
            id="repeat_loop",
            label="The same call again and again",
            unit="count",
            needs=("repeats", "asked"),
            formula=_plain("repeats"),
            sample=_count("asked"),
            min_sample=5,
            window_s=600,
            money=True,
            means="most calls of one step fingerprint, or of one repeated request of a run",
        ),
        Metric(
            id="dearer_model",
            label="Silent switch to a dearer model",
            unit="share",
            needs=(
                "direct",
                "tokens",
                "direct_before",
                "tokens_before",
                "share_gained_ppm",
                "calls",
            ),
            formula=_dearer,
            sample=_count("calls"),
            min_sample=200,
            window_s=DAY_S,
            money=True,
            comparator=">",
            means=(
                "cost per token / that of the 7 days before - 1,"
                " where a dearer model gained 20 points of share"
            ),
        ),
        Metric(
            id="idle_schedule",
            label="Steady nights without outcomes",
            unit="count",
            needs=("steady_nights", "nights"),
            formula=_plain("steady_nights"),
            sample=_count("nights"),
            min_sample=7,
            window_s=7 * DAY_S,
            means="nights of the last seven with steady spend while no outcome was confirmed",
        ),
    )


METRICS: Final[Mapping[str, Metric]] = {metric.id: metric for metric in _all()}
"""The catalogue, by id."""
