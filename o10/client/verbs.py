"""What does the client do for each verb, whichever way it travels?

Generators over `exchange.Step`: the sync and the async client drive the same ones. Here stand
the fail modes and what is kept for later.
"""

import contextlib
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import msgspec

from o10.client.errors import AnswerUnreadable, DecisionPlaneAway, StateUnusable, error_of
from o10.client.exchange import Ask, Lost, Outcome, Patience, Step, carry_out
from o10.client.fact_file import Opened, Used
from o10.client.failmode import Allowance, Bound, FailMode, FailOpen
from o10.client.outage import Outage
from o10.client.outbox import AUTHORIZE_PATH, Outbox
from o10.kernel import clock, ids
from o10.kernel.errors import Unavailable
from o10.kernel.money import Money
from o10.wire.decisions import (
    Caps,
    Decision,
    Extended,
    Mode,
    PolicyRef,
    ReasonEntry,
    Released,
    ReservationView,
    Settled,
)
from o10.wire.decisions import (
    Outcome as Said,
)
from o10.wire.facts import UsageRecord
from o10.wire.reasons import Reason
from o10.wire.requests import Authorize, Extend, Release, Settle

T = TypeVar("T", bound=msgspec.Struct)
Steps = Generator[Step, Outcome | None, T]
PREFIX: Final = "/api/v1/"
UNDECIDED_TTL_S: Final = 600
_NOBODY: Final = PolicyRef(version=0, hash="")


