"""What does a kill criterion say, and can it hold? If this signal, then this lever.

Written in advance and agreed by two people. Thresholds are decimal texts, compared as exact
fractions: no rounding decides whether a use case is stopped.
Source: product.md section 7.2; docs/algorithms/kill-criteria.md.
Units: seconds; `amount` output tokens, steps, nanos an hour or days, by the lever.
"""

import re
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

import msgspec

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import MAX_NANOS
from policies.core.levers import NEEDS_AMOUNT, TWO_PEOPLE, Lever
from policies.core.metrics import find_metric

SCOPES: Final = ("company", "department", "use_case")
COMPARATORS: Final = (">", ">=", "<", "<=")
SEVERITIES: Final = ("info", "warning", "critical")
EXECUTIONS: Final = ("auto", "propose")
DAY_S: Final = 86_400
OVERRIDE_MOST: Final = timedelta(days=14)
_DECIMAL: Final = re.compile(r"-?\d{1,18}(\.\d{1,9})?", re.A)
_MOST: Final = {
    Lever.CAP_OUTPUT: 10_000_000,
    Lever.CAP_STEPS: 100_000,
    Lever.THROTTLE: MAX_NANOS,
    Lever.SUNSET: 366,
}


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """Which signal, when is it beyond, which lever, who owns it?

    `restore_threshold` empty = 10 % inside the threshold. `consecutive` windows must be beyond
    without a break, `restore_consecutive` inside. `model` of rightsizing, empty = the cheapest
    that is permitted. `board_review` = a work item goes with it, due after `review_days`; until
    it is decided at most `review_cap` nanos an hour are spent, also once the lever is lifted.
    """

    metric: str
    comparator: str = ">="
    threshold: str
    window_s: int = 3_600
    min_sample: int = 1
    consecutive: int = 2
    severity: str = "warning"
    lever: str = "notify"
    amount: int | None = None
    model: str = ""
    board_review: bool = False
    review_days: int = 14
    review_cap: int | None = None
    execution: str = "auto"
    cooldown_s: int = DAY_S
    restore_threshold: str = ""
    restore_consecutive: int = 3
    auto_restore: bool = True
    owner: str = ""
    review_by: date | None = None
    evidence: str = ""

    @property
    def step(self) -> timedelta:
        """How far do consecutive windows lie apart? A window, but a day at most."""
        return timedelta(seconds=min(self.window_s, DAY_S))

    @property
    def restores_itself(self) -> bool:
        """May it be lifted without people? Never from a freeze up, nor with a board review."""
        return (
            self.auto_restore and Lever(self.lever) not in TWO_PEOPLE and not self.board_review
        )

    @property
    def beyond_at(self) -> Fraction:
        """From which value on is it beyond?"""
        return Fraction(self.threshold)

    @property
    def inside_at(self) -> Fraction:
        """From which value on is it inside again?"""
        if self.restore_threshold:
            return Fraction(self.restore_threshold)
        tenth = abs(self.beyond_at) / 10
        return self.beyond_at - tenth if self.rises else self.beyond_at + tenth

    @property
    def rises(self) -> bool:
        """Is more worse?"""
        return self.comparator in (">", ">=")


def is_beyond(spec: Spec, value: Fraction) -> bool:
    """Does this value reach the threshold?"""
    match spec.comparator:
        case ">":
            return value > spec.beyond_at
        case ">=":
            return value >= spec.beyond_at
        case "<":
            return value < spec.beyond_at
    return value <= spec.beyond_at


def is_inside(spec: Spec, value: Fraction) -> bool:
    """Is this value inside the restore threshold, so that it counts as over?"""
    if is_beyond(spec, value):
        return False
    return value <= spec.inside_at if spec.rises else value >= spec.inside_at


def loosens(*, before: Spec, after: Spec) -> bool:
    """Does the change let more happen than before? Whatever is not surely stricter does."""
    if before == after:
        return False
    same = msgspec.structs.replace(
        after,
        threshold=before.threshold,
        lever=before.lever,
        amount=before.amount,
        owner=before.owner,
        evidence=before.evidence,
        review_by=before.review_by,
    )
    if same != before or not _as_strict(Lever(before.lever), Lever(after.lever)):
        return True
    later = (
        after.beyond_at > before.beyond_at
        if before.rises
        else after.beyond_at < before.beyond_at
    )
    weaker = after.lever == before.lever and (after.amount or 0) > (before.amount or 0)
    return later or weaker


def _as_strict(before: Lever, after: Lever) -> bool:
    """Does the other lever surely hold all that the one held? Only a freeze holds everything;
    a sunset lets calls through, though it stands above it.
    """
    return after == before or (after is Lever.FREEZE and before is not Lever.SUNSET)


