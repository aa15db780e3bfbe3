"""When does the proxy ask and tell o10? LiteLLM's hooks, in the order they come.

before the call    async_pre_call_hook                    authorize; 402 when it does not go
before an attempt  async_pre_call_deployment_hook         the same hold, or one for its model
after a failure    async_post_call_failure_deployment_hook  what the attempt may be billed
after an answer    async_log_success_event                settle, with what was used
after it all       async_post_call_failure_hook           release, or settle what is not known
of streams         async_post_call_streaming_iterator_hook  how many pieces came, and the end

The state of a call lives in this process, under a key of ours in the request's metadata: a
request stays in one worker. No event raises into the proxy; only the two hooks before a call
do, and only to refuse it. Names and signatures as of LiteLLM 1.108.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from enum import StrEnum
from time import monotonic
from typing import Any, Final

from litellm.integrations.custom_logger import CustomLogger

from o10.client.errors import DecisionPlaneAway
from o10.client.failmode import FailClosed, FailMode
from o10.client.http import AsyncClient, Patience
from o10.client.lessee import AsyncLessee
from o10.client.litellm.answers import Refused, refused_by, refused_for, refused_here
from o10.client.litellm.attempts import Next, ProxyCall, bill_of
from o10.client.litellm.counting import TokenCounts
from o10.client.litellm.metering import (
    METERS,
    Kind,
    Meter,
    asked_output,
    cap_output,
    completions,
    kind_of,
    plain_type,
    weigh,
)
from o10.client.litellm.names import Deployment, Names, deployment_of
from o10.client.litellm.payer import SAID, KeyFacts, Payers, described
from o10.client.litellm.payer import Refused as NoPayer
from o10.client.litellm.settling import Left, settle_fields
from o10.client.local_till import LocalDecision
from o10.kernel.errors import Missing, O10Error, ReservationFinalized, TokenInvalid
from o10.wire.decisions import Decision, Outcome
from o10.wire.reasons import Reason

MARK: Final = "o10"
"""Our key in the metadata of a request."""
BUCKETS: Final = ("metadata", "litellm_metadata")
GRACE_S: Final = 30.0
"""How long an answered call may wait for LiteLLM's event before it is settled without it."""
UNSENT_S: Final = 120.0
"""How long a hold may wait for its first attempt."""
FORGET_S: Final = 86_400.0
SWEEP_S: Final = 5.0
MOST_CALLS: Final = 100_000
GROUPS_FOR_S: Final = 1.0
"""How long it is remembered which deployments serve a group."""
MOST_GROUPS: Final = 1_000
_log = logging.getLogger("o10.client.litellm")
_NOWHERE: Mapping[str, str] = {}
_MAPPINGS: Final = (dict, Mapping)
"""Nearly always the first, which is known at once."""


class Leases(StrEnum):
    """Where is a usual call decided?"""

    REMOTE = "remote"
    """At o10: one request before the call, one after it."""
    LOCAL = "local"
    """In the proxy's worker, from a lease o10 lent it; the same cap, no request on the way."""


