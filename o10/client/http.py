"""How does a router ask o10 over HTTP, sync and async, with one surface?

Connections are kept, every verb has a time limit (2 s altogether, 0.5 s to connect), what may
be repeated is repeated with the same key, and what could not be told is kept and sent again.
One client for a process: it may be used by many threads or tasks and after a fork.
"""

import hashlib
import os
import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from o10.client.calls import AsyncCall, Call, guard, guard_async
from o10.client.errors import StateUnusable
from o10.client.exchange import Ask, Outcome, Patience, Send, Step
from o10.client.failmode import FailClosed, FailMode
from o10.client.outage import Outage
from o10.client.outbox import Outbox
from o10.client.transport import Address, Transport
from o10.client.verbs import Kept, UsageAnswer, Verbs
from o10.wire.decisions import Decision, Extended, Released, Settled

if TYPE_CHECKING:
    pass

VERSION: Final = "0.1.0"
CLOSE_S: Final = 5.0
_NO_MODES: Mapping[str, FailMode] = MappingProxyType({})
T = TypeVar("T")


class _Common:
    """What do both clients consist of?"""

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        fail_mode: Mapping[str, FailMode] = _NO_MODES,
        default_fail_mode: FailMode = FailClosed(),  # noqa: B008 - frozen
        state_dir: Path | str | None = None,
        currency: str = "USD",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`base_url` of the decision plane, `key` a router key (`o10_…`).

        `fail_mode` by use case; `state_dir` where what is not told yet is kept (default
        `$XDG_STATE_HOME/o10-client`, else `~/.local/state/o10-client`): give one that outlives
        the container. `currency` is that of the ledger, for what is estimated here.
        Raises: ValueError for a URL that is none; StateUnusable when nothing can be kept.
        """
        self._address = Address(base_url)
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"o10-client/{VERSION}",
        }
        self._tls = tls
        folder = self.folder = _folder(state_dir, base_url=base_url, key=key)
        # What is told late goes its own way: a thread with connections of its own.
        self._background = Transport(
            address=self._address, headers=self._headers, tls=self._tls
        )
        self._patience = patience
        self._verbs = Verbs(
            patience=patience,
            fail_mode=fail_mode,
            default_fail_mode=default_fail_mode,
            folder=folder,
            outbox=Outbox(folder=folder, send=self.send_once),
            currency=currency,
        )

    @property
    def outage(self) -> Outage:
        """Is o10 away, and since when?"""
        return self._verbs.outage

    @property
    def outbox(self) -> Outbox:
        """What is not told yet?"""
        return self._verbs.outbox

    def settle_later(self, **fields: Any) -> Kept:
        """Settles without waiting: the outbox's thread sends it. Fields as `settle`."""
        return self._verbs.later("settle", fields)

    def release_later(self, **fields: Any) -> Kept:
        """Releases without waiting. Fields as `release`."""
        return self._verbs.later("release", fields)

    def send_once(self, ask: Ask) -> Outcome:
        """Sends one request over the background's own connections; blocks its thread."""
        return self._background.send(
            Send(ask, self._patience.total_s, self._patience.connect_s)
        )


