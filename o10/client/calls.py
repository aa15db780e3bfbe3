"""How is a provider's call guarded: authorized before, settled or released whatever happens?

What ends how: usage known -> settled with it; nothing billed -> released; otherwise settled
without usage, which o10 books at the worst case and marks estimated until the truth comes. A
stream ends when it is used up, closed or dropped. Nothing ends silently.
"""

import functools
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from o10.client.errors import Denied
from o10.client.provider_usage import ProviderUsage, usage_in
from o10.kernel.errors import O10Error
from o10.wire.decisions import Decision, Extended, Released, Settled
from o10.wire.requests import Finish

if TYPE_CHECKING:
    from o10.client.http import AsyncClient, Client
    from o10.client.lessee import AsyncLessee, Lessee
    from o10.client.local_till import LocalDecision
    from o10.client.verbs import Kept

T = TypeVar("T")
_NOT_SENT: Final = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "ConnectionRefusedError",
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ConnectionTimeoutError",
        "PoolTimeout",
        "UnsupportedProtocol",
        "NewConnectionError",
        "NameResolutionError",
        "EndpointConnectionError",
        "gaierror",
    }
)
"""Errors of HTTP libraries that come before the first byte was sent."""
_DEEPEST: Final = 8
_log = logging.getLogger("o10.client")


def was_not_billed(error: BaseException) -> bool:
    """Does this exception prove that the provider billed nothing?

    An answer with an error status of the provider, or a connection that never came about. A
    timeout while reading proves nothing: the provider may have worked.
    """
    seen: BaseException | None = error
    for _ in range(_DEEPEST):
        if seen is None:
            return False
        status = getattr(seen, "status_code", None) or getattr(
            getattr(seen, "response", None), "status_code", None
        )
        if isinstance(status, int) and 400 <= status <= 599 and status not in (408, 504):
            return True
        if type(seen).__name__ in _NOT_SENT:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


