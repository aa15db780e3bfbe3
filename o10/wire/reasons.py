"""Which reasons can a router be told, and what should it do? The closed, ordered list.

A number orders evaluation and display and is never renamed or reused; a new code gets a new
number. The names are the wire values. Longer than most modules on purpose: it is the table.
Source: product.md section 4.3; README prints it; a test compares both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Effect(StrEnum):
    """What can a reason do to a call?"""

    DENY = "D"
    HOLD = "H"
    CAPS = "C"
    REROUTE = "R"
    ALLOW = "A"


class Again(StrEnum):
    """May the caller send the same request later?"""

    NO = "no"
    YES = "yes"
    NOT_NEEDED = "-"
    """The call goes ahead."""


class Reason(StrEnum):
    """Why was this decided? In the order of their numbers."""

    KEY_NOT_SCOPED = "KEY_NOT_SCOPED"
    USE_CASE_UNKNOWN = "USE_CASE_UNKNOWN"
    USE_CASE_NOT_STARTED = "USE_CASE_NOT_STARTED"
    EMERGENCY_STOP = "EMERGENCY_STOP"
    USE_CASE_SUNSET = "USE_CASE_SUNSET"
    KILL_CRITERION_ACTIVE = "KILL_CRITERION_ACTIVE"
    POLICY_UNAVAILABLE = "POLICY_UNAVAILABLE"
    MODEL_DENIED = "MODEL_DENIED"
    MODEL_NOT_APPROVED = "MODEL_NOT_APPROVED"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
    RESIDENCY_VIOLATION = "RESIDENCY_VIOLATION"
    ZDR_REQUIRED = "ZDR_REQUIRED"
    DATA_CLASS_FORBIDDEN = "DATA_CLASS_FORBIDDEN"
    MODE_DENIED = "MODE_DENIED"
    INPUT_TOKENS_OVER_CAP = "INPUT_TOKENS_OVER_CAP"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    NO_COMPLIANT_ROUTE = "NO_COMPLIANT_ROUTE"
    PRICE_UNKNOWN = "PRICE_UNKNOWN"
    PRICE_STALE = "PRICE_STALE"
    ESTIMATE_MISSING = "ESTIMATE_MISSING"
    ENVELOPE_NOT_FOUND = "ENVELOPE_NOT_FOUND"
    ENVELOPE_NOT_STARTED = "ENVELOPE_NOT_STARTED"
    ENVELOPE_FROZEN = "ENVELOPE_FROZEN"
    ENVELOPE_CLOSED = "ENVELOPE_CLOSED"
    DEBT_OUTSTANDING = "DEBT_OUTSTANDING"
    PER_CALL_LIMIT = "PER_CALL_LIMIT"
    PER_RUN_LIMIT = "PER_RUN_LIMIT"
    RUN_LOOP_DETECTED = "RUN_LOOP_DETECTED"
    RATE_OF_SPEND = "RATE_OF_SPEND"
    ENVELOPE_HARD_LIMIT = "ENVELOPE_HARD_LIMIT"
    PARENT_ENVELOPE_EXHAUSTED = "PARENT_ENVELOPE_EXHAUSTED"
    CAPPED_TOKENS = "CAPPED_TOKENS"
    CAPPED_STEPS = "CAPPED_STEPS"
    DOWNGRADED_BUDGET_PRESSURE = "DOWNGRADED_BUDGET_PRESSURE"
    ENVELOPE_SOFT_LIMIT = "ENVELOPE_SOFT_LIMIT"
    CONTINGENCY_USED = "CONTINGENCY_USED"
    EVAL_MISSING = "EVAL_MISSING"
    EVAL_BELOW_FLOOR = "EVAL_BELOW_FLOOR"
    EVAL_INSUFFICIENT = "EVAL_INSUFFICIENT"
    EVAL_MARGINAL = "EVAL_MARGINAL"
    EVAL_STALE = "EVAL_STALE"
    TIER_BELOW_CLASS = "TIER_BELOW_CLASS"
    CAPACITY_EXHAUSTED = "CAPACITY_EXHAUSTED"
    LATENCY_SLO_MISSED = "LATENCY_SLO_MISSED"
    VENUE_UNHEALTHY = "VENUE_UNHEALTHY"
    NO_HEALTHY_ROUTE = "NO_HEALTHY_ROUTE"
    RIGHTSIZED = "RIGHTSIZED"
    STRATEGY_CHOICE = "STRATEGY_CHOICE"
    MODEL_FORCED = "MODEL_FORCED"
    COMMITTED_CAPACITY = "COMMITTED_CAPACITY"
    PINNED_MODEL = "PINNED_MODEL"
    CLASSIFIER_UNAVAILABLE = "CLASSIFIER_UNAVAILABLE"
    OK_WITHIN_ENVELOPE = "OK_WITHIN_ENVELOPE"
    OK_APPROVED = "OK_APPROVED"
    OK_UNLIMITED = "OK_UNLIMITED"
    OK_SHADOW = "OK_SHADOW"
    FAIL_OPEN = "FAIL_OPEN"

    @property
    def row(self) -> "ReasonRow":
        """What does the table say about it?"""
        return REASONS[self]

    @property
    def number(self) -> int:
        """Where does it stand in the order of evaluation?"""
        return REASONS[self].number


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """What is known about a reason?

    Shape: `effects` what it can do, the first the usual one; `again` whether the same request
    may be sent later; `meaning` and `next_step` are the sentences of the documentation and of
    the screens.
    """

    number: int
    effects: tuple[Effect, ...]
    again: Again
    meaning: str
    next_step: str


def _row(number: int, effects: str, again: str, meaning: str, next_step: str) -> ReasonRow:
    return ReasonRow(number, tuple(map(Effect, effects)), Again(again), meaning, next_step)


# fmt: off
REASONS: MappingProxyType[Reason, ReasonRow] = MappingProxyType({
    Reason.KEY_NOT_SCOPED: _row(100, "D", "no",
        "The key may not spend for this use case or use this verb.",
        "Use the key of this use case."),
    Reason.USE_CASE_UNKNOWN: _row(101, "DA", "no",
        "Not registered; allowed only into the quarantine envelope of the key.",
        "Register the use case."),
    Reason.USE_CASE_NOT_STARTED: _row(102, "D", "yes",
        "The start date of the use case lies ahead.",
        "Wait for the start date."),
    Reason.EMERGENCY_STOP: _row(103, "D", "yes",
        "The stop of the company or of this use case is on.",
        "Stop, show the message, wait for the restore."),
    Reason.USE_CASE_SUNSET: _row(104, "DC", "no",
        "The use case is wound down, or being wound down.",
        "Migrate; the date is in the detail."),
    Reason.KILL_CRITERION_ACTIVE: _row(105, "DCR", "yes",
        "A kill criterion tripped and its lever applies.",
        "Obey the lever; the detail names the criterion."),
    Reason.POLICY_UNAVAILABLE: _row(106, "D", "yes",
        "Leases cannot be renewed, or the policy snapshot is too old.",
        "Apply the client's fail mode."),
    Reason.MODEL_DENIED: _row(110, "DR", "no",
        "An explicit rule denies this model.",
        "Use another model."),
    Reason.MODEL_NOT_APPROVED: _row(111, "DR", "no",
        "No valid approval for this model version, venue, region and data class.",
        "Ask for approval."),
    Reason.APPROVAL_EXPIRED: _row(112, "DR", "no",
        "There was an approval; it has expired.",
        "Renew it."),
    Reason.RESIDENCY_VIOLATION: _row(113, "DR", "no",
        "The region is not permitted for the data class or the customer's region.",
        "Choose another region."),
    Reason.ZDR_REQUIRED: _row(114, "DR", "no",
        "Zero retention is needed, and the evidence for it is missing or too weak.",
        "Choose another offer."),
    Reason.DATA_CLASS_FORBIDDEN: _row(115, "DR", "no",
        "The data class is above the limit of the offer.",
        "Redact, or choose another offer."),
    Reason.MODE_DENIED: _row(116, "D", "no",
        "The requested mode or service class is not permitted.",
        "Ask for a lower class."),
    Reason.INPUT_TOKENS_OVER_CAP: _row(117, "D", "no",
        "The input is above the policy's limit or the context window.",
        "Shorten the input."),
    Reason.APPROVAL_REQUIRED: _row(118, "H", "yes",
        "This call, run or amount needs a person.",
        "Wait for the approval named in `approval_id`."),
    Reason.NO_COMPLIANT_ROUTE: _row(119, "D", "no",
        "The compliance filters left no offer.",
        "Read `explain`."),
    Reason.PRICE_UNKNOWN: _row(200, "DR", "no",
        "There is no price for a token class this call may use.",
        "Add the price; unknown is never zero."),
    Reason.PRICE_STALE: _row(201, "DA", "yes",
        "The price is too old: denied under `strict_prices`, else flagged.",
        "Refresh the prices."),
    Reason.ESTIMATE_MISSING: _row(202, "D", "no",
        "Neither input tokens nor a prompt was sent.",
        "Send `input_tokens`."),
    Reason.ENVELOPE_NOT_FOUND: _row(203, "D", "no",
        "No active envelope on the path, and no default envelope.",
        "Create an envelope."),
    Reason.ENVELOPE_NOT_STARTED: _row(204, "D", "yes",
        "The period of the envelope lies ahead.",
        "Wait for its start."),
    Reason.ENVELOPE_FROZEN: _row(205, "D", "yes",
        "Frozen by a person or a lever; calls in flight may still settle.",
        "Wait until it is active again."),
    Reason.ENVELOPE_CLOSED: _row(206, "D", "no",
        "The envelope is closed.",
        "Use the current one."),
    Reason.DEBT_OUTSTANDING: _row(207, "D", "yes",
        "Overruns of this envelope are not covered.",
        "Top up the envelope."),
    Reason.PER_CALL_LIMIT: _row(208, "DC", "no",
        "The worst case is above the per-call limit.",
        "Lower `max_output_tokens`."),
    Reason.PER_RUN_LIMIT: _row(209, "DC", "no",
        "The run's amount, steps, depth or time is used up.",
        "End the run."),
    Reason.RUN_LOOP_DETECTED: _row(210, "D", "no",
        "The same step fingerprint came again and again.",
        "Stop the loop."),
    Reason.RATE_OF_SPEND: _row(211, "DC", "yes",
        "The burn limit of the window is reached.",
        "Wait as long as `Retry-After` says."),
    Reason.ENVELOPE_HARD_LIMIT: _row(212, "D", "yes",
        "The worst case does not fit into what the binding envelope has left.",
        "Wait for the next period, or ask for a top-up."),
    Reason.PARENT_ENVELOPE_EXHAUSTED: _row(213, "D", "yes",
        "The own envelope has room, one above it has not.",
        "Wait or ask for a top-up at the envelope above."),
    Reason.CAPPED_TOKENS: _row(214, "C", "-",
        "The output cap was lowered, or set, so that the call fits.",
        "Send `caps.max_output_tokens` as the maximum."),
    Reason.CAPPED_STEPS: _row(215, "C", "-",
        "The run has few steps left.",
        "Plan for the end of the run."),
    Reason.DOWNGRADED_BUDGET_PRESSURE: _row(216, "R", "-",
        "A cheaper passing offer was taken because the envelope is under pressure.",
        "Use `route`."),
    Reason.ENVELOPE_SOFT_LIMIT: _row(217, "A", "-",
        "A soft threshold is passed.",
        "Inform the owner."),
    Reason.CONTINGENCY_USED: _row(218, "A", "-",
        "Gold class or an approval drew on the contingency.",
        "Nothing."),
    Reason.EVAL_MISSING: _row(300, "DR", "no",
        "This offer has no result for the floor.",
        "Run the suite."),
    Reason.EVAL_BELOW_FLOOR: _row(301, "DR", "no",
        "The floor state of this offer is `fail`.",
        "Choose a passing offer."),
    Reason.EVAL_INSUFFICIENT: _row(302, "DR", "no",
        "Too few samples to say.",
        "Add samples."),
    Reason.EVAL_MARGINAL: _row(303, "RA", "no",
        "The interval spans the bar; for a canary only.",
        "Nothing."),
    Reason.EVAL_STALE: _row(304, "DR", "no",
        "The result is older than the class's maximum age.",
        "Run the suite again."),
    Reason.TIER_BELOW_CLASS: _row(305, "R", "no",
        "The service class demands a higher tier.",
        "Use `route`."),
    Reason.CAPACITY_EXHAUSTED: _row(400, "RD", "yes",
        "The token or commitment capacity of the hour is used.",
        "Use `route`."),
    Reason.LATENCY_SLO_MISSED: _row(401, "RD", "yes",
        "The offer's p95 latency is above what the call may take.",
        "Use `route`."),
    Reason.VENUE_UNHEALTHY: _row(402, "RD", "yes",
        "The breaker of the offer is open.",
        "Use `route`."),
    Reason.NO_HEALTHY_ROUTE: _row(403, "D", "yes",
        "All passing offers are unhealthy or full.",
        "Back off."),
    Reason.RIGHTSIZED: _row(500, "R", "-",
        "A cheaper passing offer was chosen.",
        "Use `route`."),
    Reason.STRATEGY_CHOICE: _row(501, "R", "-",
        "The task table, the tree or batch prices chose this offer.",
        "Use `route`."),
    Reason.MODEL_FORCED: _row(502, "R", "-",
        "A rule forces this model for the task type.",
        "Use `route`."),
    Reason.COMMITTED_CAPACITY: _row(503, "RA", "-",
        "Committed capacity is free at the margin.",
        "Use `route`."),
    Reason.PINNED_MODEL: _row(504, "A", "-",
        "The model asked for was kept though a cheaper one passes.",
        "Nothing; see the counterfactual."),
    Reason.CLASSIFIER_UNAVAILABLE: _row(505, "A", "-",
        "Profile signals are missing; the default was applied.",
        "Nothing."),
    Reason.OK_WITHIN_ENVELOPE: _row(600, "A", "-",
        "The call fits.",
        "Go."),
    Reason.OK_APPROVED: _row(601, "A", "-",
        "A person approved it.",
        "Go."),
    Reason.OK_UNLIMITED: _row(602, "A", "-",
        "An approved envelope without a cap.",
        "Go."),
    Reason.OK_SHADOW: _row(603, "A", "-",
        "Shadow mode: nothing is enforced.",
        "Go."),
    Reason.FAIL_OPEN: _row(604, "A", "-",
        "The use case is marked fail-open and o10 could not decide.",
        "Go; it is recorded and reconciled."),
})
# fmt: on
"""Every reason with its row, in evaluation order."""


def in_order(reasons: Iterable[Reason]) -> list[Reason]:
    """In which order are these reasons told? By number, each once."""
    return sorted(set(reasons), key=lambda reason: reason.number)


class SettleFlag(StrEnum):
    """What was remarkable about a settle? On the settle answer and on the entry."""

    LATE_SETTLE = "LATE_SETTLE"
    """Came after the hold had expired; booked against its unsettled amount."""
    OVERRUN = "OVERRUN"
    """Cost more than was reserved; the excess is an entry of its own."""
    CAPS_NOT_HONOURED = "CAPS_NOT_HONOURED"
    """Usage above a cap of the decision."""
    USAGE_ESTIMATED = "USAGE_ESTIMATED"
    """No usage or no price known: booked at the worst case until the truth comes."""
    USAGE_INCONSISTENT = "USAGE_INCONSISTENT"
    """The token classes do not add up to the provider's totals."""
    MODEL_SERVED_DIFFERS = "MODEL_SERVED_DIFFERS"
    """Another model answered than the one the decision named."""
    TIER_SERVED_DIFFERS = "TIER_SERVED_DIFFERS"
    """Another service tier served than the one asked; the served one is priced."""
    PROVIDER_COST_DIFFERS = "PROVIDER_COST_DIFFERS"
    """The provider's own figure is not the price book's."""
    ZERO_USAGE_CONFIRMED = "ZERO_USAGE_CONFIRMED"
    """Usage was sent and is zero."""
    PRIOR_PERIOD = "PRIOR_PERIOD"
    """The period of the call is closed; booked in the present one."""
