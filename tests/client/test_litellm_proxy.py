"""Does a real LiteLLM proxy with two workers and no shared store spend only what o10 allows?"""

from collections.abc import Iterator

import pytest

from o10.kernel import ids
from o10.management.benches.proxy import Proxy, Setup, Upstream, entry, proxy, upstream
from tests.client.litellm_world import (
    DEARER,
    DEARER_INPUT,
    DEARER_OUTPUT,
    DOLLAR,
    INPUT,
    O10_MODEL,
    OUTPUT,
    Company,
    billed,
    chat,
    many,
    say,
    the_installed_litellm,
)
from tests.spine.conftest import clean_up, make_running

LITELLM = the_installed_litellm()
KEYS = """
name = api_key.removeprefix("sk-")
if name.startswith("for-"):
    return {"metadata": {"o10_use_case": name.removeprefix("for-")}, "key_alias": name}
if name.startswith("team-"):
    return {"team_alias": name.removeprefix("team-"), "key_alias": name}
return {"key_alias": name}
"""
GUARD = """
    base_url="http://127.0.0.1:{port}",
    key="{key}",
    use_cases={{"team:support": ["lt-support", "lt-support-two"]}},
    input_margin_percent=0,
    patience=Patience(total_s=20.0, connect_s=5.0),
    state_dir="{state}",
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with upstream() as running:
        running.behave(**{"*": {"prompt_tokens": 100, "completion_tokens": 40}})
        yield running


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    running = make_running()
    try:
        running.start()
        yield Company(running)
    finally:
        clean_up(running)


@pytest.fixture(scope="module")
def guarded(company: Company, provider: Upstream) -> Iterator[Proxy]:
    """The proxy with the guard: two workers, every manner of provider as a model group."""
    same = {"model_info": {"o10_model": O10_MODEL}}
    groups = ("deaf", "silent", "drops", "fails", "flaky", "hangs", "slow", "gone")
    models = [
        entry("mini", O10_MODEL, port=provider.port),
        entry("dearer", DEARER, port=provider.port),
        *(entry(name, f"openai/{name}", port=provider.port, **same) for name in groups),
        entry("falls-to-mini", "openai/fails", port=provider.port, **same),
        entry("falls-to-dearer", "openai/fails", port=provider.port, **same),
        entry("unpriced", "openai/nobody-knows-it", port=provider.port),
        entry("embed", "openai/text-embedding-3-small", port=provider.port),
    ]
    guard = GUARD.format(
        port=company.o10.policy_port, key=company.o10.key, state=company.o10.home / "guard"
    )
    setup = Setup(
        models=models,
        workers=2,
        guard=guard,
        keys=KEYS,
        router={
            "num_retries": 1,
            "retry_after": 0,
            "fallbacks": [{"falls-to-mini": ["mini"]}, {"falls-to-dearer": ["dearer"]}],
        },
        litellm={"request_timeout": 4},
    )
    with proxy(LITELLM, setup) as running:
        yield running


def test_a_call_is_held_capped_and_settled_with_the_providers_usage(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-plain")
    provider.forget()
    heard = say(guarded, "/v1/chat/completions", chat(max_tokens=50), key=f"sk-for-{slug}")
    assert heard.status == 200, heard.body
    assert heard.headers["x-o10-decision"] in {"allow", "allow_with_caps"}
    assert heard.headers["x-o10-model-served"] == O10_MODEL
    now = company.wait_settled(slug)
    asked = provider.calls()
    assert [call["max_tokens"] for call in asked] == [50]
    assert now["settled"] == billed(asked) == 100 * INPUT + 40 * OUTPUT
    assert now["unguarded"] == now["unsettled"] == 0


def test_a_call_without_a_limit_gets_one(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-uncapped")
    provider.forget()
    heard = say(guarded, "/v1/chat/completions", chat(), key=f"sk-for-{slug}")
    assert heard.status == 200, heard.body
    (call,) = provider.calls()
    assert 0 < call["max_tokens"] <= 16_384
    assert heard.headers["x-o10-decision"] == "allow_with_caps"
    assert company.wait_settled(slug)["settled"] == billed([call])


def test_no_money_is_402_with_the_body_of_the_contract_and_nothing_is_sent(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    day = {"period": {"kind": "day", "time_zone": "UTC"}}
    slug = company.use_case("lt-poor", "0.0001", **day)
    provider.forget()
    heard = say(guarded, "/v1/chat/completions", chat(max_tokens=400), key=f"sk-for-{slug}")
    assert heard.status == 402
    error = heard.told["error"]
    assert error["code"] == 402
    assert "ENVELOPE_HARD_LIMIT" in error["message"]
    told = heard.metadata
    assert told["reason"] == "ENVELOPE_HARD_LIMIT"
    assert told["limit_source"]["id"].startswith("env_")
    assert told["limit_source"]["cap"] == "0.0001"
    assert told["remedy_hint"]
    assert told["decision_id"].startswith("dec_")
    assert told["retryable"] is True
    assert 0 < int(heard.headers["retry-after"]) <= 86_400
    assert heard.headers["x-o10-decision"] == "deny"
    assert "invoices" not in heard.body.decode()
    assert provider.calls() == []
    assert company.balance(slug)["held"] == 0


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/chat/completions", {"stream": True}),
        ("/v1/messages", {}),
        ("/v1/completions", {"prompt": "one " * 200}),
        ("/v1/responses", {"input": "one " * 200}),
    ],
)
def test_every_text_route_is_refused_without_money(
    guarded: Proxy, company: Company, provider: Upstream, path: str, more: dict[str, object]
) -> None:
    slug = "lt-poor"
    provider.forget()
    heard = say(guarded, path, chat(max_tokens=400) | more, key=f"sk-for-{slug}")
    assert heard.status == 402, heard.body
    assert "ENVELOPE_HARD_LIMIT" in heard.body.decode()
    assert "retry-after" in heard.headers
    assert provider.calls() == []


def test_a_model_without_a_price_is_refused(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-unpriced")
    provider.forget()
    heard = say(guarded, "/v1/chat/completions", chat("unpriced"), key=f"sk-for-{slug}")
    assert heard.status == 402
    assert heard.metadata["reason"] == "PRICE_UNKNOWN"
    assert provider.calls() == []


def test_one_id_of_the_client_for_two_calls_is_two_holds(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-same-id")
    provider.forget()
    for _ in range(3):
        heard = say(
            guarded,
            "/v1/chat/completions",
            chat(max_tokens=50),
            key=f"sk-for-{slug}",
            headers={"x-litellm-call-id": "always-the-same"},
        )
        assert heard.status == 200
    now = company.wait_settled(slug)
    assert len(company.reservations(slug)) == len(provider.calls()) == 3
    assert now["settled"] == billed(provider.calls())


def test_a_retry_is_an_attempt_of_the_same_reservation_and_its_failure_books_nothing(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-flaky")
    provider.behave(flaky={"mode": "flaky", "prompt_tokens": 100, "completion_tokens": 40})
    provider.forget()
    heard = say(
        guarded, "/v1/chat/completions", chat("flaky", max_tokens=50), key=f"sk-for-{slug}"
    )
    assert heard.status == 200, heard.body
    now = company.wait_settled(slug)
    assert [call["status"] for call in provider.calls()] == [500, 200]
    assert [each["state"] for each in company.reservations(slug)] == ["settled"]
    assert now["settled"] == billed(provider.calls())


def test_a_fallback_to_a_dearer_model_is_held_and_priced_as_such(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-dearer")
    provider.behave(fails={"mode": "fails"})
    provider.forget()
    body = chat("falls-to-dearer", max_tokens=50)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 200, heard.body
    assert heard.headers["x-o10-model-served"] == DEARER
    now = company.wait_settled(slug)
    (hold,) = company.reservations(slug)
    assert hold["amount"] >= 50 * DEARER_OUTPUT + 100 * DEARER_INPUT
    assert now["settled"] == 100 * DEARER_INPUT + 40 * DEARER_OUTPUT
    assert now["unguarded"] == 0


def test_a_fallback_that_does_not_fit_is_refused_with_its_reason(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-no-dearer", "0.0006")
    provider.behave(fails={"mode": "fails"})
    provider.forget()
    body = chat("falls-to-dearer", max_tokens=50)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 402, heard.body
    assert heard.metadata["reason"] == "ENVELOPE_HARD_LIMIT"
    assert {call["model"] for call in provider.calls()} == {"fails"}
    assert company.wait_settled(slug)["settled"] == 0


def test_a_fallback_at_the_same_price_needs_no_second_question(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-same-price")
    provider.forget()
    body = chat("falls-to-mini", max_tokens=50)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 200, heard.body
    now = company.wait_settled(slug)
    assert len(company.reservations(slug)) == 1
    assert now["settled"] == 100 * INPUT + 40 * OUTPUT


def test_a_call_that_failed_for_good_gives_everything_back(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-fails")
    heard = say(guarded, "/v1/chat/completions", chat("fails"), key=f"sk-for-{slug}")
    assert heard.status == 500
    assert company.wait_settled(slug)["settled"] == 0
    assert [each["state"] for each in company.reservations(slug)] == ["released"]


def test_a_timeout_may_be_billed_and_is_booked_before_the_retry_may_spend(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-hangs")
    provider.behave(hangs={"mode": "hangs", "prompt_tokens": 100})
    provider.forget()
    body = chat("hangs", max_tokens=50)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 408, heard.body
    now = company.wait_settled(slug)
    assert len(provider.calls()) == 2
    assert now["settled"] >= 2 * 50 * OUTPUT >= billed(provider.calls()) - 200 * INPUT
    assert now["unguarded"] == 0
    (hold,) = company.reservations(slug)
    assert hold["attempts"] == 2


def test_after_a_timeout_the_retry_is_refused_when_only_one_worst_case_fits(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-hangs-once", "0.0004")
    provider.forget()
    body = chat("hangs", max_tokens=50)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 402, heard.body
    assert len(provider.calls()) == 1
    now = company.wait_settled(slug)
    assert 50 * OUTPUT <= now["settled"] <= DOLLAR * 4 // 10_000


def test_a_stream_is_settled_at_its_end_with_the_providers_usage(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-stream")
    provider.forget()
    body = chat(max_tokens=30, stream=True)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 200
    assert heard.body.rstrip().endswith(b"[DONE]")
    now = company.wait_settled(slug)
    assert now["settled"] == billed(provider.calls()) == 100 * INPUT + 30 * OUTPUT


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_tells_no_usage_is_booked_at_the_worst_case(
    guarded: Proxy, company: Company, provider: Upstream, stream: bool
) -> None:
    slug = company.use_case(f"lt-silent-{stream}".lower())
    manner = {"mode": "silent", "prompt_tokens": 100, "completion_tokens": 40}
    provider.behave(silent=manner)
    provider.forget()
    body = chat("silent", max_tokens=50, stream=stream)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 200, heard.body
    now = company.wait_settled(slug)
    (hold,) = company.reservations(slug)
    assert now["settled"] == hold["amount"] >= billed(provider.calls())


def test_a_stream_the_provider_drops_is_booked_at_the_worst_case(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-drops")
    provider.behave(drops={"mode": "drops", "prompt_tokens": 100, "completion_tokens": 40})
    provider.forget()
    body = chat("drops", max_tokens=50, stream=True)
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 200
    now = company.wait_settled(slug)
    assert now["settled"] >= billed(provider.calls()) > 0
    assert now["unguarded"] == 0


def test_a_stream_the_client_leaves_is_settled_with_what_had_come(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-gone")
    provider.behave(gone={"prompt_tokens": 100, "completion_tokens": 200, "chunk_ms": 40})
    provider.forget()
    body = chat("gone", max_tokens=400, stream=True)
    say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}", leave_after=2_000)
    now = company.wait_settled(slug)
    (call,) = provider.calls()
    assert call["outcome"] == "client gone"
    (hold,) = company.reservations(slug)
    assert 0 < now["settled"] < hold["amount"]
    # One piece may be on its way when the client leaves.
    assert now["settled"] >= billed([call]) - 2 * OUTPUT


def test_a_client_that_leaves_before_the_first_piece_leaves_nothing_held(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-gone-early")
    provider.behave(
        slow={
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "delay_ms": 1_500,
            "chunk_ms": 100,
        }
    )
    provider.forget()
    body = chat("slow", max_tokens=50, stream=True)
    with pytest.raises(TimeoutError):
        say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}", timeout_s=0.7)
    now = company.wait_settled(slug, seconds=60)
    assert now["settled"] >= billed(provider.calls()) - 2 * OUTPUT > 0


def test_a_client_that_does_not_wait_for_an_answer_is_settled_all_the_same(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-impatient")
    provider.forget()
    with pytest.raises(TimeoutError):
        body = chat("slow", max_tokens=50)
        say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}", timeout_s=0.5)
    now = company.wait_settled(slug, seconds=60)
    assert now["settled"] >= billed(provider.calls()) > 0


@pytest.mark.parametrize(
    ("path", "more", "output"),
    [
        ("/v1/completions", {"prompt": "one " * 200, "max_tokens": 30}, 30),
        ("/v1/completions", {"prompt": "one " * 200, "max_tokens": 30, "n": 3}, 90),
        ("/v1/responses", {"input": "one " * 200, "max_output_tokens": 30}, 30),
        ("/v1/messages", chat(max_tokens=30), 30),
    ],
)
def test_other_text_routes_are_capped_and_settled(
    guarded: Proxy,
    company: Company,
    provider: Upstream,
    path: str,
    more: dict[str, object],
    output: int,
) -> None:
    name = path.rsplit("/", 1)[1]
    slug = company.use_case(f"lt-{name}-{output}")
    provider.forget()
    heard = say(guarded, path, {"model": "mini"} | more, key=f"sk-for-{slug}")
    assert heard.status == 200, heard.body
    now = company.wait_settled(slug)
    assert now["settled"] == billed(provider.calls()) == 100 * INPUT + output * OUTPUT


def test_embeddings_are_held_for_their_input_alone(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-embed")
    provider.forget()
    body = {"model": "embed", "input": ["one " * 200, "two " * 100]}
    heard = say(guarded, "/v1/embeddings", body, key=f"sk-for-{slug}")
    assert heard.status == 200, heard.body
    now = company.wait_settled(slug)
    assert now["settled"] == 100 * 20
    assert now["unguarded"] == 0


def test_what_cannot_be_bounded_is_refused_and_what_costs_nothing_passes(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-unbounded")
    provider.forget()
    body = {"model": "mini", "prompt": "a cat"}
    heard = say(guarded, "/v1/images/generations", body, key=f"sk-for-{slug}")
    assert heard.status == 402, heard.body
    assert "ESTIMATE_MISSING" in heard.told["error"]["message"]
    several = chat("mini,dearer", max_tokens=5)
    heard = say(guarded, "/v1/chat/completions", several, key=f"sk-for-{slug}")
    assert heard.status == 402, heard.body
    assert provider.calls() == []


def test_the_team_decides_who_pays_and_a_request_chooses_among_what_it_was_given(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    first, second = company.use_case("lt-support"), company.use_case("lt-support-two")
    key = "sk-team-support"
    assert say(guarded, "/v1/chat/completions", chat(max_tokens=5), key=key).status == 200
    chosen = chat(max_tokens=5, metadata={"o10_use_case": second, "tags": ["feature:triage"]})
    assert say(guarded, "/v1/chat/completions", chosen, key=key).status == 200
    stolen = chat(max_tokens=5, metadata={"o10_use_case": "lt-plain"})
    heard = say(guarded, "/v1/chat/completions", stolen, key=key)
    assert heard.status == 402
    assert heard.metadata["reason"] == "KEY_NOT_SCOPED"
    assert company.wait_settled(first)["settled"] == company.wait_settled(second)["settled"] > 0
    nobody = say(guarded, "/v1/chat/completions", chat(max_tokens=5), key="sk-nobody")
    assert nobody.status == 402
    assert nobody.metadata["reason"] == "USE_CASE_UNKNOWN"


def test_a_thousand_calls_at_once_never_pass_the_cap_and_leave_nothing_held(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-thousand", "0.10")
    provider.forget()
    bodies = [chat(max_tokens=40) for _ in range(1_000)]
    heard = many(guarded, bodies, key=f"sk-for-{slug}", concurrency=100)
    statuses = [each.status for each in heard]
    assert set(statuses) == {200, 402}, {each: statuses.count(each) for each in set(statuses)}
    now = company.wait_settled(slug, seconds=60)
    bill, cap = billed(provider.calls()), DOLLAR // 10
    assert statuses.count(200) == len(provider.calls())
    assert now["settled"] == bill <= cap
    assert now["held"] == now["unsettled"] == now["unguarded"] == 0
    states = [each["state"] for each in company.reservations(slug)]
    assert states.count("settled") == statuses.count(200)
    assert set(states) == {"settled"}
    # Not refused while there is money: at most one more call would have fitted.
    worst = max(each["amount"] for each in company.reservations(slug))
    assert cap - bill < worst


def test_a_provider_that_ignores_the_limit_is_booked_in_full_and_stops_the_next_call(
    guarded: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("lt-deaf", "0.0006")
    manner = {"mode": "deaf", "prompt_tokens": 100, "completion_tokens": 400}
    provider.behave(deaf=manner)
    provider.forget()
    body = chat("deaf", max_tokens=50)
    assert say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}").status == 200
    now = company.wait_settled(slug)
    assert now["settled"] == billed(provider.calls()) == 100 * INPUT + 400 * OUTPUT
    assert now["unguarded"] > 0
    heard = say(guarded, "/v1/chat/completions", body, key=f"sk-for-{slug}")
    assert heard.status == 402
    assert len(provider.calls()) == 1


@pytest.fixture(scope="module")
def leased(company: Company, provider: Upstream) -> Iterator[Proxy]:
    """The proxy whose two workers decide from leases of their own."""
    guard = GUARD.format(
        port=company.o10.policy_port, key=company.o10.key, state=company.o10.home / "leased"
    )
    models = [
        entry("mini", O10_MODEL, port=provider.port),
        entry("fails", "openai/fails", port=provider.port, model_info={"o10_model": O10_MODEL}),
    ]
    guard += "    leases=Leases.LOCAL,\n"
    setup = Setup(models=models, workers=2, guard=guard, keys=KEYS)
    with proxy(LITELLM, setup) as running:
        yield running


def decided_here(company: Company, slug: str) -> int:
    """How many of its reservations are in journals of routers, not of the plane's workers?"""
    ((count,),) = company.rows(
        """
        SELECT count(*) FROM reservation r JOIN policies_use_case u ON u.id = r.use_case
        JOIN lease l ON l.id = r.lease JOIN lease_holder h ON h.fence = l.fence
        WHERE u.slug = %s AND h.kind = 'router'
        """,
        slug,
    )
    return int(count)


