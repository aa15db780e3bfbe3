"""What is known of one proxied call, and what must be told to o10 next?

A proxy tries a call several times: retries, fallbacks to other models, a stream that breaks and
goes on elsewhere. All of that is one reservation. An attempt that billed nothing books nothing;
an attempt nobody can judge (a timeout, a stream that broke) is booked at its worst case before
the next one may spend; the last one ends the reservation. Rules only: no network, no LiteLLM.
Source: docs/manual/litellm.md.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

_DEEPEST: Final = 12
_MAYBE_BILLED: Final = frozenset(
    {
        "ClientPayloadError",
        "ConnectionResetError",
        "IncompleteRead",
        "MidStreamFallbackError",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "ServerDisconnectedError",
        "SocketTimeoutError",
        "TransferEncodingError",
        "WriteError",
        "WriteTimeout",
    }
)
"""Errors that come after the request was sent: the provider may have worked."""
_NOT_SENT: Final = frozenset(
    {
        "ClientConnectorDNSError",
        "ClientConnectorError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectionRefusedError",
        "ConnectionTimeoutError",
        "PoolTimeout",
        "UnsupportedProtocol",
        "gaierror",
    }
)
"""Errors that come before the first byte was sent."""
_ANSWERED: Final = "HTTPStatusError"
"""The provider answered with an error status."""
_UNDECIDED_STATUS: Final = frozenset({408, 499, 504})
"""Somebody gave up waiting: a gateway, the proxy or its client."""


class Bill(StrEnum):
    """What does the provider bill for an attempt that failed?"""

    NOTHING = "nothing"
    UNKNOWN = "unknown"


def bill_of(error: BaseException | None) -> Bill:
    """Does this failure prove that nothing is billed?

    The first telling class in the chain of causes counts: a later attempt carries the failure
    of the earlier one as its context.
    """
    if error is None:
        return Bill.UNKNOWN
    status = status_of(error)
    if status in _UNDECIDED_STATUS and not _names(error) & _NOT_SENT:
        return Bill.UNKNOWN
    if status is not None and 400 <= status < 500:
        return Bill.NOTHING
    seen: BaseException | None = error
    for _ in range(_DEEPEST):
        if seen is None:
            break
        name = type(seen).__name__
        if name in _MAYBE_BILLED:
            return Bill.UNKNOWN
        if name in _NOT_SENT or name == _ANSWERED:
            return Bill.NOTHING
        seen = seen.__cause__ or seen.__context__
    return Bill.UNKNOWN


def status_of(error: BaseException) -> int | None:
    """Which HTTP status does this failure carry?"""
    for name in ("status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _names(error: BaseException) -> set[str]:
    """The classes up to the first telling one."""
    found: set[str] = set()
    seen: BaseException | None = error
    while seen is not None and len(found) < _DEEPEST:
        name = type(seen).__name__
        found.add(name)
        if name in _MAYBE_BILLED or name in _NOT_SENT:
            break
        following = seen.__cause__ or seen.__context__
        seen = None if following is seen else following
    return found


class Next(StrEnum):
    """What must happen before this attempt may be sent?"""

    GO = "go"
    """Nothing: it is covered by what is held."""
    ASK_AGAIN = "ask_again"
    """The hold must be extended to this model (or renewed) first."""
    BOOK_THEN_ASK = "book_then_ask"
    """The attempt before may be billed: book its worst case, then ask for another hold."""


class ProxyCall(msgspec.Struct, kw_only=True):
    """What is known of one call? Changed by the events of the proxy, in any order.

    Shape: `reservation` token (else id) of the hold, None when nothing is held; `name` what o10
    calls the model it is held for; `began` and `done_at` monotonic seconds. `failed` counts
    attempts that have failed; the number of the one in flight is one more. `stream` is the
    proxy's own stream object, once it is read.
    """

    id: str
    asked: Mapping[str, Any]
    reservation: str | None
    public_id: str
    decision_id: str
    said: str
    reason: str
    name: str
    cap: int | None
    began: float
    undecided: bool = False
    failed: int = 0
    sent: bool = False
    in_flight: bool = False
    unknown: bool = False
    pieces: int = 0
    stream: Any = None
    response_usage: dict[str, int] | None = None
    done_at: float | None = None
    ended: bool = False
    refused: BaseException | None = None
    served: str = ""

    @property
    def attempt(self) -> int:
        """Which number has the attempt that is in flight, or was last?"""
        return self.failed + 1

    def before(self, name: str) -> Next:
        """An attempt with this model is about to be sent. What must happen first?"""
        if self.in_flight and self.pieces:
            # It broke in the middle of its stream and goes on elsewhere; nobody said so.
            self.after_failure(Bill.UNKNOWN)
        if self.reservation is None:
            return Next.GO
        if self.unknown:
            return Next.BOOK_THEN_ASK
        if self.ended or name != self.name:
            return Next.ASK_AGAIN
        return Next.GO

    def sending(self, name: str) -> None:
        """The attempt goes out, to this model."""
        self.sent = True
        self.in_flight = True
        self.served = name
        self.pieces = 0
        self.stream = None

    def after_failure(self, bill: Bill) -> None:
        """The attempt has failed."""
        if not self.in_flight:
            return
        self.in_flight = False
        if bill is Bill.UNKNOWN or self.pieces:
            self.unknown = True
        else:
            self.failed += 1

    def booked_unknown(self) -> None:
        """The attempt nobody could judge is booked."""
        self.unknown = False
        self.failed += 1

    def end_of_failure(self, bill: Bill) -> str | None:
        """The call has failed for good. Which verb ends it? None: it has ended already."""
        if self.ended or self.reservation is None:
            self.ended = True
            return None
        if self.in_flight:
            self.after_failure(bill)
        self.ended = True
        return "settle" if self.unknown else "release"

    def quiet_end(self, *, now: float, grace_s: float, unsent_s: float) -> str | None:
        """Nothing was heard for long. Which verb ends it? None: not yet, or not at all."""
        if self.ended:
            return None
        if self.done_at is not None and now - self.done_at >= grace_s:
            return "settle"
        if not self.sent and now - self.began >= unsent_s:
            return "release"
        return None
