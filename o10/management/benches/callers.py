"""What does a router do with a decision? Calls that are asked, served, settled, and counted.

The scripts of `drive`: a call that is let through goes to the provider, which bills it, and
is settled with the provider's usage. A retry is the same bytes again.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from o10.management.benches.drive import Script, build_request
from o10.management.benches.provider import Provider

ALLOWED = frozenset({"allow", "allow_with_caps"})


@dataclass(slots=True)
class Call:
    """Which call is made, over and over? Units: tokens; seconds.

    `max_output_tokens` None = not sent. `manner` is the provider's. `pause_s` is asked before
    each call and again after each pause, until it says 0.
    """

    key: str
    use_case: str
    model: str
    input_tokens: int
    max_output_tokens: int | None
    manner: str = "full"
    pause_s: Callable[[], float] = lambda: 0.0

    def body(self, request_id: str) -> dict[str, Any]:
        """What is sent to authorize?"""
        sent = {
            "request_id": request_id,
            "use_case": self.use_case,
            "model": self.model,
            "input_tokens": self.input_tokens,
        }
        if self.max_output_tokens is not None:
            sent["max_output_tokens"] = self.max_output_tokens
        return sent


@dataclass(slots=True)
class Told:
    """What were the callers told? Units: nanos, by use case where it is money.

    `wrong` keeps the first answers that are no answer of the contract.
    """

    asked: int = 0
    allowed: int = 0
    denied: int = 0
    unanswered: int = 0
    unsettled: int = 0
    held: int = 0
    settled: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def calls(call: Call, *, numbers: Iterator[int], provider: Provider, told: Told) -> Script:
    """One connection of a router: takes the next number until there is none."""
    for number in numbers:
        while pause := call.pause_s():
            yield pause
        request_id = f"{call.use_case}-{number}"
        body = call.body(request_id)
        status, answer, _ = yield _authorize(call, body)
        told.asked += 1
        decision = _decoded(status, answer, told)
        if decision is None:
            continue
        reservation = decision.get("reservation")
        told.reasons[decision["reasons"][0]["code"]] += 1
        if decision["decision"] not in ALLOWED or reservation is None:
            told.denied += 1
        else:
            told.allowed += 1
            told.held += int(reservation["amount_nanos"])
            billed = provider.serve(
                request_id,
                input_tokens=call.input_tokens,
                max_output_tokens=int(decision["caps"]["max_output_tokens"]),
                manner=call.manner,
            )
            status, answer, _ = yield settle_request(call.key, reservation["token"], billed)
            settled = _decoded(status, answer, told)
            if settled is None:
                told.unsettled += 1
            else:
                told.settled += int(settled["cost"]["amount_nanos"])


def settle_request(key: str, reservation: str, billed: tuple[int, int], **fields: Any) -> bytes:
    """Which bytes settle this reservation with what was billed (tokens in, tokens out)?"""
    usage = {"input_tokens": billed[0], "output_tokens": billed[1]}
    body = {"reservation": reservation, "usage": usage, **fields}
    return build_request(path="/api/v1/settle", key=key, body=body).plain


def _authorize(call: Call, body: dict[str, Any]) -> bytes:
    return build_request(path="/api/v1/authorize", key=call.key, body=body).plain


def _decoded(status: int, answer: bytes, told: Told) -> dict[str, Any] | None:
    if status == 200:
        said: dict[str, Any] = msgspec.json.decode(answer)
        return said
    if status in {0, 503}:
        told.unanswered += 1
    elif len(told.wrong) < 10:
        told.wrong.append(f"{status} {answer[:300]!r}")
    return None