def test_three_hundred_calls_from_leases_never_pass_the_cap_and_leave_nothing_held(
    leased: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("ll-many", "0.06")
    provider.forget()
    bodies = [chat(max_tokens=40) for _ in range(300)]
    heard = many(leased, bodies, key=f"sk-for-{slug}", concurrency=24)
    statuses = [each.status for each in heard]
    assert set(statuses) == {200, 402}, {each: statuses.count(each) for each in set(statuses)}
    now = company.wait_settled(slug, seconds=60)
    bill, cap = billed(provider.calls()), 6 * DOLLAR // 100
    assert statuses.count(200) == len(provider.calls()) >= 200
    assert now["settled"] == bill <= cap
    assert now["held"] == now["unsettled"] == now["unguarded"] == 0
    states = {each["state"] for each in company.reservations(slug)}
    assert states == {"settled"}
    assert len(company.reservations(slug)) == statuses.count(200)
    assert decided_here(company, slug) > statuses.count(200) // 2


def test_what_is_told_to_the_client_is_what_was_booked(
    leased: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("ll-told")
    provider.forget()
    bodies = [chat(max_tokens=50) for _ in range(12)]
    heard = many(leased, bodies, key=f"sk-for-{slug}", concurrency=2)
    assert [each.status for each in heard] == [200] * 12
    company.wait_settled(slug)
    assert decided_here(company, slug) > 0
    told = {each.headers["x-o10-reservation"] for each in heard}
    assert len(told) == 12
    assert {each.headers["x-o10-decision"] for each in heard} == {"allow"}
    (reason,) = {each.headers["x-o10-reason"] for each in heard}
    assert reason in {"OK_WITHIN_ENVELOPE", "ENVELOPE_SOFT_LIMIT"}
    booked = company.rows(
        "SELECT r.id FROM reservation r JOIN policies_use_case u ON u.id = r.use_case"
        " WHERE u.slug = %s",
        slug,
    )
    assert told == {ids.id_of("rsv", row[0]) for row in booked}


def test_a_call_that_fails_gives_its_part_of_the_lease_back(
    leased: Proxy, company: Company, provider: Upstream
) -> None:
    slug = company.use_case("ll-fails")
    provider.behave(fails={"mode": "fails"})
    for _ in range(3):
        body = chat("fails", max_tokens=50)
        heard = say(leased, "/v1/chat/completions", body, key=f"sk-for-{slug}")
        assert heard.status == 500
    assert company.wait_settled(slug)["settled"] == 0
    assert {each["state"] for each in company.reservations(slug)} == {"released"}