class O10Guard(CustomLogger):
    """How does a LiteLLM proxy spend only what o10 allows?"""

    def __init__(
        self,
        *,
        base_url: str = "",
        key: str = "",
        use_cases: Mapping[str, str | Sequence[str]] = _NOWHERE,
        default_use_case: str | None = None,
        models: Mapping[str, str] = _NOWHERE,
        groups: Mapping[str, str] = _NOWHERE,
        pass_call_types: Iterable[str] = (),
        input_margin_percent: int = 10,
        image_tokens: int = 1_600,
        left: Left = Left.AS_COUNTED,
        patience: Patience = Patience(total_s=3.0),  # noqa: B008 - frozen
        fail_mode: Mapping[str, FailMode] = _NOWHERE,  # type: ignore[assignment]
        default_fail_mode: FailMode = FailClosed(),  # noqa: B008 - frozen
        state_dir: str | None = None,
        leases: Leases = Leases.REMOTE,
        client: AsyncClient | None = None,
    ) -> None:
        """`base_url` and `key` of the decision plane; `use_cases` as `Payers`.

        `models` turns names of the proxy into o10's, `groups` o10's into groups of the proxy.
        `leases` where usual calls are decided.
        `pass_call_types` are unbounded types that go without a check (`image_generation`);
        `left` what is booked for a stream whose client left.
        A client of one's own takes the place of `base_url` to `state_dir`.
        """
        super().__init__()
        self._client = client or AsyncClient(
            base_url=base_url,
            key=key,
            patience=patience,
            fail_mode=fail_mode,
            default_fail_mode=default_fail_mode,
            state_dir=state_dir,
        )
        self._leases = leases
        self._lessee: AsyncLessee | None = None
        self._payers = Payers(use_cases=dict(use_cases), default=default_use_case)
        self._names = Names(models=dict(models), groups=dict(groups))
        self._pass = frozenset(map(plain_type, pass_call_types))
        self._margin = input_margin_percent
        self._image_tokens = image_tokens
        self._left = left
        self._counts = TokenCounts()
        self._groups: dict[str, tuple[float, Any, tuple[Deployment, ...]]] = {}
        self._calls: dict[str, ProxyCall] = {}
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def _o10(self) -> AsyncClient | AsyncLessee:
        """Whom do we ask? A lessee begins in the process that uses it, not in its parent."""
        if self._leases is Leases.REMOTE:
            return self._client
        if self._lessee is None:
            self._lessee = AsyncLessee(self._client)
        return self._lessee

    # Before the call.

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> dict[str, Any]:
        """May this request spend? Sets its output limit and model.

        Raises: Refused.
        """
        name = str(getattr(call_type, "value", call_type))
        _unmark(data)
        kind = kind_of(name)
        if kind is Kind.FREE or (self._pass and plain_type(name) in self._pass):
            return data
        try:
            if kind is Kind.UNBOUNDED:
                detail = f"Calls of type {plain_type(name)} cannot be bounded before they run."
                raise refused_here(Reason.ESTIMATE_MISSING, detail)
            await self._authorize(user_api_key_dict, data, METERS[plain_type(name)])
        except Refused:
            raise
        except O10Error as error:
            _log.warning("no decision: %s", error.code)
            raise _refusal_for(error) from None
        except Exception as error:  # noqa: BLE001 - a fault of ours is no reason to spend unseen
            # Only the class is told: the text may hold the request.
            _log.error("the guard failed: %s", type(error).__name__)
            raise refused_for(DecisionPlaneAway(what="guard", cause="internal")) from None
        return data

    async def _authorize(self, user: Any, data: dict[str, Any], meter: Meter) -> None:
        group = data.get("model")
        if not isinstance(group, str) or not group:
            # The proxy answers this one itself.
            return
        deployments = self._deployments(group)
        if "," in group and not deployments:
            raise refused_here(
                Reason.ESTIMATE_MISSING, "One request for several models cannot be bounded."
            )
        key, said = key_facts(user), _said(data)
        use_case = self._payers.use_case_of(key=key, said=said, model=group)
        if isinstance(use_case, NoPayer):
            raise refused_here(use_case.reason, use_case.detail)
        weight = weigh(data, meter)
        model = deployments[0].model if deployments else group
        if self._counts.is_quick(model, weight):
            counted = self._counts.count(model, weight)
        else:
            counted = await asyncio.to_thread(self._counts.count, model, weight)
        fields = described(said, key)
        fields["use_case"] = use_case
        # Our own id: the proxy's comes from the client, who could use one hold twice.
        fields["request_id"] = _new_id()
        fields["model"] = self._names.of_group(group, deployments)
        fields["input_tokens"] = weight.bound(
            text_tokens=counted,
            image_tokens=self._image_tokens,
            margin_percent=self._margin,
        )
        wanted = asked_output(data, meter) if meter.limits else 0
        if wanted is not None:
            fields["max_output_tokens"] = wanted
        answers = completions(data)
        if answers != 1:
            fields["n"] = answers
        decided = await self._decide(fields)
        if isinstance(decided, LocalDecision) and decided.said[0] != Outcome.REROUTE:
            # What is decided here goes.
            call = _local_call(decided, fields)
            self._keep(call)
            cap_output(data, meter, decided.max_output_tokens)
            _mark(data, call)
            return
        decision = whole(decided)
        if not decision.decision.goes:
            raise refused_by(decision)
        self._obey(decision, fields, data, meter)

    async def _decide(self, fields: Mapping[str, Any]) -> Decision | LocalDecision:
        """Here and at once where it can be, else by o10."""
        o10 = self._o10
        if isinstance(o10, AsyncLessee):
            decided = o10.try_authorize(fields)
            if decided is not None:
                return decided
        return await o10.authorize(**fields)

    def _obey(
        self,
        decision: Decision,
        fields: dict[str, Any],
        data: dict[str, Any],
        meter: Meter,
    ) -> None:
        """Sets caps and route, and remembers the hold."""
        cap = None if decision.caps is None else decision.caps.max_output_tokens
        call = _call_of(decision, fields, cap)
        self._keep(call)
        if cap is not None:
            cap_output(data, meter, cap)
        if decision.decision is Outcome.REROUTE and decision.route is not None:
            group = self._names.group_for(decision.route, _all_deployments())
            if group is None:
                self._end_later(call, "release")
                detail = f"The route {decision.route.offer} has no deployment in this proxy."
                raise refused_here(Reason.NO_HEALTHY_ROUTE, detail)
            data["model"] = group
            call.name = self._names.of_group(group, self._deployments(group))
        _mark(data, call)

    def _deployments(self, group: str) -> tuple[Deployment, ...]:
        """Which deployments serve this group? As of a moment ago.

        What is really called is looked at again before each attempt.
        """
        router, now = _router(), monotonic()
        known = self._groups.get(group)
        if known is not None and now < known[0] and known[1] is router:
            return known[2]
        if len(self._groups) >= MOST_GROUPS:
            self._groups.clear()
        found = _deployments(router, group)
        self._groups[group] = (now + GROUPS_FOR_S, router, found)
        return found

    # Before an attempt.

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Does the hold cover this attempt? Asks again for another model, or after a loss.

        Raises: Refused.
        """
        call = self._call(kwargs)
        if call is None:
            return None
        name = self._names.of_deployment(_chosen(kwargs))
        try:
            cap = await self._cover(call, name)
        except Refused as refused:
            call.refused = refused
            raise
        except O10Error as error:
            _log.warning("no decision on an attempt: %s", error.code)
            call.refused = _refusal_for(error)
            raise call.refused from None
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("the guard failed on an attempt: %s", type(error).__name__)
            call.refused = refused_for(DecisionPlaneAway(what="guard", cause="internal"))
            raise call.refused from None
        call.sending(name)
        meter = METERS.get(plain_type(str(getattr(call_type, "value", call_type))))
        if cap is not None and meter is not None:
            changed = dict(kwargs)
            cap_output(changed, meter, cap)
            return changed
        return None

    async def _cover(self, call: ProxyCall, name: str) -> int | None:
        """Makes the hold cover an attempt with this model. The output cap when it changed."""
        step = call.before(name)
        if step is Next.GO or call.undecided:
            return None
        if step is Next.BOOK_THEN_ASK:
            await self._o10.settle(
                reservation=call.reservation,
                attempt=call.attempt,
                status="error",
                purpose="retry",
                final=False,
            )
            call.booked_unknown()
        if call.ended:
            return await self._renew(call, name)
        try:
            told = await self._o10.extend(
                reservation=call.reservation,
                model=name,
                attempt=call.attempt,
                input_tokens=call.asked.get("input_tokens"),
                max_output_tokens=call.cap,
                n=call.asked.get("n"),
            )
        except (ReservationFinalized, Missing, TokenInvalid):
            return await self._renew(call, name)
        if not told.decision.goes:
            raise refused_by(_as_decision(call, told))
        call.reservation = told.reservation.token or told.reservation.id
        call.name = name
        call.cap = told.caps.max_output_tokens if told.caps else call.cap
        return call.cap

    async def _renew(self, call: ProxyCall, name: str) -> int | None:
        """Takes a new hold: the old one has ended."""
        fields = dict(call.asked) | {
            "model": name,
            "request_id": _new_id(),
            "attempt": call.attempt,
        }
        decision = whole(await self._o10.authorize(**fields))
        if not decision.decision.goes:
            raise refused_by(decision)
        fresh = _call_of(decision, fields, None)
        call.reservation, call.public_id = fresh.reservation, fresh.public_id
        call.name, call.ended = name, False
        call.cap = None if decision.caps is None else decision.caps.max_output_tokens
        return call.cap

    # After an attempt.

    async def async_post_call_failure_deployment_hook(
        self,
        request_data: Mapping[str, Any],
        exception: Exception,
        call_type: Any,
        fallback_depth: int | None = None,
    ) -> None:
        """Notes what the failed attempt may be billed."""
        call = self._call(request_data)
        if call is not None and not isinstance(exception, Refused):
            call.after_failure(bill_of(exception))

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Settles with what was used; the last attempt ends the reservation."""
        call = self._call(kwargs)
        if call is None or call.ended:
            return
        call.ended = True
        if call.reservation is None:
            self._forget(call)
            return
        try:
            fields = settle_fields(
                call=call,
                kwargs=kwargs,
                response=response_obj,
                began=start_time,
                ended=end_time,
                left=self._left,
            )
        except Exception as error:  # noqa: BLE001 - a shape we do not know is settled as unknown
            _log.error("usage could not be read: %s", type(error).__name__)
            fields = {"reservation": call.reservation, "attempt": call.attempt}
        await self._tell(call, "settle", fields)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Notes a failure nobody told before: a stream that broke. Our refusals are none."""
        error = kwargs.get("exception")
        call = self._call(kwargs)
        if call is not None and not isinstance(error, Refused) and call.pieces:
            call.after_failure(bill_of(error))

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> Any:
        """The call has failed for good: gives the hold back, or books what may be billed."""
        call = self._call(request_data)
        if call is None:
            return None
        refused = call.refused
        if isinstance(original_exception, Refused):
            # Ours stopped it before this attempt was sent.
            call.in_flight = False
        verb = call.end_of_failure(bill_of(original_exception))
        if verb is not None:
            fields = _ending_of(call, verb)
            await self._tell(call, verb, fields)
        # A fallback that o10 refused would reach the client as its upstream's failure.
        return refused if isinstance(refused, Refused) else None

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> None:
        """The answer goes out; should LiteLLM's own event be lost, the sweep settles."""
        call = self._call(data)
        if call is not None:
            call.done_at = monotonic()

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Passes the stream on unchanged, counting its pieces."""
        call = self._call(request_data)
        if call is None:
            async for piece in response:
                yield piece
            return
        call.stream = response
        try:
            async for piece in response:
                call.pieces += 1
                yield piece
        finally:
            call.done_at = monotonic()

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Tells the client what was decided."""
        call = self._call(data)
        if call is None or call.refused is not None:
            return None
        headers = {
            "x-o10-decision": call.said,
            "x-o10-reason": call.reason,
            "x-o10-model-served": call.served or call.name,
        }
        if call.public_id:
            headers["x-o10-reservation"] = call.public_id
        return headers

    # What is kept of calls.

    def _call(self, data: Mapping[str, Any]) -> ProxyCall | None:
        """Which call do these arguments of a hook belong to?"""
        for source in (data, data.get("litellm_params")):
            if not isinstance(source, _MAPPINGS):
                continue
            for bucket in BUCKETS:
                metadata = source.get(bucket)
                if not isinstance(metadata, _MAPPINGS):
                    continue
                mark = metadata.get(MARK)
                if mark is not None:
                    told = mark.get("call") if isinstance(mark, _MAPPINGS) else None
                    return self._calls.get(told) if isinstance(told, str) else None
        return None

    def _keep(self, call: ProxyCall) -> None:
        if len(self._calls) >= MOST_CALLS:
            self._calls.pop(next(iter(self._calls)))
        self._calls[call.id] = call
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def _forget(self, call: ProxyCall) -> None:
        self._calls.pop(call.id, None)

    async def _tell(self, call: ProxyCall, verb: str, fields: dict[str, Any]) -> None:
        """Settles or releases; what cannot be told now the client keeps and sends again."""
        o10 = self._o10
        try:
            if verb == "settle":
                await o10.settle(**fields)
            else:
                await o10.release(**fields)
        except O10Error as error:
            _log.error("%s of %s was refused: %s", verb, call.public_id, error.code)
        except Exception as error:  # noqa: BLE001 - an event never raises into the proxy
            _log.error("%s of %s failed: %s", verb, call.public_id, type(error).__name__)
        finally:
            self._forget(call)

    def _end_later(self, call: ProxyCall, verb: str) -> None:
        """Ends it without waiting."""
        call.ended = True
        self._forget(call)
        if call.reservation is None:
            return
        fields = _ending_of(call, verb)
        later = self._o10.settle_later if verb == "settle" else self._o10.release_later
        try:
            later(**fields)
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("%s of %s failed: %s", verb, call.public_id, type(error).__name__)

    async def _sweep(self) -> None:
        """Ends what LiteLLM never told the end of."""
        while self._calls:
            await asyncio.sleep(SWEEP_S)
            now = monotonic()
            for call in list(self._calls.values()):
                verb = call.quiet_end(now=now, grace_s=GRACE_S, unsent_s=UNSENT_S)
                if verb is not None:
                    _log.warning("nothing was heard of %s: %s", call.public_id, verb)
                    self._end_later(call, verb)
                elif call.ended or now - call.began > FORGET_S:
                    self._forget(call)


