"""What does a call through a LiteLLM proxy cost with o10, over the same call without it?

Four proxies of one worker each, alike but for the callback, call the same provider on loopback
in many short turns, so that whatever else the machine does falls on all: the guard deciding
from local leases, the guard asking o10 for each call, a callback with the guard's methods that
does nothing, and none. No two prompts are the same. Measured is the processor time of the proxy
alone, background work after the answers included; what o10 itself uses, and what LiteLLM
spends on having a callback at all, is in the facts. Without LiteLLM (`make litellm`) nothing is
measured.
Source: design target D11.
"""

import itertools
import statistics
import tempfile
from dataclasses import dataclass, field
from typing import Any

from o10.management.benches.litellm_peer import MODEL, settled_cpu
from o10.management.benches.proxy import (
    INSTALL,
    Installed,
    Proxy,
    Setup,
    entry,
    installed_litellm,
    proxy,
    upstream,
)
from o10.management.benches.proxy_load import put
from o10.management.benches.result import Bench, ratio
from o10.management.benches.scene import found_scene
from o10.management.benches.scene import open_use_case as open_one
from o10.management.benches.server import BOOKS, PLANE, Site, database_cpu_s, drain, site

TURNS = 12
CALLS_PER_TURN = 40
CALLS = TURNS * CALLS_PER_TURN
CONCURRENCY = 8
PROMPT_TOKENS, COMPLETION_TOKENS = 100, 40
DELAY_MS = 20.0
SLUG = "end-to-end"
_SYSTEM = "You answer in one sentence, for an accountant. " * 4
_PROMPT = "Which of these invoices is due? " * 10
_GUARD = """
    base_url="http://127.0.0.1:{port}",
    key="{key}",
    default_use_case="{slug}",
    state_dir="{state}",
    leases=Leases.{leases},
"""
_EMPTY = """
from litellm.integrations.custom_logger import CustomLogger


class Empty(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        return data

    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        return None

    async def async_post_call_failure_deployment_hook(
        self, request_data, exception, call_type, fallback_depth=None
    ):
        return None

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        return None

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        return None

    async def async_post_call_failure_hook(
        self, request_data, original_exception, user_api_key_dict, traceback_str=None
    ):
        return None

    async def async_post_call_success_hook(self, data, user_api_key_dict, response):
        return None

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict, response, request_data
    ):
        async for piece in response:
            yield piece

    async def async_post_call_response_headers_hook(
        self, data, user_api_key_dict, response, request_headers=None, litellm_call_info=None
    ):
        return None


guard = Empty()
"""
_number = itertools.count()


@dataclass(slots=True)
class _Side:
    """One of the proxies: what a round costs it."""

    proxy: Proxy
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    _before: float = 0.0

    def begin(self) -> None:
        """A round begins."""
        self.waits.clear()
        self._before = settled_cpu(self.proxy.cpu_s)

    def turn(self) -> None:
        """Some calls."""
        bodies = [_body() for _ in range(CALLS_PER_TURN)]
        heard = put(self.proxy.port, bodies, keys=["sk-bench"], concurrency=CONCURRENCY)
        self.refused += sum(said.status != 200 for said in heard)
        self.waits += [said.seconds for said in heard]

    def end(self) -> None:
        """The round is over: processor time of a call, us, and the median wait, ms."""
        spent = settled_cpu(self.proxy.cpu_s) - self._before
        self.cpu_us.append(spent / CALLS * 1e6)
        self.p50_ms.append(statistics.median(self.waits) * 1_000)


def _body() -> dict[str, Any]:
    """A request like the others, and like none of them."""
    messages = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": f"Case {next(_number)}: {_PROMPT}"},
    ]
    return {"model": "mini", "messages": messages, "max_tokens": 400}


def run(*, rounds: int) -> Bench:
    """What is the processor time of a proxied call with o10 over one without? Goal: <= 1.03."""
    installed = installed_litellm()
    if installed is None:
        return Bench(name="end_to_end", ratios=(), facts={"left out": f"no LiteLLM: {INSTALL}"})
    scene = found_scene()
    open_one(scene, SLUG)
    with site(workers=2, names=(PLANE, BOOKS)) as running:
        return _measure(installed, running, scene.key, rounds)


def _measure(installed: Installed, running: Site, key: str, rounds: int) -> Bench:
    with tempfile.TemporaryDirectory(prefix="o10-guard-") as state, upstream() as provider:
        manner = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS}
        provider.behave(**{"*": {**manner, "delay_ms": DELAY_MS}})
        model = entry("mini", MODEL, port=provider.port)

        def guard(leases: str) -> Setup:
            text = _GUARD.format(
                port=running[PLANE].port,
                key=key,
                slug=SLUG,
                state=f"{state}/{leases}",
                leases=leases,
            )
            return Setup(models=[model], guard=text)

        with (
            proxy(installed, guard("LOCAL")) as leased,
            proxy(installed, guard("REMOTE")) as asking,
            proxy(installed, Setup(models=[model], callback=_EMPTY)) as bare,
            proxy(installed, Setup(models=[model])) as alone,
        ):
            sides = ours, remote, empty, theirs = (
                _Side(leased),
                _Side(asking),
                _Side(bare),
                _Side(alone),
            )
            used = _used(running)
            for _ in range(rounds + 1):
                _round(*sides)
            drain()
            facts = _facts(installed, rounds, _used(running) - used)
            facts["empty_callback_over_without"] = _over(empty, theirs)
    refused = [side.refused for side in sides]
    if any(refused):
        raise RuntimeError(f"refused, in the order of the sides: {refused}")
    return Bench(
        name="end_to_end",
        ratios=(
            ratio(
                name="processor time of a proxied call with o10, local leases, over without",
                goal="<= 1.03",
                a=("LiteLLM with o10, leased", ours.cpu_us[1:]),
                b=("LiteLLM alone", theirs.cpu_us[1:]),
                unit="us",
            ),
            ratio(
                name="processor time of a proxied call that asks o10 over without",
                goal="<= 1.03",
                a=("LiteLLM with o10, asking", remote.cpu_us[1:]),
                b=("LiteLLM alone", theirs.cpu_us[1:]),
                unit="us",
            ),
            ratio(
                name=f"p50 of a proxied call with o10 over without, c={CONCURRENCY}",
                goal="<= 1.25",
                a=("LiteLLM with o10", ours.p50_ms[1:]),
                b=("LiteLLM alone", theirs.p50_ms[1:]),
                unit="ms",
            ),
        ),
        facts=facts,
    )


def _round(*sides: _Side) -> None:
    """All sides in turn; which begins changes with each turn. The first is the warm-up."""
    for side in sides:
        side.begin()
    for number in range(TURNS):
        for side in sides if number % 2 else reversed(sides):
            side.turn()
    for side in sides:
        side.end()


def _over(one: _Side, other: _Side) -> float:
    """The median of paired rounds, without the warm-up."""
    pairs = zip(one.cpu_us[1:], other.cpu_us[1:], strict=True)
    return round(statistics.median(a / b for a, b in pairs), 3)


def _used(running: Site) -> float:
    return sum(running[name].cpu_s() for name in running.servers) + database_cpu_s()


def _facts(installed: Installed, rounds: int, o10_cpu_s: float) -> dict[str, Any]:
    calls = 2 * CALLS * (rounds + 1)
    return {
        "litellm": installed.version,
        "configuration": "1 worker, no database, custom keys, default callbacks",
        "calls_per_round": CALLS,
        "concurrency": CONCURRENCY,
        "provider_delay_ms": DELAY_MS,
        "o10_cpu_us_per_call": round(o10_cpu_s / calls * 1e6),
    }
