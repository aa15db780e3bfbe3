"""Which signals can a kill criterion watch, and how is each computed from counted inputs?

Every metric is an exact fraction of integers that were counted in ledger entries (or handed up
by whoever keeps them) up to a stated position. An input that nobody knows makes the value
unknown, never zero.
Source: product.md section 7.1; docs/algorithms/kill-criteria.md. Units: nanos; parts per
million where a name ends in `formulas.parts`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from o10.kernel.money import NANOS_PER_UNIT
from policies.core import metric_formulas as formulas
from policies.core.metric_formulas import Inputs

HOUR_S: Final = 3_600
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is measured, from which inputs, with how much evidence at least?

    `money` = looked at as soon as spend is booked; the others every minute. `unit` is how a
    value is written: share, ratio, money (whole units of the currency), count, days, points,
    ms, score. `keeper` = what has to be recorded beside the calls before it says anything.
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
    keeper: str = ""


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


def _all() -> tuple[Metric, ...]:
    return (
        Metric(
            id="envelope_utilisation",
            label="Envelope used",
            unit="share",
            needs=("settled", "leased", "unsettled", "cap"),
            formula=formulas.utilisation,
            sample=formulas.one,
            money=True,
            means="(settled + lent + unsettled) / cap of the running period",
        ),
        Metric(
            id="p_breach",
            label="Probability of a breach",
            unit="share",
            needs=("p_breach_ppm", "history_weeks"),
            formula=formulas.parts("p_breach_ppm"),
            sample=formulas.count("history_weeks"),
            min_sample=4,
            means=(
                "share of paths that end the period above the cap; a path adds whole weeks"
                " of the last eight to what is spent"
            ),
        ),
        Metric(
            id="burn_multiple",
            label="Spend against plan",
            unit="ratio",
            needs=("spend", "plan", "hours"),
            formula=formulas.over("spend", "plan"),
            sample=formulas.count("hours"),
            window_s=DAY_S,
            money=True,
            means="spend of the window / plan of the window",
            keeper="a plan",
        ),
        Metric(
            id="cost_per_outcome",
            label="Cost per outcome",
            unit="money",
            needs=("full_cost", "outcomes"),
            formula=formulas.per_outcome,
            sample=formulas.count("outcomes"),
            min_sample=30,
            window_s=7 * DAY_S,
            money=True,
            means="fully loaded cost / confirmed outcomes",
            keeper="outcomes",
        ),
        Metric(
            id="margin_per_outcome",
            label="Margin per outcome",
            unit="money",
            needs=("value_nanos", "cost_upper_nanos", "outcomes"),
            formula=formulas.margin,
            sample=formulas.count("outcomes"),
            min_sample=30,
            window_s=30 * DAY_S,
            money=True,
            comparator="<",
            means="approved value per outcome - 90% upper bound of its cost",
            keeper="outcomes",
        ),
        Metric(
            id="cost_per_outcome_wow",
            label="Cost per outcome, week on week",
            unit="share",
            needs=("full_cost", "outcomes", "full_cost_before", "outcomes_before"),
            formula=formulas.week_on_week,
            sample=lambda inputs: min(inputs["outcomes"], inputs["outcomes_before"]),
            min_sample=30,
            window_s=7 * DAY_S,
            money=True,
            comparator=">",
            means="cost per outcome of 7 days / that of the 7 days before - 1",
            keeper="outcomes",
        ),
        Metric(
            id="retry_waste",
            label="Wasted on attempts that did not serve",
            unit="share",
            needs=("waste", "direct", "calls"),
            formula=formulas.over("waste", "direct"),
            sample=formulas.count("calls"),
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
            formula=formulas.over("premium", "direct"),
            sample=formulas.count("calls"),
            min_sample=200,
            window_s=7 * DAY_S,
            comparator=">",
            means="direct cost of frontier models for task type simple / direct cost",
        ),
        Metric(
            id="review_share",
            label="Human review in the full cost",
            unit="share",
            needs=("review", "full_cost"),
            formula=formulas.over("review", "full_cost"),
            sample=formulas.one,
            window_s=DAY_S,
            comparator=">",
            means="cost of human review / fully loaded cost, month to date",
            keeper="full cost",
        ),
        Metric(
            id="spend_jump",
            label="Spend against the same weekday",
            unit="share",
            needs=("spend", "same_weekday_spend", "same_weekdays", "history_days"),
            formula=formulas.spend_jump,
            sample=formulas.count("history_days"),
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
            formula=formulas.floor_gap,
            sample=formulas.count("eval_n"),
            min_sample=50,
            comparator="<",
            means="lower bound of the eval - bar",
            keeper="evals",
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
            formula=formulas.collapsed,
            sample=formulas.count("eval_n"),
            min_sample=50,
            means="1 = the lower bound under the bar, or the score 5 points under its median",
            keeper="evals",
        ),
        Metric(
            id="eval_age",
            label="Days since a passing eval",
            unit="days",
            needs=("eval_age_days",),
            formula=formulas.plain("eval_age_days"),
            sample=formulas.one,
            comparator=">",
            means="days since the last passing eval",
            keeper="evals",
        ),
        Metric(
            id="error_rate",
            label="Failed attempts",
            unit="share",
            needs=("failed", "calls"),
            formula=formulas.over("failed", "calls"),
            sample=formulas.count("calls"),
            min_sample=200,
            comparator=">",
            means="failed attempts / attempts",
        ),
        Metric(
            id="p95_latency",
            label="Latency, 95th percentile",
            unit="ms",
            needs=("p95_ms", "timed"),
            formula=formulas.plain("p95_ms"),
            sample=formulas.count("timed"),
            min_sample=200,
            comparator=">",
            means="nearest-rank 95th percentile of the latency of attempts",
        ),
        Metric(
            id="violations",
            label="Served against compliance",
            unit="count",
            needs=("violations",),
            formula=formulas.plain("violations"),
            sample=formulas.one,
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
            formula=formulas.over("unattributed", "spend"),
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
            formula=formulas.over("actual", "reserved"),
            sample=formulas.count("reserved_calls"),
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
            formula=formulas.unsettled,
            sample=formulas.count("calls"),
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
            formula=formulas.over("unguarded", "settled"),
            sample=formulas.count("calls"),
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
            formula=formulas.over("tokens_priced", "tokens"),
            sample=formulas.count("tokens"),
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
                formula=formulas.mille(f"{name}_mille"),
                sample=formulas.one,
                comparator="<",
                window_s=DAY_S,
                means="the score of Know Your Inference, 0 to 100",
                keeper="KYI scores",
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
            formula=formulas.plain("repeats"),
            sample=formulas.count("asked"),
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
            formula=formulas.dearer,
            sample=formulas.count("calls"),
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
            formula=formulas.plain("steady_nights"),
            sample=formulas.count("nights"),
            min_sample=7,
            window_s=7 * DAY_S,
            means="nights of the last seven with steady spend while no outcome was confirmed",
            keeper="outcomes",
        ),
    )


METRICS: Final[Mapping[str, Metric]] = {metric.id: metric for metric in _all()}
"""The catalogue, by id."""
