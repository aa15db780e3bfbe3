"""What happens to a call while o10 cannot decide? Closed unless a use case is marked open.

Open means: up to a cap for each key and hour, counted at the worst case, in a file that all
processes of this router share, so that neither a restart nor a second worker begins anew.
Source: docs/algorithms/fail-mode.md.
"""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from o10.client.errors import StateUnusable
from o10.kernel.clock import unix_us
from o10.kernel.money import Nanos, ceil_div, parse_nanos

HOUR_US: Final = 3_600 * 1_000_000
MILLION: Final = 1_000_000
DEFAULT_MAX_OUTPUT: Final = 1_024
_REWRITE_ABOVE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FailClosed:
    """Is nothing sent while o10 cannot decide? The default: a cap that opens is no cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPrice:
    """What does a million tokens cost, as far as the router knows? Decimal text."""

    input_per_million: str
    output_per_million: str
    per_request: str = "0"

    def worst_nanos(self, *, input_tokens: int, output_tokens: int) -> Nanos:
        """What do these tokens cost at most? Rounded up."""
        tokens = input_tokens * parse_nanos(self.input_per_million)
        tokens += output_tokens * parse_nanos(self.output_per_million)
        return ceil_div(tokens, MILLION) + parse_nanos(self.per_request)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOpen:
    """Do calls go ahead while o10 cannot decide, up to a cap for each key and hour?

    Units: `cap_per_hour` decimal text in the ledger's currency, over any 60 minutes;
    `prices` by model as the router names it; a call without a price counts as one
    `calls_per_hour`-th of the cap. `max_output_tokens` is granted when the caller names none.
    """

    cap_per_hour: str = "5.00"
    prices: Mapping[str, LocalPrice] = field(default_factory=dict)
    calls_per_hour: int = 100
    max_output_tokens: int = DEFAULT_MAX_OUTPUT

    def __post_init__(self) -> None:
        if parse_nanos(self.cap_per_hour) < 0 or self.calls_per_hour < 1:
            raise ValueError("a cap of 0 or more, and at least one call")

    @property
    def cap_nanos(self) -> Nanos:
        """What may be spent in an hour?"""
        return parse_nanos(self.cap_per_hour)

    def bound_of(self, asked: Mapping[str, Any]) -> "Bound":
        """What can this call use and cost at most?"""
        tokens = input_bound(asked)
        output = asked.get("max_output_tokens") or self.max_output_tokens
        price = self.prices.get(asked.get("model") or "")
        if price is None or tokens is None:
            return Bound(tokens or 0, output, max(self.cap_nanos // self.calls_per_hour, 1))
        worst = price.worst_nanos(
            input_tokens=tokens, output_tokens=output * (asked.get("n") or 1)
        )
        return Bound(tokens, output, worst)


FailMode = FailClosed | FailOpen


@dataclass(frozen=True, slots=True)
class Bound:
    """What can a call use and cost at most? `output_tokens` of one completion."""

    input_tokens: int
    output_tokens: int
    nanos: Nanos


def input_bound(asked: Mapping[str, Any]) -> int | None:
    """How many input tokens at most? A token has at least one byte of the prompt."""
    stated = asked.get("input_tokens")
    if stated is not None:
        return int(stated)
    prompt = asked.get("prompt")
    return None if prompt is None else len(prompt.encode())


class _Spent(msgspec.Struct, frozen=True, array_like=True):
    at_us: int
    use_case: str
    nanos: int


class Allowance:
    """How much did this key let through in the last hour? One file for all its processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, *, use_case: str, nanos: Nanos, cap_nanos: Nanos, now: datetime) -> bool:
        """May this much more go, and is it counted now? One answer among all processes.

        Raises: StateUnusable when the file cannot be written: then nothing goes.
        """
        at_us = unix_us(now)
        try:
            with self._path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                kept = _recent(file.read(), after_us=at_us - HOUR_US)
                spent = sum(each.nanos for each in kept if each.use_case == use_case)
                if spent + nanos > cap_nanos:
                    return False
                line = _line(_Spent(at_us, use_case, nanos))
                if file.tell() > _REWRITE_ABOVE:
                    file.truncate(0)
                    line = b"".join(map(_line, kept)) + line
                # A line torn by a crash ends before ours begins.
                file.write(b"\n" + line)
                file.flush()
                os.fdatasync(file.fileno())
                return True
        except OSError as error:
            raise StateUnusable(
                what="fail-open allowance", path=str(self._path), cause=str(error)
            ) from error


def _recent(content: bytes, *, after_us: int) -> list[_Spent]:
    # An instant ahead of ours (the clock was set back) still counts: the safe side.
    found = []
    for line in content.split(b"\n"):
        try:
            spent = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if spent.at_us > after_us:
            found.append(spent)
    return found


def _line(spent: _Spent) -> bytes:
    return msgspec.json.encode(spent) + b"\n"


_DECODER = msgspec.json.Decoder(_Spent)
