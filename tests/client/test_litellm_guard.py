"""What does the guard do where o10 says something unusual, or nothing? Against a real proxy."""

from collections.abc import Iterator

import pytest

from o10.management.benches.proxy import Proxy, Setup, Upstream, entry, proxy, upstream
from o10.wire.decisions import Outcome
from o10.wire.reasons import Reason
from tests.client.litellm_o10 import Scripted, decision, scripted
from tests.client.litellm_world import DEARER, O10_MODEL, chat, say, the_installed_litellm

LITELLM = the_installed_litellm()
GUARD = """
    base_url="http://127.0.0.1:{port}",
    key="o10_key_of_a_test",
    default_use_case="closed",
    patience=Patience(total_s=1.0, connect_s=0.3, attempts=1),
    fail_mode={{"open": FailOpen(cap_per_hour="0.05", calls_per_hour=5)}},
    state_dir="{state}",
"""
SECRET = "the patient is called Erika Mustermann"


@pytest.fixture(scope="module")
def o10() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream() as running:
        running.behave(**{"*": {"prompt_tokens": 100, "completion_tokens": 40}})
        yield running


@pytest.fixture(scope="module")
def guarded(
    o10: Scripted, provider: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    models = [
        entry("dear", DEARER, port=provider.port),
        entry("cheap", O10_MODEL, port=provider.port),
    ]
    guard = GUARD.format(port=o10.port, state=tmp_path_factory.mktemp("guard"))
    caching = {"cache": True, "cache_params": {"type": "local", "mode": "default_off"}}
    setup = Setup(models=models, guard=guard, litellm={"request_timeout": 5, **caching})
    with proxy(LITELLM, setup) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(o10: Scripted, provider: Upstream) -> None:
    o10.begin()
    provider.forget()


def test_a_reroute_calls_the_deployment_of_the_route(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    o10.says = decision(Outcome.REROUTE, Reason.RIGHTSIZED, offer=O10_MODEL, cap=30)
    heard = say(guarded, "/v1/chat/completions", chat("dear", max_tokens=50))
    assert heard.status == 200, heard.body
    assert heard.headers["x-o10-decision"] == "reroute"
    assert heard.headers["x-o10-model-served"] == O10_MODEL
    (call,) = provider.calls()
    assert (call["model"], call["max_tokens"]) == ("gpt-5.4-mini", 30)
    (asked,) = o10.of("authorize")
    assert asked["model"] == DEARER
    (told,) = o10.wait_for("settle")
    assert told["usage"]["input_tokens"] == 100
    assert told["usage"]["output_tokens"] == 30
    # The hold is for the route already; nothing was asked twice.
    assert "model" not in told
    assert o10.of("extend") == []


def test_a_route_without_a_deployment_is_refused_and_its_hold_given_back(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    o10.says = decision(Outcome.REROUTE, Reason.RIGHTSIZED, offer="nowhere/to-be-found")
    heard = say(guarded, "/v1/chat/completions", chat("dear", max_tokens=50))
    assert heard.status == 402
    assert heard.metadata["reason"] == "NO_HEALTHY_ROUTE"
    assert provider.calls() == []
    o10.wait_for("release")


def test_a_hold_for_a_person_is_a_402_that_says_when_to_come_back(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    o10.says = decision(Outcome.HOLD, Reason.APPROVAL_REQUIRED, retry_after_s=60)
    heard = say(guarded, "/v1/chat/completions", chat("cheap", max_tokens=50))
    assert heard.status == 402
    assert heard.metadata["reason"] == "APPROVAL_REQUIRED"
    assert heard.headers["retry-after"] == "60"
    assert heard.headers["x-o10-decision"] == "hold"
    assert provider.calls() == []


def test_what_is_sent_to_o10_has_no_text_of_the_request(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    messages = [
        {"role": "system", "content": SECRET},
        {"role": "user", "content": [{"type": "text", "text": SECRET}]},
    ]
    body = {"model": "cheap", "messages": messages, "max_tokens": 50}
    assert say(guarded, "/v1/chat/completions", body).status == 200
    o10.wait_for("settle")
    assert b"Erika" not in b"".join(o10.raw)
    o10.says = decision(Outcome.DENY, Reason.ENVELOPE_HARD_LIMIT)
    assert b"Erika" not in say(guarded, "/v1/chat/completions", body).body


def test_the_key_of_the_metadata_is_ours_alone(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    body = chat("cheap", max_tokens=50, metadata={"o10": {"call": "anothers"}})
    assert say(guarded, "/v1/chat/completions", body).status == 200
    o10.wait_for("settle")


def test_an_answer_from_the_proxys_cache_is_settled_as_such(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    body = chat("cheap", max_tokens=50, cache={"use-cache": True})
    assert say(guarded, "/v1/chat/completions", body).status == 200
    first = o10.wait_for("settle")[0]
    assert say(guarded, "/v1/chat/completions", body).status == 200
    second = o10.wait_for("settle", 2)[1]
    assert len(provider.calls()) == 1
    assert "cache" not in first
    assert second["cache"] == "edge"


def test_cached_and_reasoning_tokens_are_told_apart(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    manner = {
        "prompt_tokens": 100,
        "completion_tokens": 40,
        "cached_tokens": 60,
        "reasoning_tokens": 25,
    }
    provider.behave(**{"gpt-5.4-mini": manner})
    try:
        for stream in (False, True):
            body = chat("cheap", max_tokens=50, stream=stream)
            assert say(guarded, "/v1/chat/completions", body).status == 200
        for told in o10.wait_for("settle", 2):
            usage = told["usage"]
            assert usage["input_tokens"] == 100
            assert usage["cached_input_tokens"] == 60
            assert usage["output_tokens"] == 40
            assert usage["reasoning_tokens"] == 25
            assert told["status"] == "ok"
            assert told["provider_cost"]["currency"] == "USD"
            assert float(told["provider_cost"]["amount"]) > 0
            assert told["latency_ms"] >= 0
    finally:
        provider.behave(**{"gpt-5.4-mini": {"prompt_tokens": 100, "completion_tokens": 40}})


def test_in_shadow_nothing_is_held_and_nothing_is_told(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    o10.says = decision(reason=Reason.OK_SHADOW, holds=False)
    assert say(guarded, "/v1/chat/completions", chat("cheap", max_tokens=50)).status == 200
    assert len(provider.calls()) == 1


@pytest.mark.parametrize("trouble", ["silent", "failing"])
def test_while_o10_is_away_a_closed_use_case_gets_503_and_spends_nothing(
    guarded: Proxy, o10: Scripted, provider: Upstream, trouble: str
) -> None:
    if trouble == "silent":
        o10.silent_s = 2.0
    else:
        o10.status = 503
    heard = say(guarded, "/v1/chat/completions", chat("cheap", max_tokens=50))
    assert heard.status == 503
    assert heard.metadata["reason"] == "POLICY_UNAVAILABLE"
    assert int(heard.headers["retry-after"]) >= 1
    assert provider.calls() == []


def test_while_o10_is_away_an_open_use_case_goes_on_up_to_its_allowance(
    guarded: Proxy, o10: Scripted, provider: Upstream
) -> None:
    o10.status = 503
    body = chat("cheap", max_tokens=50, metadata={"o10_use_case": "open"})
    answers = [say(guarded, "/v1/chat/completions", body) for _ in range(7)]
    assert [heard.status for heard in answers] == [200] * 5 + [503] * 2
    assert {heard.headers["x-o10-reason"] for heard in answers[:5]} == {"FAIL_OPEN"}
    assert len(provider.calls()) == 5
    o10.status = 200
    # It is told once o10 answers again.
    assert say(guarded, "/v1/chat/completions", chat("cheap", max_tokens=50)).status == 200
    records = o10.wait_for("usage", seconds=30)
    assert "FAIL_OPEN" in str(records)