class _Ending:
    """What is known of the call, and how must it end? No network here."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self._decision: Decision | None = None
        self._seen: dict[str, Any] = {}
        self._begun: dict[str, int] = {}
        self._attempt = int(fields.get("attempt") or 1)
        self._unbilled = False
        self._began = monotonic()
        self.streaming = False
        self.ended = False
        self.settled: Settled | Kept | None = None

    @property
    def decision(self) -> Decision:
        """What was decided?

        Raises: RuntimeError before the call was entered.
        """
        if self._decision is None:
            raise RuntimeError("enter the call first: `with client.call(...) as call:`")
        return self._decision

    @property
    def model(self) -> str | None:
        """Which model is to be called: the route's, else the one asked for."""
        route = self.decision.route
        return self.fields.get("model") if route is None else route.model

    @property
    def max_output_tokens(self) -> int | None:
        """What must the provider be told as the most output?"""
        caps = self.decision.caps
        return None if caps is None else caps.max_output_tokens

    @property
    def reservation(self) -> str | None:
        """Which token (else id) names the hold? None when nothing is held."""
        view = self.decision.reservation
        return None if view is None else view.token or view.id

    def used(self, response: T) -> T:
        """Reads the usage of this response; give it the provider's answer as it is."""
        self.note(usage_in(response))
        return response

    def note(self, told: ProviderUsage) -> None:
        """Remembers what a response, or a piece of a stream, tells."""
        if told.counts is not None and told.final:
            # Anthropic tells the input at the beginning, at the end maybe the output alone.
            self._seen["usage"] = {
                name: max(count, self._begun.get(name, 0))
                for name, count in (self._begun | told.counts).items()
            }
        elif told.counts is not None:
            self._begun = told.counts
        for name in ("model", "service_tier", "provider_request_id"):
            value = getattr(told, name)
            if value is not None:
                self._seen[name] = value

    def not_billed(self) -> None:
        """Says that the provider billed nothing: the call will be released."""
        self._unbilled = True

    def enter(self, decision: "Decision | LocalDecision") -> None:
        """Takes the decision.

        Raises: Denied when the call does not go.
        """
        whole = decision if isinstance(decision, Decision) else decision.told
        self._decision = whole
        self._began = monotonic()
        if not whole.decision.goes:
            self.ended = True
            raise Denied(whole)

    def settle_fields(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent to settle this attempt?"""
        fields = {
            "reservation": self.reservation,
            "attempt": self._attempt,
            "latency_ms": min(int((monotonic() - self._began) * 1_000), 86_400_000),
            **self._seen,
            **told,
        }
        if fields.get("final", True):
            self.ended = True
        else:
            self._attempt += 1
            self._seen, self._begun = {}, {}
        return fields

    def ending(self, error: BaseException | None) -> tuple[str, dict[str, Any]] | None:
        """How does it end now? Verb and fields; None when it has ended, or holds nothing."""
        if self.ended:
            return None
        if self.reservation is None:
            self.ended = True
            return None
        nothing = "usage" not in self._seen
        if nothing and (self._unbilled or (error is not None and was_not_billed(error))):
            self.ended = True
            return "release", {"reservation": self.reservation}
        return "settle", self.settle_fields({"status": finish_of(error).value})


def finish_of(error: BaseException | None) -> Finish:
    """How did the attempt end? Whatever is no ordinary exception is a cancellation."""
    if error is None:
        return Finish.OK
    return Finish.ERROR if isinstance(error, Exception) else Finish.CANCELLED


class Call(_Ending):
    """How is one call guarded in a program with threads? A context manager."""

    def __init__(self, client: "Client | Lessee", fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self._client = client

    def __enter__(self) -> "Call":
        self.enter(self._client.authorize(**self.fields))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None or not self.streaming:
            self.end(error)

    def settle(self, **told: Any) -> "Settled | Kept":
        """Settles this attempt; fields of `Settle` but the reservation. `final=False` when
        another attempt follows.
        """
        self.settled = self._client.settle(**self.settle_fields(told))
        return self.settled

    def release(self, reason: str | None = None) -> "Released | Kept":
        """Gives the hold back: nothing was billed."""
        self.ended = True
        return self._client.release(reservation=self.reservation, reason=reason)

    def extend(self, **fields: Any) -> Extended:
        """Asks for more time, tokens or another offer."""
        return self._client.extend(reservation=self.reservation, **fields)

    def stream(self, pieces: Iterator[T]) -> "CallStream[T]":
        """The provider's stream, which settles the call at its end, however it ends."""
        self.streaming = True
        return CallStream(self, pieces)

    def end(self, error: BaseException | None) -> None:
        """Ends the call as it must; what o10 refuses is logged and kept, not raised."""
        way = self.ending(error)
        if way is None:
            return
        verb, fields = way
        try:
            if verb == "release":
                self._client.release(**fields)
            else:
                self.settled = self._client.settle(**fields)
        except O10Error as refused:
            _keep_refused(self._client, verb, fields, refused)

    def end_later(self, error: BaseException | None) -> None:
        """Ends the call from where nobody can wait."""
        _end_later(self, self._client, error)


class AsyncCall(_Ending):
    """How is one call guarded in a program with an event loop? An async context manager."""

    def __init__(self, client: "AsyncClient | AsyncLessee", fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self._client = client

    async def __aenter__(self) -> "AsyncCall":
        self.enter(await self._client.authorize(**self.fields))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None or not self.streaming:
            await self.end(error)

    async def settle(self, **told: Any) -> "Settled | Kept":
        """As `Call.settle`."""
        self.settled = await self._client.settle(**self.settle_fields(told))
        return self.settled

    async def release(self, reason: str | None = None) -> "Released | Kept":
        """As `Call.release`."""
        self.ended = True
        return await self._client.release(reservation=self.reservation, reason=reason)

    async def extend(self, **fields: Any) -> Extended:
        """As `Call.extend`."""
        return await self._client.extend(reservation=self.reservation, **fields)

    def stream(self, pieces: AsyncIterator[T]) -> "AsyncCallStream[T]":
        """As `Call.stream`."""
        self.streaming = True
        return AsyncCallStream(self, pieces)

    async def end(self, error: BaseException | None) -> None:
        """As `Call.end`. A cancelled task cannot wait: its end is told in the background."""
        if error is not None and not isinstance(error, Exception):
            self.end_later(error)
            return
        way = self.ending(error)
        if way is None:
            return
        verb, fields = way
        try:
            if verb == "release":
                await self._client.release(**fields)
            else:
                self.settled = await self._client.settle(**fields)
        except O10Error as refused:
            _keep_refused(self._client, verb, fields, refused)

    def end_later(self, error: BaseException | None) -> None:
        """As `Call.end_later`."""
        _end_later(self, self._client, error)


class CallStream(Generic[T]):
    """A stream that ends its call: used up, broken, closed, or forgotten."""

    def __init__(self, call: Call, pieces: Iterator[T]) -> None:
        self._call = call
        self._pieces = iter(pieces)

    def __iter__(self) -> "CallStream[T]":
        return self

    def __next__(self) -> T:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._call.end(None)
            raise
        except BaseException as error:
            self._call.end(error)
            raise
        self._call.note(usage_in(piece))
        return piece

    def close(self) -> None:
        """The client went away: what was seen is settled as cancelled."""
        close = getattr(self._pieces, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._call.end(GeneratorExit())

    def __enter__(self) -> "CallStream[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and not call.ended:
            call.end_later(GeneratorExit())


class AsyncCallStream(Generic[T]):
    """As CallStream, for `async for`."""

    def __init__(self, call: AsyncCall, pieces: AsyncIterator[T]) -> None:
        self._call = call
        self._pieces = aiter(pieces)

    def __aiter__(self) -> "AsyncCallStream[T]":
        return self

    async def __anext__(self) -> T:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            await self._call.end(None)
            raise
        except BaseException as error:
            await self._call.end(error)
            raise
        self._call.note(usage_in(piece))
        return piece

    async def aclose(self) -> None:
        """As `CallStream.close`."""
        try:
            close = getattr(self._pieces, "aclose", None) or getattr(
                self._pieces, "close", None
            )
            if close is not None:
                closing = close()
                if inspect.isawaitable(closing):
                    await closing
        finally:
            await self._call.end(GeneratorExit())

    async def __aenter__(self) -> "AsyncCallStream[T]":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and not call.ended:
            call.end_later(GeneratorExit())


def guard(client: "Client | Lessee", fields: Mapping[str, Any]) -> Callable[..., Any]:
    """Which decorator guards a function that calls the provider?"""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        wants_call = "call" in inspect.signature(function).parameters
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("AsyncClient guards coroutine functions")

        def entered(args: Any, kwargs: Any) -> tuple[Call, Any]:
            call = client.call(**_resolved(fields, args, kwargs))
            call.__enter__()
            return call, kwargs | ({"call": call} if wants_call else {})

        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def streamed(*args: Any, **kwargs: Any) -> Any:
                call, given = entered(args, kwargs)
                return call.stream(function(*args, **given))

            return streamed

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            call, given = entered(args, kwargs)
            try:
                result = function(*args, **given)
            except BaseException as error:
                call.end(error)
                raise
            call.used(result)
            if not call.streaming:
                call.end(None)
            return result

        return guarded

    return decorate


def guard_async(
    client: "AsyncClient | AsyncLessee", fields: Mapping[str, Any]
) -> Callable[..., Any]:
    """Which decorator guards a coroutine function, or an async generator?"""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        wants_call = "call" in inspect.signature(function).parameters

        async def entered(args: Any, kwargs: Any) -> tuple[AsyncCall, Any]:
            call = client.call(**_resolved(fields, args, kwargs))
            await call.__aenter__()
            return call, kwargs | ({"call": call} if wants_call else {})

        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def streamed(*args: Any, **kwargs: Any) -> Any:
                call, given = await entered(args, kwargs)
                stream = call.stream(function(*args, **given))
                try:
                    async for piece in stream:
                        yield piece
                finally:
                    await stream.aclose()

            return streamed
        if not inspect.iscoroutinefunction(function):
            raise TypeError("Client guards ordinary functions; AsyncClient coroutine functions")

        @functools.wraps(function)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            call, given = await entered(args, kwargs)
            try:
                result = await function(*args, **given)
            except BaseException as error:
                await call.end(error)
                raise
            call.used(result)
            if not call.streaming:
                await call.end(None)
            return result

        return guarded

    return decorate


def _resolved(fields: Mapping[str, Any], args: Any, kwargs: Any) -> dict[str, Any]:
    return {
        name: value(*args, **kwargs) if callable(value) else value
        for name, value in fields.items()
    }


def _end_later(call: _Ending, client: Any, error: BaseException | None) -> None:
    way = call.ending(error)
    if way is None:
        return
    verb, fields = way
    try:
        if verb == "release":
            client.release_later(**fields)
        else:
            call.settled = client.settle_later(**fields)
    except O10Error as refused:
        _keep_refused(client, verb, fields, refused)


def _keep_refused(client: Any, verb: str, fields: Mapping[str, Any], why: O10Error) -> None:
    """The provider's answer stands: o10's refusal is said aloud and kept for a person."""
    import msgspec

    body = msgspec.json.encode({k: v for k, v in fields.items() if v is not None})
    client.outbox.refuse(f"/api/v1/{verb}", body, why=str(why)[:300])
    _log.debug("call could not be ended", exc_info=why)
