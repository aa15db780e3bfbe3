"""May this call spend? Request, snapshot, what is left → one ruling. ← THE AUTHORIZATION

The order of checks is the order of reason codes; the first that denies ends the evaluation, so
that equal inputs give the equal first code. Everything that can deny stands in one of two
tables: `CHECKS` of `policies.core.checks` (is the call allowed at all?) and `_budgets` (does it
fit?).
Source: product.md sections 4.2, 4.3 and 6; docs/algorithms/reason-order.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from o10.kernel.money import Nanos, amount_text
from o10.wire.decisions import Mode, Outcome, ReasonEntry
from o10.wire.reasons import Again, Reason
from policies.core import estimate, levers
from policies.core.checks import CHECKS, Case, case_of
from policies.core.envelope import Balance, binding, left, soft_thresholds_passed
from policies.core.estimate import WorstCase
from policies.core.question import Left, Question
from policies.core.snapshot import Place, Snapshot, UseCaseRule

ALWAYS_ENFORCED = frozenset(
    {
        Reason.KEY_NOT_SCOPED,
        Reason.USE_CASE_UNKNOWN,
        Reason.EMERGENCY_STOP,
        Reason.USE_CASE_SUNSET,
    }
)
"""Denials that no mode softens: who may not ask has no mode, and a stop is no trial."""
RETRY_AFTER_MOST_S = 86_400
"""A router is told to come back within a day, even where the period is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What was decided, and what has to be held for it?

    `outcome` is what the router hears, `would` what the policy says; they differ in observe
    and shadow. `worst` is there as soon as a worst case could be priced.
    """

    outcome: Outcome
    would: Outcome
    mode: Mode
    reasons: tuple[ReasonEntry, ...]
    rule: UseCaseRule | None
    place: Place | None
    worst: WorstCase | None
    max_output_tokens: int
    binding: int | None = None
    retry_after_s: int | None = None
    steps_remaining: int | None = None

    @property
    def holds(self) -> bool:
        """Does this ruling take money? Only an enforced yes does."""
        return self.would.goes and self.mode is Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class _Budget:
    """Which limit of money must the worst case stay within? None = no limit."""

    reason: Reason
    nanos: Nanos | None
    name: str
    level: int | None = None


def decide(*, question: Question, snapshot: Snapshot, left: Left) -> Ruling:
    """May this call spend, why, and how much must be held?

    Raises: nothing; every answer is a ruling.
    """
    rule = snapshot.use_cases.get(question.request.use_case)
    case = case_of(question, rule)
    for reason, check in CHECKS:
        detail = check(case)
        if detail is not None:
            return _denied(case, reason, detail)
    return _decide_money(case, left)


def _decide_money(case: Case, left: Left) -> Ruling:
    price, bound = case.question.price, case.bound
    if price is None or bound is None:
        raise LookupError("the checks before money guarantee a price and a bound")
    rule = case.known_rule
    top = estimate.ceiling(rates=price.rates, may_write_cache=rule.may_write_cache)
    budgets = _budgets(case, left)
    granted = _granted(case, top, budgets)
    least = granted if granted is not None else _least(case)
    worst = estimate.worst_case(
        ceiling=top, input_bound=bound, max_output_tokens=least, n=case.request.n
    )
    for budget in budgets:
        if budget.nanos is not None and worst.nanos > budget.nanos:
            return _too_dear(case, budget, worst)
    return _allowed(case, left, worst)


def _granted(case: Case, top: estimate.Ceiling, budgets: Sequence[_Budget]) -> int | None:
    """How many output tokens can be granted? None = fewer than are of any use."""
    if not _may_shrink(case):
        return case.wanted
    limits = [budget.nanos for budget in budgets if budget.nanos is not None]
    fits = estimate.output_that_fits(
        ceiling=top,
        input_bound=case.bound or 0,
        n=case.request.n,
        budget_nanos=min(limits) if limits else None,
    )
    granted = case.wanted if fits is None else min(case.wanted, fits)
    return granted if granted >= _least(case) else None


def _may_shrink(case: Case) -> bool:
    return case.request.max_output_tokens is None or case.known_rule.fit_output


def _least(case: Case) -> int:
    return estimate.useful_output(
        wanted=case.wanted, p50_output_tokens=case.known_rule.p50_output_tokens
    )


def _budgets(case: Case, left_now: Left) -> tuple[_Budget, ...]:
    """Which limits hold, in the order of their codes? The own envelope before those above."""
    budgets = []
    if left_now.hour is not None:
        budgets.append(_Budget(Reason.KILL_CRITERION_ACTIVE, left_now.hour, "This hour"))
    budgets += [
        _Budget(Reason.PER_CALL_LIMIT, rule.per_call_nanos, rule.name)
        for rule in reversed(case.path)
        if rule.per_call_nanos is not None
    ]
    if case.request.run_id:
        budgets += [
            _Budget(Reason.PER_RUN_LIMIT, rule.per_run_nanos - left_now.run, rule.name)
            for rule in reversed(case.path)
            if rule.per_run_nanos is not None
        ]
    deepest = len(case.path) - 1
    own = left_now.path[deepest]
    budgets.append(
        _Budget(Reason.ENVELOPE_HARD_LIMIT, left(own), _named(case, deepest), deepest)
    )
    above = binding(left_now.path[:deepest])
    if above is not None:
        name = _named(case, above.index)
        budgets.append(
            _Budget(Reason.PARENT_ENVELOPE_EXHAUSTED, above.available, name, above.index)
        )
    return tuple(budgets)


def _too_dear(case: Case, budget: _Budget, worst: WorstCase) -> Ruling:
    currency = case.question.currency
    detail = (
        f"Needs {amount_text(worst.nanos)} {currency}; "
        f"{budget.name} has {amount_text(max(0, budget.nanos or 0))} left."
    )
    if budget.reason is Reason.PER_CALL_LIMIT:
        limit = amount_text(budget.nanos or 0)
        detail = (
            f"Needs {amount_text(worst.nanos)} {currency}; "
            f"{budget.name} allows {limit} for one call."
        )
    if budget.reason is Reason.KILL_CRITERION_ACTIVE:
        detail = f"{levers.told(case.known_rule.levers)} {detail}"
    ruling = _denied(case, budget.reason, detail, worst=worst)
    if budget.level is None:
        return ruling
    until = _until_reset(case, budget.level)
    return replace(ruling, binding=budget.level, retry_after_s=until)


def _allowed(case: Case, left_now: Left, worst: WorstCase) -> Ruling:
    rule = case.known_rule
    notes = _notes(case, left_now, worst)
    asked = case.request.max_output_tokens
    capped = asked is None or worst.max_output_tokens < asked
    steps = _steps_remaining(case)
    would = Outcome.ALLOW_WITH_CAPS if capped or steps is not None else Outcome.ALLOW
    if case.question.rightsized:
        would = Outcome.REROUTE
    tightest = binding(left_now.path)
    if rule.levers:
        notes += _lever_notes(case, steps)
    if capped:
        notes.append(_capped(asked, worst.max_output_tokens))
    notes.append(_fits(case, left_now, worst))
    mode = Mode(rule.mode)
    if mode is not Mode.ENFORCE:
        notes.append(_shadow(mode))
    return Ruling(
        outcome=would if mode is Mode.ENFORCE else Outcome.ALLOW,
        would=would,
        mode=mode,
        reasons=_ordered(notes),
        rule=rule,
        place=case.place,
        worst=worst,
        max_output_tokens=worst.max_output_tokens,
        binding=tightest.index if tightest else None,
        steps_remaining=steps,
    )


def _steps_remaining(case: Case) -> int | None:
    """How many steps has the run left by its levers? None = they say nothing."""
    rule = case.known_rule
    most = levers.step_cap(rule) if rule.levers else None
    return None if most is None else most - max(case.request.step or 0, case.request.attempt)


def _lever_notes(case: Case, steps: int | None) -> list[ReasonEntry]:
    """Which levers does an allowed call obey? All of them are told."""
    rule = case.known_rule
    notes = [ReasonEntry(code=Reason.KILL_CRITERION_ACTIVE, detail=levers.told(rule.levers))]
    ends = levers.sunset(rule)
    if ends is not None and ends.until is not None:
        detail = f"{rule.name} ends on {ends.until:%Y-%m-%d}; its budget shrinks every day."
        notes.append(ReasonEntry(code=Reason.USE_CASE_SUNSET, detail=detail))
    if steps is not None:
        detail = f"{steps:,} more steps or attempts."
        notes.append(ReasonEntry(code=Reason.CAPPED_STEPS, detail=detail))
    if case.question.rightsized and case.question.price is not None:
        detail = f"Use {case.question.price.model} instead of {case.request.model}."
        notes.append(ReasonEntry(code=Reason.RIGHTSIZED, detail=detail))
    return notes


def _notes(case: Case, left_now: Left, worst: WorstCase) -> list[ReasonEntry]:
    notes = []
    price = case.question.price
    if price is not None and price.stale:
        notes.append(ReasonEntry(code=Reason.PRICE_STALE, detail=f"{price.offer}: old price."))
    for rule, balance in zip(case.path, left_now.path, strict=True):
        # A soft envelope informs by its amount, though it has no cap that could deny.
        amount = rule.amount_nanos if balance.cap is None else balance.cap
        measured = Balance(
            balance.envelope_id, amount, balance.settled, balance.held, balance.unsettled
        )
        passed = soft_thresholds_passed(
            balance=measured, amount=worst.nanos, thresholds_ppm=rule.soft_thresholds_ppm
        )
        if passed:
            share = f"{passed[-1] / 10_000:g}"
            notes.append(
                ReasonEntry(
                    code=Reason.ENVELOPE_SOFT_LIMIT,
                    detail=f"{rule.name} is at or above {share} % of its amount.",
                )
            )
    return notes


def _capped(asked: int | None, granted: int) -> ReasonEntry:
    detail = f"Send max_tokens {granted}."
    if asked is not None:
        detail = f"Send max_tokens {granted} instead of {asked}."
    return ReasonEntry(code=Reason.CAPPED_TOKENS, detail=detail)


def _fits(case: Case, left_now: Left, worst: WorstCase) -> ReasonEntry:
    tightest = binding(left_now.path)
    if tightest is None:
        return ReasonEntry(
            code=Reason.OK_UNLIMITED, detail="No envelope of the path has a cap."
        )
    rest = amount_text(tightest.available - worst.nanos)
    name = _named(case, tightest.index)
    return ReasonEntry(
        code=Reason.OK_WITHIN_ENVELOPE,
        detail=f"At most {amount_text(worst.nanos)}; {name} keeps {rest}.",
    )


def _shadow(mode: Mode) -> ReasonEntry:
    return ReasonEntry(code=Reason.OK_SHADOW, detail=f"Mode {mode.value}: nothing is enforced.")


def _denied(
    case: Case, reason: Reason, detail: str, *, worst: WorstCase | None = None
) -> Ruling:
    mode = Mode(case.rule.mode) if case.rule else Mode.ENFORCE
    enforced = mode is Mode.ENFORCE or reason in ALWAYS_ENFORCED
    if reason is Reason.KILL_CRITERION_ACTIVE and levers.freezing(case.known_rule) is not None:
        # A freeze is a stop, like the emergency's.
        enforced = True
    reasons = [ReasonEntry(code=reason, detail=detail)]
    if not enforced:
        reasons.append(_shadow(mode))
    return Ruling(
        outcome=Outcome.DENY if enforced else Outcome.ALLOW,
        would=Outcome.DENY,
        mode=mode,
        reasons=tuple(reasons),
        rule=case.rule,
        place=case.place,
        worst=worst,
        max_output_tokens=case.wanted,
        retry_after_s=_retry_after(case, reason),
    )


def _retry_after(case: Case, reason: Reason) -> int | None:
    if reason.row.again is not Again.YES:
        return None
    starts = case.rule.starts_at if case.rule else None
    if reason is Reason.USE_CASE_NOT_STARTED and starts is not None:
        return _seconds(starts, case.question.now)
    return 60


def _until_reset(case: Case, level: int) -> int | None:
    place = case.place
    return _seconds(place.periods[level].end, case.question.now) if place else None


def _seconds(until: datetime, now: datetime) -> int:
    return max(1, min(RETRY_AFTER_MOST_S, int((until - now).total_seconds()) + 1))


def _ordered(notes: Sequence[ReasonEntry]) -> tuple[ReasonEntry, ...]:
    """In code order, one entry per code: the first said is the nearest to the root."""
    firsts: dict[Reason, ReasonEntry] = {}
    for note in notes:
        firsts.setdefault(note.code, note)
    return tuple(sorted(firsts.values(), key=lambda note: note.code.number))


def _named(case: Case, level: int) -> str:
    place = case.place
    return place.name_at(level) if place else case.path[level].name