def whole(decided: Decision | LocalDecision) -> Decision:
    """The decision itself, wherever it was made."""
    return decided if isinstance(decided, Decision) else decided.told


def key_facts(user: Any) -> KeyFacts:
    """What does the proxy know of the key? From its UserAPIKeyAuth."""
    # An object of pydantic has its fields there; asking for one that is missing is slow.
    get = getattr(user, "__dict__", _NOWHERE).get

    def text(name: str) -> str:
        value = get(name)
        return value if isinstance(value, str) else ""

    def mapping(name: str) -> Mapping[str, Any]:
        value = get(name)
        return value if isinstance(value, _MAPPINGS) else _NOWHERE

    return KeyFacts(
        key_hash=text("api_key"),
        key_alias=text("key_alias"),
        user_id=text("user_id"),
        team_id=text("team_id"),
        team_alias=text("team_alias"),
        end_user=text("end_user_id"),
        key_metadata=mapping("metadata"),
        team_metadata=mapping("team_metadata"),
    )


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    """What does the request itself say? The client's own metadata, and its tags."""
    said: dict[str, Any] = {}
    for bucket in BUCKETS:
        metadata = data.get(bucket)
        if isinstance(metadata, _MAPPINGS):
            for source in (metadata, metadata.get("requester_metadata")):
                if isinstance(source, _MAPPINGS):
                    for name in SAID.intersection(source):
                        said[name] = source[name]
    return said


