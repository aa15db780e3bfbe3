"""How is one verb carried out: how often is it sent, how long is waited, when is it given up?

No network here: `carry_out` is a generator that says what to do next (`Send`, `Pause`) and is
told what came of it, so that the sync and the async client do the same. Whatever is sent twice
carries the same key, so it is booked once.
Source: docs/algorithms/fail-mode.md (waits and limits).
"""

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

import msgspec

AGAIN_STATUS: Final = frozenset({429, 502, 503, 504})
"""Try again: too many, away, and what a proxy says when nobody answered it."""
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
FIRST_WAIT_S: Final = 0.05
MOST_WAIT_S: Final = 0.4


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What is sent? `headers` beside those of the client."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What came back, whole?"""

    status: int
    body: bytes
    retry_after_s: int | None = None
    etag: str = ""


class Lost(msgspec.Struct, frozen=True, gc=False):
    """Why did no whole answer come? `cause` in a few words."""

    cause: str


class Send(msgspec.Struct, frozen=True, gc=False):
    """What is to be sent, and how long may it take altogether, and to connect?"""

    ask: Ask
    timeout_s: float
    connect_s: float


class Pause(msgspec.Struct, frozen=True, gc=False):
    """How long is to be waited before the next attempt?"""

    seconds: float


Step = Send | Pause
Outcome = Reply | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long may a verb take, over all attempts? Seconds."""

    total_s: float = 2.0
    connect_s: float = 0.5
    attempts: int = 3

    def __post_init__(self) -> None:
        if not (0 < self.connect_s and 0 < self.total_s <= 600 and 1 <= self.attempts <= 10):
            raise ValueError("timeouts above 0 s and up to 600 s, 1 to 10 attempts")


def carry_out(
    ask: Ask,
    *,
    patience: Patience,
    clock: Callable[[], float],
    spread: Callable[[], float] = random.random,
) -> Generator[Step, Outcome | None, Outcome]:
    """What was the last word on this request?

    Units: `clock` monotonic seconds; `spread` from 0 to 1. A wait is Retry-After, or 50 ms
    doubled with each attempt up to 400 ms, and up to as much again by chance, so that routers
    do not come back together. What would end after `total_s` is not begun.
    """
    ends = clock() + patience.total_s
    last: Outcome = Lost("timeout")
    for attempt in range(1, patience.attempts + 1):
        left = ends - clock()
        if left <= 0:
            break
        told = yield Send(ask, left, min(patience.connect_s, left))
        if told is None:
            raise RuntimeError("a send is answered by an outcome")
        last = told
        if isinstance(last, Reply) and last.status not in AGAIN_STATUS:
            break
        wait = wait_before_next(attempt, last, spread=spread)
        if attempt == patience.attempts or clock() + wait >= ends:
            break
        yield Pause(wait)
    return last


def wait_before_next(attempt: int, last: Outcome, *, spread: Callable[[], float]) -> float:
    """How many seconds before attempt number `attempt` + 1?"""
    first = float(min(FIRST_WAIT_S * 2 ** (attempt - 1), MOST_WAIT_S))
    if isinstance(last, Reply) and last.retry_after_s is not None:
        return last.retry_after_s + first * spread()
    return first * (1 + spread())


def retry_after_of(text: str | None) -> int | None:
    """How many seconds does a Retry-After header say? Dates and nonsense are not heeded."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 6:
        return None
    return int(text)
