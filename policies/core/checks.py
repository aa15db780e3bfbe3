"""Is a call allowed at all, before money is looked at? One table of checks, in code order.

Each check returns a detail to deny with, or None. The first that denies ends the evaluation.
Source: product.md section 4.3; docs/algorithms/reason-order.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from o10.wire.reasons import Reason
from o10.wire.requests import Authorize
from policies.core import estimate, levers
from policies.core.question import Question, model_of
from policies.core.rules import EnvelopeRule, ModelRule, UseCaseRule
from policies.core.snapshot import Place

_NAMED_MOST = 5
"""Approved models that a denial names."""


@dataclass(frozen=True, slots=True)
class Case:
    """What do all checks look at?"""

    question: Question
    rule: UseCaseRule | None
    bound: int | None
    wanted: int

    @property
    def request(self) -> Authorize:
        """What was sent?"""
        return self.question.request

    @property
    def known_rule(self) -> UseCaseRule:
        """Which rule is it? Checks after USE_CASE_UNKNOWN have one."""
        if self.rule is None:
            raise LookupError("checks after USE_CASE_UNKNOWN have a rule")
        return self.rule

    @property
    def place(self) -> Place | None:
        """Where does the call draw its money from, if anywhere?"""
        place = self.question.place
        return place if isinstance(place, Place) else None

    @property
    def path(self) -> tuple[EnvelopeRule, ...]:
        """Which envelopes must it fit into? Root first."""
        return self.place.path if self.place else ()


def case_of(question: Question, rule: UseCaseRule | None) -> Case:
    """Which bounds has the call, before anything is checked?"""
    request = question.request
    bound = estimate.input_bound(input_tokens=request.input_tokens, prompt=request.prompt)
    default = rule.default_max_output_tokens if rule else None
    wanted = request.max_output_tokens
    if wanted is None:
        wanted = default or estimate.DEFAULT_OUTPUT_TOKENS
    most = question.price.max_output_tokens if question.price else None
    if rule is not None and rule.levers:
        lever_most = levers.output_cap(rule)
        wanted = wanted if lever_most is None else min(wanted, lever_most)
    return Case(question, rule, bound, wanted if most is None else min(wanted, most))


def _key_not_scoped(case: Case) -> str | None:
    if case.question.scoped:
        return None
    return f"This key may not spend for use case {case.request.use_case}."


def _use_case_unknown(case: Case) -> str | None:
    return None if case.rule else f"There is no use case {case.request.use_case}."


def _not_started(case: Case) -> str | None:
    starts = case.rule.starts_at if case.rule else None
    if starts is None or starts <= case.question.now:
        return None
    return f"{case.known_rule.name} starts at {starts:%Y-%m-%d %H:%M} UTC."


def _stopped(case: Case) -> str | None:
    rule = case.known_rule
    return f"{rule.name} is stopped." if rule.state == "stopped" else None


def _sunset(case: Case) -> str | None:
    rule = case.known_rule
    return f"{rule.name} is wound down." if rule.state == "sunset" else None


def _killed(case: Case) -> str | None:
    rule = case.known_rule
    if not rule.levers:
        return None
    most = levers.step_cap(rule)
    at = max(case.request.step or 0, case.request.attempt)
    if levers.freezing(rule) is None and (most is None or at <= most):
        return None
    return levers.told(rule.levers)


def _model_not_approved(case: Case) -> str | None:
    rule = case.known_rule
    if rule.models is None or _approvals(case):
        return None
    names = ", ".join(model.name for model in rule.models[:_NAMED_MOST]) or "none"
    return f"{_model_meant(case)} is not approved for {rule.name}; approved: {names}."


def _approval_expired(case: Case) -> str | None:
    rule, now = case.known_rule, case.question.now
    if rule.models is None:
        return None
    ends = [model.until for model in _approvals(case)]
    if not ends or any(until is None or now < until for until in ends):
        return None
    last = max(until for until in ends if until is not None)
    return f"{_model_meant(case)} was approved for {rule.name} until {last:%Y-%m-%d %H:%M} UTC."


def _approvals(case: Case) -> list[ModelRule]:
    """Those that name the model asked for, or the offer that would serve it."""
    price = case.question.price
    names = {_model_meant(case)} if price is None else {price.model, price.offer}
    return [model for model in case.known_rule.models or () if model.name in names]


def _model_meant(case: Case) -> str:
    price = case.question.price
    return price.offer if price else model_of(case.request, case.rule) or "No model"


def _input_over_cap(case: Case) -> str | None:
    price = case.question.price
    limits = [case.known_rule.max_input_tokens, price.context_tokens if price else None]
    known = [limit for limit in limits if limit is not None]
    if case.bound is None or not known or case.bound <= min(known):
        return None
    return f"{case.bound:,} input tokens are above the limit of {min(known):,}."


def _price_unknown(case: Case) -> str | None:
    price = case.question.price
    model = model_of(case.request, case.rule)
    if not model:
        return "No model was named, and the use case has no default model."
    if price is None:
        return f"There is no price for {model}{_at(case.request.venue)}."
    missing = estimate.unpriced(
        rates=price.rates,
        cached_input_tokens=case.request.cached_input_tokens,
        max_output_tokens=case.wanted,
    )
    if missing:
        return f"{price.offer} has no price for {', '.join(missing)}."
    if price.rates.currency != case.question.currency:
        return f"{price.offer} is priced in {price.rates.currency}, not in our currency."
    return None


def _price_stale(case: Case) -> str | None:
    price = case.question.price
    if price is None or not price.stale or not case.known_rule.strict_prices:
        return None
    return f"The price of {price.offer} is too old, and the use case has strict prices."


def _estimate_missing(case: Case) -> str | None:
    return "Neither input_tokens nor prompt was sent." if case.bound is None else None


def _placeless(reason: Reason, sentence: str) -> Callable[[Case], str | None]:
    def check(case: Case) -> str | None:
        place = case.question.place
        missing = reason is Reason.ENVELOPE_NOT_FOUND and place is None
        return sentence.format(case.known_rule.name) if place is reason or missing else None

    return check


def _frozen(case: Case) -> str | None:
    frozen = [rule.name for rule in case.path if rule.state == "frozen"]
    return f"{frozen[0]} is frozen." if frozen else None


def _closed(case: Case) -> str | None:
    closed = [rule.name for rule in case.path if rule.state == "closed"]
    if closed:
        return f"{closed[0]} is closed."
    if case.question.place is Reason.ENVELOPE_CLOSED:
        return f"The envelope of {case.known_rule.name} is closed or past its end."
    return None


CHECKS: tuple[tuple[Reason, Callable[[Case], str | None]], ...] = (
    (Reason.KEY_NOT_SCOPED, _key_not_scoped),
    (Reason.USE_CASE_UNKNOWN, _use_case_unknown),
    (Reason.USE_CASE_NOT_STARTED, _not_started),
    (Reason.EMERGENCY_STOP, _stopped),
    (Reason.USE_CASE_SUNSET, _sunset),
    (Reason.KILL_CRITERION_ACTIVE, _killed),
    (Reason.MODEL_NOT_APPROVED, _model_not_approved),
    (Reason.APPROVAL_EXPIRED, _approval_expired),
    (Reason.INPUT_TOKENS_OVER_CAP, _input_over_cap),
    (Reason.PRICE_UNKNOWN, _price_unknown),
    (Reason.PRICE_STALE, _price_stale),
    (Reason.ESTIMATE_MISSING, _estimate_missing),
    (
        Reason.ENVELOPE_NOT_FOUND,
        _placeless(Reason.ENVELOPE_NOT_FOUND, "No envelope covers {}: no budget, no call."),
    ),
    (
        Reason.ENVELOPE_NOT_STARTED,
        _placeless(Reason.ENVELOPE_NOT_STARTED, "The envelope of {} starts later."),
    ),
    (Reason.ENVELOPE_FROZEN, _frozen),
    (Reason.ENVELOPE_CLOSED, _closed),
)
"""Every check before money, in evaluation order: it returns a detail to deny, or None."""


_OF_MODEL = tuple(
    check
    for reason, check in CHECKS
    if Reason.KILL_CRITERION_ACTIVE.number < reason.number < Reason.ESTIMATE_MISSING.number
)
"""Those that look at the model and its price."""


def denies_model(case: Case) -> bool:
    """Would any check deny the call because of the model that shall serve it?"""
    return any(check(case) is not None for check in _OF_MODEL)


def _at(venue: str | None) -> str:
    return f" at {venue}" if venue else ""