@dataclass(frozen=True, slots=True)
class Kept:
    """Why is it not told to o10 yet? It stands in the outbox and is sent until answered."""

    cause: str


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of reported usage? Counts of records."""

    recorded: int = 0
    replayed: int = 0
    unpriced: int = 0
    items: tuple[dict[str, Any], ...] = ()


class Verbs:
    """What is asked of o10, and what is done when it does not answer?"""

    def __init__(
        self,
        *,
        patience: Patience,
        fail_mode: Mapping[str, FailMode],
        default_fail_mode: FailMode,
        folder: Path,
        outbox: Outbox,
        currency: str,
    ) -> None:
        self._patience = patience
        self._fail_mode = dict(fail_mode)
        self._default = default_fail_mode
        self._currency = currency
        self.outage = Outage()
        self.outbox = outbox
        self._allowance = Allowance(folder / "allowance.jsonl")

    def authorize(self, fields: Mapping[str, Any]) -> Steps[Decision]:
        """May this call spend? With the fail mode of its use case when o10 cannot say."""
        asked = _given(Authorize, fields)
        ours = asked.get("request_id") is None
        if ours:
            asked["request_id"] = new_request_id()
        mode = self._fail_mode.get(asked.get("use_case", ""), self._default)
        if isinstance(mode, FailOpen) and self.outage.may_skip(at=monotonic()):
            return self._undecided(mode, asked, "away a moment ago")
        try:
            decision = yield from self._ask("authorize", asked, _DECISION)
        except GeneratorExit:
            # The caller was cancelled while it waited for the answer.
            self._take_back(asked, ours=ours, cause="cancelled")
            raise
        except DecisionPlaneAway as away:
            self._take_back(asked, ours=ours, cause=str(away.fields.get("cause", "")))
            if isinstance(mode, FailOpen):
                return self._undecided(mode, asked, str(away.fields.get("cause", "")), away)
            away.decision = denial(str(away.fields.get("cause", "no answer")))
            raise
        if _cannot_decide(decision):
            self.outage.begin(clock.now(), at=monotonic())
            if isinstance(mode, FailOpen):
                return self._undecided(mode, asked, "policy unavailable")
        return decision

    def _take_back(self, asked: Mapping[str, Any], *, ours: bool, cause: str) -> None:
        """An answer that never came may have held money: it is asked for again, and released.

        Only under a request id that nobody but this client knows, and never with a prompt.
        """
        if not ours or "prompt" in asked or "Refused" in cause or self.outbox.is_crowded:
            return
        with contextlib.suppress(StateUnusable):
            self.outbox.put(AUTHORIZE_PATH, msgspec.json.encode(asked))

    def dry_run(self, fields: Mapping[str, Any]) -> Steps[Decision]:
        """What would be answered? No fail mode: nothing is sent because of it."""
        return (yield from self._ask("authorize:dry-run", _given(Authorize, fields), _DECISION))

    def settle(
        self, fields: Mapping[str, Any]
    ) -> Generator[Step, Outcome | None, Settled | Kept]:
        """What did the attempt use? Kept and sent again when o10 is away."""
        told = _given(Settle, fields)
        if self.outbox.knows(told["reservation"]):
            return self._use(told)
        return (yield from self._tell("settle", told, _SETTLED))

    def release(
        self, fields: Mapping[str, Any]
    ) -> Generator[Step, Outcome | None, Released | Kept]:
        """Was nothing billed? Kept and sent again when o10 is away."""
        told = _given(Release, fields)
        if self.outbox.knows(told["reservation"]):
            self.outbox.use_call(Used(told["reservation"], final=True, told=None))
            return Kept("went out while o10 could not decide; nothing was billed")
        return (yield from self._tell("release", told, _RELEASED))

    def extend(self, fields: Mapping[str, Any]) -> Steps[Extended]:
        """May the hold live longer, cover more, or move?"""
        asked = _given(Extend, fields)
        asked.setdefault("request_id", new_request_id())
        return (yield from self._ask("extend", asked, _EXTENDED))

    def report_usage(
        self, records: list[Mapping[str, Any]]
    ) -> Generator[Step, Outcome | None, UsageAnswer | Kept]:
        """What was used without asking first? Kept and sent again when o10 is away."""
        body = [_given(UsageRecord, record) for record in records]
        return (yield from self._tell("usage", body, _USAGE))

    def later(self, verb: str, fields: Mapping[str, Any]) -> Kept:
        """Tells it from the outbox's thread: the caller cannot wait (a stream was dropped)."""
        told = _given(Settle if verb == "settle" else Release, fields)
        if self.outbox.knows(told["reservation"]):
            if verb == "settle":
                return self._use(told)
            self.outbox.use_call(Used(told["reservation"], final=True, told=None))
            return Kept("nothing was billed")
        self.outbox.put(PREFIX + verb, msgspec.json.encode(told))
        return Kept("sent in the background")

    def _tell(
        self, verb: str, told: Any, decoder: msgspec.json.Decoder[T]
    ) -> Generator[Step, Outcome | None, T | Kept]:
        body = msgspec.json.encode(told)
        if self.outage.may_skip(at=monotonic()):
            self.outbox.put(PREFIX + verb, body)
            return Kept("away a moment ago")
        try:
            return (yield from self._ask(verb, told, decoder))
        except Unavailable as away:
            self.outbox.put(PREFIX + verb, body)
            return Kept(str(away.fields.get("cause", away.code)))

    def _ask(self, verb: str, asked: Any, decoder: msgspec.json.Decoder[T]) -> Steps[T]:
        """Sends, waits, sends again; the answer or its error. Notes how o10 is."""
        ask = Ask("POST", PREFIX + verb, msgspec.json.encode(asked))
        outcome = yield from carry_out(ask, patience=self._patience, clock=monotonic)
        try:
            answer = answer_in(outcome, decoder)
        except DecisionPlaneAway:
            self.outage.begin(clock.now(), at=monotonic())
            raise
        if self.outage.since is not None or self.outbox.awaits_answer:
            now = clock.now()
            self.outage.end(now)
            self.outbox.answered(now)
        return answer

    def _use(self, told: dict[str, Any]) -> Kept:
        known = {name: told.get(name) for name in _OF_USAGE}
        used = Used(told["reservation"], final=told.get("final", True), told=known)
        self.outbox.use_call(used)
        return Kept("went out while o10 could not decide; told as usage when it answers")

    def _undecided(
        self,
        mode: FailOpen,
        asked: Mapping[str, Any],
        cause: str,
        away: DecisionPlaneAway | None = None,
    ) -> Decision:
        """Lets a call of an open use case go within the allowance of the hour."""
        now = clock.now()
        bound = mode.bound_of(asked)
        if not self._allowance.take(
            use_case=asked["use_case"], nanos=bound.nanos, cap_nanos=mode.cap_nanos, now=now
        ):
            spent = "the allowance of this hour is used up"
            refused = DecisionPlaneAway(what="decision plane", cause=spent)
            refused.decision = denial(spent)
            raise refused from away
        decision = _opened(asked, bound, cause, currency=self._currency)
        record = {name: asked[name] for name in _OF_CALL if asked.get(name) is not None}
        self.outbox.open_call(
            Opened(
                id=decision.decision_id,
                since=self.outage.since or now,
                record=record | {"at": now},
                bound={
                    "input_tokens": bound.input_tokens,
                    "output_tokens": bound.output_tokens * (asked.get("n") or 1),
                },
            )
        )
        return decision