def check_spec(spec: Spec, *, scope_kind: str) -> None:
    """Can this criterion hold?

    Raises: ValidationFailed (`validation_failed`) naming every field that cannot.
    """
    errors = [*_signal_errors(spec, scope_kind), *_lever_errors(spec)]
    if errors:
        raise ValidationFailed(errors=errors)


def _signal_errors(spec: Spec, scope_kind: str) -> list[FieldError]:
    metric = find_metric(spec.metric)
    found = [
        _wrong(metric is None, "metric", f"There is no metric {spec.metric[:60]}."),
        _wrong(
            metric is not None and metric.scope == "company" and scope_kind != "company",
            "metric",
            "This metric is one of the whole company.",
        ),
        _wrong(scope_kind not in SCOPES, "scope", f"One of {', '.join(SCOPES)}."),
        _wrong(
            spec.comparator not in COMPARATORS,
            "comparator",
            f"One of {', '.join(COMPARATORS)}.",
        ),
        _wrong(
            not _DECIMAL.fullmatch(spec.threshold), "threshold", "A plain number such as 0.15."
        ),
        _wrong(spec.severity not in SEVERITIES, "severity", f"One of {', '.join(SEVERITIES)}."),
        _range(spec.window_s, "window_s", 60, 400 * DAY_S),
        _range(spec.min_sample, "min_sample", 0, 10**12),
        _range(spec.consecutive, "consecutive", 1, 1_000),
        _range(spec.restore_consecutive, "restore_consecutive", 1, 1_000),
        _range(spec.cooldown_s, "cooldown_s", 0, 366 * DAY_S),
        _wrong(len(spec.owner) > 64, "owner", "At most 64 characters."),
        _wrong(len(spec.evidence) > 400, "evidence", "At most 400 characters."),
    ]
    errors = [each for each in found if each is not None]
    if not errors and spec.restore_threshold:
        errors += _restore_errors(spec)
    return errors


def _restore_errors(spec: Spec) -> list[FieldError]:
    if not _DECIMAL.fullmatch(spec.restore_threshold):
        message = "A plain number such as 0.12."
        return [FieldError("/spec/restore_threshold", "malformed", message)]
    if is_beyond(spec, spec.inside_at):
        message = "It must lie inside the threshold, or the lever would never hold."
        return [FieldError("/spec/restore_threshold", "out_of_range", message)]
    return []


def _lever_errors(spec: Spec) -> list[FieldError]:
    if spec.lever not in set(Lever):
        return [FieldError("/spec/lever", "unknown", f"One of {', '.join(Lever)}.")]
    lever = Lever(spec.lever)
    needs = lever in NEEDS_AMOUNT
    amount = spec.amount if spec.amount is not None else 0
    least = 0 if lever is Lever.THROTTLE else 1
    found = [
        _wrong(
            needs and (spec.amount is None or not least <= amount <= _MOST[lever]),
            "amount",
            "This lever needs a number: output tokens, steps, money an hour, or days.",
        ),
        _wrong(not needs and spec.amount is not None, "amount", "This lever has no number."),
        _wrong(
            lever is not Lever.RIGHTSIZING and spec.model,
            "model",
            "Only rightsizing names a model.",
        ),
        _wrong(len(spec.model) > 128, "model", "At most 128 characters."),
        _wrong(spec.execution not in EXECUTIONS, "execution", "auto or propose."),
        *_review_errors(spec, lever),
    ]
    return [each for each in found if each is not None]


def _review_errors(spec: Spec, lever: Lever) -> list[FieldError | None]:
    cap = spec.review_cap
    return [
        _range(spec.review_days, "review_days", 1, 366),
        _wrong(
            spec.board_review and lever is Lever.NOTIFY,
            "board_review",
            "A board review goes with a lever that holds meanwhile, never alone.",
        ),
        _wrong(
            cap is not None and not spec.board_review,
            "review_cap",
            "An interim cap goes with a board review.",
        ),
        _wrong(
            cap is not None and lever is Lever.THROTTLE,
            "review_cap",
            "A throttle is the interim cap itself.",
        ),
        _range(cap or 0, "review_cap", 0, MAX_NANOS),
    ]


def _wrong(is_wrong: object, field: str, message: str) -> FieldError | None:
    return FieldError(f"/spec/{field}", "invalid", message) if is_wrong else None


def _range(value: int, field: str, least: int, most: int) -> FieldError | None:
    return _wrong(not least <= value <= most, field, f"Between {least:,} and {most:,}.")
