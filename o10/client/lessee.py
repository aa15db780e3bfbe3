"""How does a router authorize without a network call? From a lease, in process.

One more holder of leases, beside the decision workers: the same book, the same journal, the
same cap. The usual call is a look-up, a handful of integers and one record in a local file
(local_calls.py); the keeper (lessee_keeper.py) sends that file, renews, borrows and gives back
in the background. What is not usual goes to o10 through the client, call by call, with its
fail modes.
Source: decision-plane.md section 9; docs/algorithms/local-leases.md.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from o10.client.calls import AsyncCall, Call, guard, guard_async
from o10.client.http import AsyncClient, Client
from o10.client.lessee_keeper import Keeper
from o10.client.local_calls import LocalCalls, Theirs
from o10.client.local_till import LocalDecision
from o10.client.outbox import Outbox
from o10.client.verbs import Kept, UsageAnswer
from o10.kernel.errors import O10Error
from o10.wire.decisions import Decision, Extended, Released, Settled


class _Local:
    """What do both lessees have in common?"""

    def __init__(self, client: Client | AsyncClient) -> None:
        """`client` carries what is not decided here, the leases and the journal."""
        self._any = client
        self.calls = LocalCalls(
            lambda calls: Keeper(client, forget=calls.forget, ended=calls.ended_elsewhere)
        )
        self.remote = 0

    @property
    def keeper(self) -> Keeper:
        """Who looks after the leases."""
        return self.calls.keeper

    @property
    def local(self) -> int:
        """How many calls were decided here?"""
        return self.calls.local

    @property
    def outbox(self) -> Outbox:
        """What is not told yet?"""
        return self._any.outbox

    def try_authorize(self, fields: Mapping[str, Any]) -> LocalDecision | None:
        """Decides here and now, or not at all: None. Never waits for anybody."""
        return self.calls.try_authorize(fields)

    def settle_later(self, **fields: Any) -> Settled | Kept:
        """Settles without waiting: here, or in the background."""
        answer = self.calls.settle(fields)
        if isinstance(answer, Settled):
            return answer
        return self._any.settle_later(**self._asked(answer, fields))

    def release_later(self, **fields: Any) -> Released | Kept:
        """Releases without waiting: here, or in the background."""
        answer = self.calls.release(fields)
        if isinstance(answer, Released):
            return answer
        return self._any.release_later(**self._asked(answer, fields))

    def _asked(self, answer: Theirs | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked of o10? From here on the call is its."""
        if answer is None:
            return dict(fields)
        self.calls.let_go(answer.token)
        self.keeper.wake()
        return {**fields, "reservation": answer.token}

    def _ship(self, answer: Theirs | None) -> None:
        """o10 must have heard of a call before it can end it."""
        if answer is None:
            return
        try:
            self.keeper.ship_now()
        except O10Error:
            # It is away: the outbox keeps the ending until it is not.
            return


class Lessee(_Local):
    """What does one router process decide by itself? As `Client`, for threads."""

    def __init__(self, client: Client) -> None:
        """`client` carries what is not decided here; it is closed by whoever made it."""
        super().__init__(client)
        self._client = client

    def __enter__(self) -> "Lessee":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def authorize(self, **fields: Any) -> LocalDecision | Decision:
        """May this call spend? As `Client.authorize`; without a network call where it can."""
        decided = self.calls.try_authorize(fields)
        if decided is None and self.calls.prepare(fields):
            decided = self.calls.try_authorize(fields)
        if decided is not None:
            return decided
        self.remote += 1
        return self._client.authorize(**fields)

    def dry_run(self, **fields: Any) -> Decision:
        """As `Client.dry_run`."""
        return self._client.dry_run(**fields)

    def settle(self, **fields: Any) -> Settled | Kept:
        """What did the attempt use? As `Client.settle`; here if it was decided here."""
        answer = self.calls.settle(fields)
        if isinstance(answer, Settled):
            return answer
        self._ship(answer)
        return self._client.settle(**self._asked(answer, fields))

    def release(self, **fields: Any) -> Released | Kept:
        """Was nothing billed? As `Client.release`; here if it was decided here."""
        answer = self.calls.release(fields)
        if isinstance(answer, Released):
            return answer
        self._ship(answer)
        return self._client.release(**self._asked(answer, fields))

    def extend(self, **fields: Any) -> Extended:
        """As `Client.extend`: a hold that grows is o10's from then on."""
        ours = self.calls.find(fields.get("reservation"))
        self._ship(ours)
        return self._client.extend(**self._asked(ours, fields))

    def report_usage(self, records: Sequence[Mapping[str, Any]]) -> UsageAnswer | Kept:
        """As `Client.report_usage`."""
        return self._client.report_usage(records)

    def call(self, **fields: Any) -> Call:
        """As `Client.call`."""
        return Call(self, fields)

    def guarded(self, **fields: Any) -> Any:
        """As `Client.guarded`."""
        return guard(self, fields)

    def close(self) -> None:
        """Gives back what is free, tells the rest, ends the journal."""
        self.keeper.close()


class AsyncLessee(_Local):
    """As `Lessee`, for event loops: the usual call does not leave it, nothing blocks it."""

    def __init__(self, client: AsyncClient) -> None:
        """`client` carries what is not decided here; it is closed by whoever made it."""
        super().__init__(client)
        self._client = client

    async def __aenter__(self) -> "AsyncLessee":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def authorize(self, **fields: Any) -> LocalDecision | Decision:
        """As `Lessee.authorize`."""
        decided = self.calls.try_authorize(fields)
        if decided is None and await asyncio.to_thread(self.calls.prepare, fields):
            decided = self.calls.try_authorize(fields)
        if decided is not None:
            return decided
        self.remote += 1
        return await self._client.authorize(**fields)

    async def dry_run(self, **fields: Any) -> Decision:
        """As `Client.dry_run`."""
        return await self._client.dry_run(**fields)

    async def settle(self, **fields: Any) -> Settled | Kept:
        """As `Lessee.settle`."""
        answer = self.calls.settle(fields)
        if isinstance(answer, Settled):
            return answer
        await self._ship_aside(answer)
        return await self._client.settle(**self._asked(answer, fields))

    async def release(self, **fields: Any) -> Released | Kept:
        """As `Lessee.release`."""
        answer = self.calls.release(fields)
        if isinstance(answer, Released):
            return answer
        await self._ship_aside(answer)
        return await self._client.release(**self._asked(answer, fields))

    async def extend(self, **fields: Any) -> Extended:
        """As `Lessee.extend`."""
        ours = self.calls.find(fields.get("reservation"))
        await self._ship_aside(ours)
        return await self._client.extend(**self._asked(ours, fields))

    async def report_usage(self, records: Sequence[Mapping[str, Any]]) -> UsageAnswer | Kept:
        """As `Client.report_usage`."""
        return await self._client.report_usage(records)

    def call(self, **fields: Any) -> AsyncCall:
        """As `AsyncClient.call`."""
        return AsyncCall(self, fields)

    def guarded(self, **fields: Any) -> Any:
        """As `AsyncClient.guarded`."""
        return guard_async(self, fields)

    async def close(self) -> None:
        """As `Lessee.close`."""
        await asyncio.to_thread(self.keeper.close)

    async def _ship_aside(self, answer: Theirs | None) -> None:
        if answer is not None:
            await asyncio.to_thread(self._ship, answer)