def answer_in(outcome: Outcome, decoder: msgspec.json.Decoder[T]) -> T:
    """What did o10 say?

    Raises: the error it told (error_of); DecisionPlaneAway without an answer; AnswerUnreadable
    when it is none of ours.
    """
    if isinstance(outcome, Lost):
        raise DecisionPlaneAway(what="decision plane", cause=outcome.cause)
    if outcome.status != 200:
        raise error_of(outcome)
    try:
        return decoder.decode(outcome.body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        cause = f"unreadable answer: {error}"[:200]
        raise AnswerUnreadable(what="decision plane", cause=cause) from error


def denial(cause: str) -> Decision:
    """Which decision tells a router that o10 could not decide and nothing goes?"""
    detail = f"o10 could not decide ({cause[:160]}) and this use case is closed then."
    return Decision(
        decision=Said.DENY,
        would_decision=Said.DENY,
        mode=Mode.ENFORCE,
        decision_id=ids.new_id("dec"),
        reasons=(ReasonEntry(code=Reason.POLICY_UNAVAILABLE, detail=detail),),
        policy=_NOBODY,
        retry_after_s=1,
    )


def new_request_id() -> str:
    """Under which key is this call repeated safely?"""
    return f"req_{os.urandom(16).hex()}"


def _opened(asked: Mapping[str, Any], bound: Bound, cause: str, *, currency: str) -> Decision:
    id_ = ids.new_id("dec")
    said = Said.ALLOW if asked.get("max_output_tokens") else Said.ALLOW_WITH_CAPS
    detail = f"o10 could not decide ({cause[:160]}); counted here and told later."
    return Decision(
        decision=said,
        would_decision=said,
        mode=Mode.ENFORCE,
        decision_id=id_,
        reasons=(ReasonEntry(code=Reason.FAIL_OPEN, detail=detail),),
        caps=Caps(max_output_tokens=bound.output_tokens),
        # Settle and release name it like any other; the client knows that it is its own.
        reservation=ReservationView.of(
            public_id=id_,
            token=id_,
            money=Money(currency, bound.nanos),
            expires_at=clock.now() + timedelta(seconds=asked.get("ttl_s") or UNDECIDED_TTL_S),
        ),
        policy=_NOBODY,
    )


def _cannot_decide(decision: Decision) -> bool:
    return (
        decision.decision is Said.DENY and decision.reasons[0].code is Reason.POLICY_UNAVAILABLE
    )


def _given(kind: type[msgspec.Struct], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Which of the fields were given? A name that is none is a mistake of the program.

    Raises: TypeError, before anything is sent.
    """
    unknown = fields.keys() - _NAMES[kind]
    if unknown:
        raise TypeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
    missing = _REQUIRED[kind] - fields.keys()
    if missing:
        raise TypeError(f"{kind.__name__} needs {', '.join(sorted(missing))}")
    return {name: value for name, value in fields.items() if value is not None}


_KINDS: tuple[type[msgspec.Struct], ...] = (Authorize, Settle, Release, Extend, UsageRecord)
_NAMES = {kind: frozenset(kind.__struct_fields__) for kind in _KINDS}
_REQUIRED = {
    kind: frozenset(field.name for field in msgspec.structs.fields(kind) if field.required)
    for kind in _KINDS
}
_OF_CALL: Final = (
    "use_case",
    "model",
    "venue",
    "region",
    "environment",
    "customer",
    "run_id",
    "step",
    "step_kind",
    "task_type",
    "prompt_version",
    "tags",
)
_OF_USAGE: Final = (
    "usage",
    "model",
    "venue",
    "service_tier",
    "status",
    "purpose",
    "cache",
    "latency_ms",
    "attempt",
    "prompt_version",
    "provider_request_id",
    "provider_cost",
    "outcome",
)
_DECISION = msgspec.json.Decoder(Decision)
_SETTLED = msgspec.json.Decoder(Settled)
_RELEASED = msgspec.json.Decoder(Released)
_EXTENDED = msgspec.json.Decoder(Extended)
_USAGE = msgspec.json.Decoder(UsageAnswer)