def _mark(data: dict[str, Any], call: ProxyCall) -> None:
    bucket = "litellm_metadata" if "litellm_metadata" in data else "metadata"
    metadata = data.get(bucket)
    if not isinstance(metadata, dict):
        metadata = data[bucket] = {}
    metadata[MARK] = {
        "call": call.id,
        "reservation": call.public_id,
        "decision": call.decision_id,
    }


def _unmark(data: dict[str, Any]) -> None:
    """Nobody but us says which call a request belongs to."""
    for bucket in BUCKETS:
        metadata = data.get(bucket)
        if isinstance(metadata, dict):
            metadata.pop(MARK, None)


def _call_of(decision: Decision, fields: Mapping[str, Any], cap: int | None) -> ProxyCall:
    held = decision.reservation
    first = decision.reasons[0].code
    return ProxyCall(
        id=fields["request_id"],
        asked=fields,
        reservation=None if held is None else held.token or held.id,
        public_id="" if held is None else held.id,
        decision_id=decision.decision_id,
        said=decision.decision.value,
        reason=first.value,
        name=fields["model"],
        cap=cap,
        began=monotonic(),
        undecided=first is Reason.FAIL_OPEN,
    )


def _local_call(decided: LocalDecision, fields: Mapping[str, Any]) -> ProxyCall:
    said, reason = decided.said
    return ProxyCall(
        id=fields["request_id"],
        asked=fields,
        reservation=decided.token,
        public_id=f"rsv_{decided.name}",
        decision_id=f"dec_{decided.name}",
        said=said,
        reason=reason,
        name=fields["model"],
        cap=decided.max_output_tokens,
        began=monotonic(),
    )


