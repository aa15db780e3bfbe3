"""What does LiteLLM's own budget check admit and cost, in the same run as ours?

Three figures beside which ours are told: money admitted over the cap with two workers and no
shared store, the time of its reservation function in its own process, and the processor time
of a call it refuses. None of them uses a database, which flatters it. Each comes with the
version and the configuration it was measured with.
Source: docs/manual/litellm.md.
"""

import json
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from o10.management.benches.proxy import (
    Installed,
    Setup,
    Upstream,
    _environment,
    entry,
    installed_litellm,
    proxy,
    upstream,
)
from o10.management.benches.proxy_load import put

__all__ = [
    "MODEL",
    "PeerCap",
    "PeerCost",
    "installed_litellm",
    "peer_cap",
    "peer_refusal",
    "peer_reservation",
]

MODEL = "openai/gpt-5.4-mini"
INPUT_NANOS, OUTPUT_NANOS = 750, 4_500
"""Nanos of a token, told to it in the entry of its model list: the same as ours."""
PROMPT_TOKENS = 100
NANOS = 10**9
_PROMPT = "Which of these invoices is due? " * 16


@dataclass(frozen=True, slots=True)
class PeerCap:
    """What did it admit? Nanos by the provider's own record; `configuration` in words."""

    version: str
    configuration: str
    calls: int
    admitted: int
    refused: int
    billed_nanos: int
    cap_nanos: int

    @property
    def ratio(self) -> float:
        """Money admitted over the cap."""
        return self.billed_nanos / self.cap_nanos


@dataclass(frozen=True, slots=True)
class PeerCost:
    """What does one call of it cost? `value` in `unit`; `configuration` in words."""

    version: str
    configuration: str
    value: float
    unit: str
    calls: int


def peer_cap(
    installed: Installed,
    *,
    workers: int = 2,
    calls: int = 1_000,
    concurrency: int = 100,
    cap_nanos: int = NANOS,
    output_tokens: int = 2_206,
) -> PeerCap:
    """How much money does it admit under a key's budget? Its default settings, no shared store.

    The default answer costs 0.010002 dollars, so that about a hundred fit into a dollar.
    """
    with upstream() as provider:
        manner = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": output_tokens}
        provider.behave(**{"*": manner})
        with proxy(installed, _setup(provider, workers=workers, cap_nanos=cap_nanos)) as there:
            provider.forget()
            bodies = [_body(output_tokens)] * calls
            heard = put(there.port, bodies, keys=["sk-budget"], concurrency=concurrency)
            served = _models_only(provider)
    bill = sum(
        call["billed_input"] * INPUT_NANOS + call["billed_output"] * OUTPUT_NANOS
        for call in served
    )
    return PeerCap(
        version=installed.version,
        configuration=f"{workers} workers, no shared store, no database, budget of a key",
        calls=calls,
        admitted=sum(said.status == 200 for said in heard),
        refused=sum(said.status != 200 for said in heard),
        billed_nanos=bill,
        cap_nanos=cap_nanos,
    )


def peer_refusal(
    installed: Installed, *, calls: int = 400, concurrency: int = 16, warm: int = 100
) -> PeerCost:
    """How much processor time does a call take that it refuses for money? One worker."""
    with upstream() as provider:
        provider.behave(**{"*": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": 10}})
        setup = _setup(provider, workers=1, cap_nanos=1)
        with proxy(installed, setup) as there:
            put(there.port, [_body(400)] * warm, keys=["sk-budget"], concurrency=concurrency)
            before = there.cpu_s()
            bodies = [_body(400)] * calls
            heard = put(there.port, bodies, keys=["sk-budget"], concurrency=concurrency)
            spent = settled_cpu(there.cpu_s) - before
    admitted = [said for said in heard if said.status == 200]
    if admitted:
        raise RuntimeError(f"{len(admitted)} of {calls} calls were not refused")
    return PeerCost(
        version=installed.version,
        configuration="1 worker, no database, budget of a key used up",
        value=spent / calls * 1e6,
        unit="us of processor time",
        calls=calls,
    )


def peer_reservation(installed: Installed, *, calls: int = 2_000) -> PeerCost:
    """How long does its reservation function take in its own process? The median, in memory."""
    asked = json.dumps({"calls": calls, "model": MODEL, "prompt": _PROMPT})
    done = subprocess.run(  # noqa: S603 - our own script, in LiteLLM's Python
        [str(installed.python), "-c", _RESERVE, asked],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(Setup(models=())),
    )
    if done.returncode:
        raise RuntimeError(f"its reservation could not be timed:\n{done.stderr[-2_000:]}")
    times = json.loads(done.stdout.splitlines()[-1])
    return PeerCost(
        version=installed.version,
        configuration="reserve_budget_for_request, in memory, in its own process",
        value=statistics.median(times) * 1e6,
        unit="us",
        calls=calls,
    )


def _setup(provider: Upstream, *, workers: int, cap_nanos: int) -> Setup:
    priced = entry(
        "mini",
        MODEL,
        port=provider.port,
        input_cost_per_token=INPUT_NANOS / NANOS,
        output_cost_per_token=OUTPUT_NANOS / NANOS,
    )
    return Setup(
        models=[priced],
        workers=workers,
        keys=f"return {{'max_budget': {cap_nanos / NANOS!r}, 'spend': 0.0}}",
        general={"custom_auth_run_common_checks": True},
    )


def _body(output_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": _PROMPT}]
    return {"model": "mini", "messages": messages, "max_tokens": output_tokens}


def _models_only(provider: Upstream) -> list[dict[str, Any]]:
    return [call for call in provider.calls() if call["path"].endswith("/completions")]


def settled_cpu(read: Any) -> float:
    """What has it used, once what runs after the answers is done?"""
    seen = float(read())
    for _ in range(100):
        time.sleep(0.3)
        now = float(read())
        if now - seen < 0.02:
            return now
        seen = now
    return seen


_RESERVE = """
import asyncio, json, sys, time
import litellm
from litellm.caching.caching import DualCache
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.spend_tracking import budget_reservation as budgets
from litellm.proxy import proxy_server

asked = json.loads(sys.argv[1])


async def main():
    router = litellm.Router(model_list=[{
        "model_name": "mini",
        "litellm_params": {
            "model": asked["model"], "api_key": "none",
            "input_cost_per_token": 7.5e-07, "output_cost_per_token": 4.5e-06,
        },
    }])
    body = {
        "model": "mini", "max_tokens": 800,
        "messages": [{"role": "user", "content": asked["prompt"]}],
    }
    token = UserAPIKeyAuth(api_key="hash", token="hash", max_budget=1e9, spend=0.0)
    times = []
    for number in range(asked["calls"] + 100):
        begun = time.perf_counter()
        held = await budgets.reserve_budget_for_request(
            request_body=dict(body), route="/v1/chat/completions", llm_router=router,
            valid_token=token, team_object=None, user_object=None, prisma_client=None,
            user_api_key_cache=proxy_server.user_api_key_cache,
            proxy_logging_obj=proxy_server.proxy_logging_obj,
        )
        spent = time.perf_counter() - begun
        assert held is not None, "nothing was reserved"
        await budgets.release_budget_reservation(held)
        if number >= 100:
            times.append(spent)
    print(json.dumps(times))


asyncio.run(main())
"""
