"""Which story of alerts does the demo company tell? A longer prompt that nobody signed.

The support assistant runs on a signed prompt version; then calls come with the next one, which
is four tenths longer. The watch sees it first, weighs the calls, and says the cost a month.
Rules find what else is so: envelopes past their thresholds among them.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from o10.access.keys import Caller
from o10.management.demo_sealing import seal_history
from o10.wire import requests
from policies import facade as policies

USE_CASE = "support-assistant"
SIGNED, UNSIGNED = "support-v6", "support-v7"
CALLS = 52
INPUT_TOKENS, OUTPUT_TOKENS = 4_000, 120
_APART = timedelta(minutes=1)


def tell_alerts(
    *, router: Caller, maker: Caller, checker: Caller, model: str, now: datetime
) -> None:
    """Makes the calls before and after the change, and looks once with every watch."""
    seal_history(now=now)
    policies.find_changes(now=now)
    asked = policies.propose_change(
        kind="change.signed",
        subject=USE_CASE,
        change={"use_case": USE_CASE, "dimension": "prompt_version", "value": SIGNED},
        actor=maker,
        now=now,
        reason="Answers cite the article they rest on",
        key="demo-prompt",
    )
    if asked.is_open:
        policies.approve(approval=asked.id, actor=checker, now=now)
    for number, version in enumerate((SIGNED, UNSIGNED)):
        start = now - (2 - number) * CALLS * _APART
        tokens = INPUT_TOKENS * (10 + 4 * number) // 10
        for call in range(CALLS):
            _call(router, model, version, tokens + call % 7 * 10, start + call * _APART, call)
        seal_history(now=now)
        policies.find_changes(now=now)
    policies.evaluate_alerts(now=now)
    policies.weigh_changes(now=now)


def _call(
    router: Caller, model: str, version: str, tokens: int, at: datetime, number: int
) -> None:
    ask: dict[str, Any] = {
        "request_id": f"demo-{version}-{number}",
        "use_case": USE_CASE,
        "model": model,
        "input_tokens": tokens,
        "max_output_tokens": OUTPUT_TOKENS * 2,
        "prompt_version": version,
    }
    answer = msgspec.json.decode(
        policies.authorize(
            request=msgspec.convert(ask, requests.Authorize), caller=router, now=at
        )
    )
    if not answer.get("reservation"):
        return
    used = {
        "reservation": answer["reservation"]["id"],
        "usage": {"input_tokens": tokens, "output_tokens": OUTPUT_TOKENS + number % 5},
        "latency_ms": 600 + 7 * number,
    }
    policies.settle(
        request=msgspec.convert(used, requests.Settle),
        caller=router,
        now=at + timedelta(seconds=2),
    )