def _as_decision(call: ProxyCall, told: Any) -> Decision:
    """A refused extension, in the shape of a decision."""
    from o10.wire.decisions import Mode, PolicyRef

    return Decision(
        decision=told.decision,
        would_decision=told.decision,
        mode=Mode.ENFORCE,
        decision_id=call.decision_id,
        reasons=told.reasons,
        policy=PolicyRef(version=0, hash=""),
    )


def _ending_of(call: ProxyCall, verb: str) -> dict[str, Any]:
    if verb == "release":
        return {"reservation": call.reservation}
    return {
        "reservation": call.reservation,
        "attempt": call.attempt,
        "status": "error" if call.unknown else "ok",
        "usage": call.response_usage,
    }


def _refusal_for(error: O10Error) -> Refused:
    if isinstance(error, DecisionPlaneAway) and error.decision is not None:
        return refused_by(error.decision, status=503)
    return refused_for(error)


class _Ids:
    """Which ids have the calls of this process? A random beginning, then their number."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        """Begins anew: a forked child must not repeat its parent's."""
        self._number = itertools.count()
        self._head = f"llm_{os.urandom(12).hex()}"

    def next(self) -> str:
        return f"{self._head}{next(self._number):08x}"


_new_id = _Ids().next


def _router() -> Any:
    try:
        from litellm.proxy import proxy_server
    except ImportError:
        return None
    return getattr(proxy_server, "llm_router", None)


def _deployments(router: Any, group: str) -> tuple[Deployment, ...]:
    """Which deployments serve this group?"""
    if router is None:
        return ()
    try:
        found = router.get_model_list(model_name=group) or ()
    except Exception:  # noqa: BLE001 - a router of another release
        return ()
    return tuple(map(deployment_of, found))


def _all_deployments() -> tuple[Deployment, ...]:
    router = _router()
    return tuple(map(deployment_of, getattr(router, "model_list", None) or ()))


def _chosen(kwargs: Mapping[str, Any]) -> Deployment:
    """Which deployment is about to be called?"""
    metadata: Mapping[str, Any] = next(
        (kwargs[name] for name in BUCKETS if isinstance(kwargs.get(name), Mapping)), {}
    )
    info = kwargs.get("model_info")
    told = info.get("o10_model") if isinstance(info, Mapping) else None
    return Deployment(
        group=str(metadata.get("model_group") or ""),
        model=str(kwargs.get("model") or ""),
        o10_model=told if isinstance(told, str) else "",
    )