class Client(_Common):
    """How does a program with threads ask o10?"""

    def __init__(self, **settings: Any) -> None:
        """Settings: base_url, key, patience, fail_mode, default_fail_mode, state_dir, tls."""
        super().__init__(**settings)
        self._transport = Transport(address=self._address, headers=self._headers, tls=self._tls)

    def authorize(self, **fields: Any) -> Decision:
        """May this call spend? Fields of `o10.wire.requests.Authorize`; a denial is an answer.

        Raises: DecisionPlaneAway when o10 cannot decide and the use case is closed, or its
        allowance is used up; the error the server told; TypeError for a name that is no field.
        """
        return self._drive(self._verbs.authorize(fields))

    def dry_run(self, **fields: Any) -> Decision:
        """What would be answered now? Nothing is held."""
        return self._drive(self._verbs.dry_run(fields))

    def settle(self, **fields: Any) -> Settled | Kept:
        """What did the attempt use? Fields of `o10.wire.requests.Settle`.

        Raises: the error the server told; StateUnusable when o10 is away and nothing can be
        kept.
        """
        return self._drive(self._verbs.settle(fields))

    def release(self, **fields: Any) -> Released | Kept:
        """Was nothing billed? Fields of `o10.wire.requests.Release`."""
        return self._drive(self._verbs.release(fields))

    def extend(self, **fields: Any) -> Extended:
        """May the hold live longer, cover more, or move? Fields of `Extend`."""
        return self._drive(self._verbs.extend(fields))

    def report_usage(self, records: Sequence[Mapping[str, Any]]) -> UsageAnswer | Kept:
        """What was used without asking first? Fields of `o10.wire.facts.UsageRecord`."""
        return self._drive(self._verbs.report_usage(list(records)))

    def call(self, **fields: Any) -> Call:
        """A call around the provider's: authorizes on entry, settles or releases on exit."""
        return Call(self, fields)

    def guarded(self, **fields: Any) -> Any:
        """A decorator: the function is the provider's call. A field may be a function of its
        arguments (`input_tokens=lambda text: count(text)`).
        """
        return guard(self, fields)

    def close(self, *, timeout_s: float = CLOSE_S) -> int:
        """Tells what can be told in this time. How many facts are left for the next process?"""
        left = self.outbox.close(timeout_s=timeout_s)
        self._background.close()
        self._transport.close()
        return left

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _drive(self, steps: Generator[Step, Outcome | None, T]) -> T:
        told: Outcome | None = None
        while True:
            try:
                step = steps.send(told)
            except StopIteration as end:
                value: T = end.value
                return value
            if isinstance(step, Send):
                told = self._transport.send(step)
            else:
                told = None
                time.sleep(step.seconds)


class AsyncClient(_Common):
    """How does a program with an event loop ask o10?"""

    def __init__(self, **settings: Any) -> None:
        """Settings as `Client`."""
        from o10.client.async_transport import AsyncTransport

        super().__init__(**settings)
        self._transport: AsyncTransport = AsyncTransport(
            address=self._address, headers=self._headers, tls=self._tls
        )

    async def authorize(self, **fields: Any) -> Decision:
        """As `Client.authorize`."""
        return await self._drive(self._verbs.authorize(fields))

    async def dry_run(self, **fields: Any) -> Decision:
        """As `Client.dry_run`."""
        return await self._drive(self._verbs.dry_run(fields))

    async def settle(self, **fields: Any) -> Settled | Kept:
        """As `Client.settle`."""
        return await self._drive(self._verbs.settle(fields))

    async def release(self, **fields: Any) -> Released | Kept:
        """As `Client.release`."""
        return await self._drive(self._verbs.release(fields))

    async def extend(self, **fields: Any) -> Extended:
        """As `Client.extend`."""
        return await self._drive(self._verbs.extend(fields))

    async def report_usage(self, records: Sequence[Mapping[str, Any]]) -> UsageAnswer | Kept:
        """As `Client.report_usage`."""
        return await self._drive(self._verbs.report_usage(list(records)))

    def call(self, **fields: Any) -> AsyncCall:
        """As `Client.call`, with `async with`."""
        return AsyncCall(self, fields)

    def guarded(self, **fields: Any) -> Any:
        """As `Client.guarded`, for coroutine functions and async generators."""
        return guard_async(self, fields)

    async def close(self, *, timeout_s: float = CLOSE_S) -> int:
        """As `Client.close`; the event loop goes on meanwhile."""
        import asyncio

        left = await asyncio.to_thread(self.outbox.close, timeout_s=timeout_s)
        self._background.close()
        await self._transport.close()
        return left

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _drive(self, steps: Generator[Step, Outcome | None, T]) -> T:
        import asyncio

        told: Outcome | None = None
        while True:
            try:
                step = steps.send(told)
            except StopIteration as end:
                value: T = end.value
                return value
            if isinstance(step, Send):
                told = await self._transport.send(step)
            else:
                told = None
                await asyncio.sleep(step.seconds)


def _folder(state_dir: Path | str | None, *, base_url: str, key: str) -> Path:
    """Where does this key keep what is not told yet? The key itself is not in the name."""
    if state_dir is None:
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        state_dir = Path(home) / "o10-client"
    name = hashlib.blake2b(f"{base_url}|{key}".encode(), digest_size=8).hexdigest()
    folder = Path(state_dir) / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f"new-{os.getpid()}-{os.urandom(4).hex()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StateUnusable(what="state_dir", path=str(folder), cause=str(error)) from error
    return folder


__all__ = ["AsyncClient", "Client", "Kept", "Patience", "UsageAnswer"]
