"""Which rules does the LiteLLM guard follow? Without LiteLLM, without a network."""

import pytest

from o10.client.litellm.attempts import Bill, Next, ProxyCall, bill_of
from o10.client.litellm.metering import (
    METERS,
    Kind,
    asked_output,
    cap_output,
    completions,
    kind_of,
    weigh,
)
from o10.client.litellm.names import Deployment, Names
from o10.client.litellm.payer import KeyFacts, Payers, Refused, described, tags_of
from o10.client.litellm.settling import Left, cost_of, settle_fields, usage_of
from o10.client.provider_usage import usage_in
from o10.wire.decisions import Route
from o10.wire.reasons import Reason

CHAT = METERS["completion"]


def a_call(**changes: object) -> ProxyCall:
    known: dict[str, object] = {
        "id": "c",
        "asked": {"input_tokens": 120},
        "reservation": "token",
        "public_id": "rsv_1",
        "decision_id": "dec_1",
        "said": "allow",
        "reason": "OK_WITHIN_ENVELOPE",
        "name": "openai/a",
        "cap": 50,
        "began": 0.0,
    }
    return ProxyCall(**(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call_type", "kind"),
    [
        ("acompletion", Kind.METERED),
        ("completion", Kind.METERED),
        ("atext_completion", Kind.METERED),
        ("anthropic_messages", Kind.METERED),
        ("aresponses", Kind.METERED),
        ("aembedding", Kind.METERED),
        ("amoderation", Kind.FREE),
        ("acreate_file", Kind.FREE),
        ("aretrieve_batch", Kind.FREE),
        ("avector_store_search", Kind.FREE),
        ("alist_input_items", Kind.FREE),
        ("aimage_generation", Kind.UNBOUNDED),
        ("aspeech", Kind.UNBOUNDED),
        ("acreate_batch", Kind.UNBOUNDED),
        ("_arealtime", Kind.UNBOUNDED),
        ("pass_through_endpoint", Kind.UNBOUNDED),
        ("allm_passthrough_route", Kind.UNBOUNDED),
        ("what_comes_next_year", Kind.UNBOUNDED),
    ],
)
def test_a_type_that_is_not_known_is_unbounded(call_type: str, kind: Kind) -> None:
    assert kind_of(call_type) is kind


def test_every_part_of_a_request_weighs_something() -> None:
    data = {
        "messages": [
            {"role": "system", "content": "abc"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "defg"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "input_audio", "input_audio": {"data": "A" * 3_000}},
                ],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
    }
    weight = weigh(data, CHAT)
    assert weight.messages == 2
    assert weight.images == 1
    assert weight.other_bytes > 3_000
    assert "abc" in weight.text
    assert any("look" in piece for piece in weight.text)
    plain = weight.bound(text_tokens=10, image_tokens=1_000, margin_percent=0)
    assert plain > 10 + 1_000 + 1_000
    assert weight.bound(text_tokens=10, image_tokens=1_000, margin_percent=10) > plain


def test_text_without_a_tokenizer_is_counted_by_its_bytes() -> None:
    weight = weigh({"prompt": "é" * 300}, METERS["text_completion"])
    bound = weight.bound(text_tokens=None, image_tokens=0, margin_percent=0)
    assert bound >= 200


def test_token_ids_are_tokens() -> None:
    assert weigh({"input": [[1, 2, 3], [4]]}, METERS["embedding"]).token_ids == 4


@pytest.mark.parametrize(
    ("sent", "then"),
    [
        ({}, {"max_tokens": 30}),
        ({"max_tokens": 500}, {"max_tokens": 30}),
        ({"max_completion_tokens": 500}, {"max_completion_tokens": 30}),
        ({"max_tokens": "lots"}, {"max_tokens": 30}),
    ],
)
def test_the_cap_goes_where_the_caller_put_its_own(
    sent: dict[str, object], then: dict[str, object]
) -> None:
    data = dict(sent)
    cap_output(data, CHAT, 30)
    assert data == then


def test_the_output_asked_for_is_the_largest_sent() -> None:
    assert asked_output({"max_tokens": 5, "max_completion_tokens": 9}, CHAT) == 9
    assert asked_output({"max_tokens": True}, CHAT) is None
    assert completions({"n": 2, "best_of": 5}) == 5
    assert completions({"n": None}) == 1


def test_whoever_administers_the_proxy_decides_who_pays() -> None:
    payers = Payers(use_cases={"team:a": ["one", "two"], "model:m": "three"}, default="last")
    team = KeyFacts(team_alias="a")
    assert payers.use_case_of(key=team, said={}, model="m") == "one"
    assert payers.use_case_of(key=team, said={"o10_use_case": "two"}, model="m") == "two"
    stolen = payers.use_case_of(key=team, said={"o10_use_case": "other"}, model="m")
    assert isinstance(stolen, Refused)
    assert stolen.reason is Reason.KEY_NOT_SCOPED
    own = KeyFacts(team_alias="a", key_metadata={"o10_use_case": "own"})
    assert payers.use_case_of(key=own, said={}, model="m") == "own"
    free = KeyFacts()
    assert payers.use_case_of(key=free, said={"o10_use_case": "x"}, model="z") == "x"
    assert payers.use_case_of(key=free, said={}, model="m") == "three"
    assert payers.use_case_of(key=free, said={}, model="z") == "last"


def test_metadata_that_does_not_fit_is_left_out() -> None:
    said = {
        "o10_run_id": "run-7",
        "o10_step": "3",
        "o10_zero_retention": "true",
        "o10_region": "x" * 500,
        "o10_prompt_version": "the one of Tuesday",
        "tags": ["feature:triage", "plain", "k" * 99],
    }
    fields = described(said, KeyFacts(end_user="acme"))
    assert fields == {
        "run_id": "run-7",
        "step": 3,
        "zero_retention": True,
        "customer": "acme",
        "tags": {"feature": "triage", "plain": ""},
    }
    assert len(tags_of([f"t{number}" for number in range(40)])) == 16


def test_names_are_found_in_both_directions() -> None:
    deployments = [
        Deployment("dear", "openai/gpt-5.4"),
        Deployment("house", "hosted_vllm/x", "house/model"),
    ]
    names = Names(models={"hosted_vllm/y": "house/other"})
    assert names.of_group("house", deployments[1:]) == "house/model"
    assert names.of_group("nobody", []) == "nobody"
    assert names.of_deployment(Deployment("g", "hosted_vllm/y")) == "house/other"
    route = Route(
        offer="house/model?tier", model="model", venue="house", region=None, price_version=1
    )
    assert names.group_for(route, deployments) == "house"
    gone = Route(offer="a/b", model="b", venue="a", region=None, price_version=1)
    assert names.group_for(gone, deployments) is None


class HTTPStatusError(Exception):
    pass


class ReadTimeout(Exception):
    pass


class ConnectError(Exception):
    pass


class Failed(Exception):
    def __init__(self, status: int) -> None:
        self.status_code = status


def failed(status: int, *causes: Exception) -> Exception:
    top: Exception = Failed(status)
    inner = top
    for cause in causes:
        inner.__cause__ = cause
        inner = cause
    return top


@pytest.mark.parametrize(
    ("error", "bill"),
    [
        (failed(500, HTTPStatusError()), Bill.NOTHING),
        (failed(429), Bill.NOTHING),
        (failed(400), Bill.NOTHING),
        (failed(500, ConnectError()), Bill.NOTHING),
        (failed(408, ConnectError()), Bill.NOTHING),
        (failed(408, ReadTimeout()), Bill.UNKNOWN),
        (failed(504, HTTPStatusError()), Bill.UNKNOWN),
        (failed(499), Bill.UNKNOWN),
        (failed(500, ReadTimeout(), ConnectError()), Bill.UNKNOWN),
        (failed(200), Bill.UNKNOWN),
        (ValueError("a shape nobody expected"), Bill.UNKNOWN),
    ],
)
def test_only_a_failure_that_proves_it_bills_nothing(error: Exception, bill: Bill) -> None:
    assert bill_of(error) is bill


def test_a_retry_of_the_same_model_is_covered_and_another_model_is_not() -> None:
    call = a_call()
    assert call.before("openai/a") is Next.GO
    call.sending("openai/a")
    call.after_failure(Bill.NOTHING)
    assert (call.attempt, call.before("openai/a")) == (2, Next.GO)
    assert call.before("openai/b") is Next.ASK_AGAIN


def test_what_may_be_billed_is_booked_before_the_next_attempt() -> None:
    call = a_call()
    call.sending("openai/a")
    call.after_failure(Bill.UNKNOWN)
    assert call.before("openai/a") is Next.BOOK_THEN_ASK
    call.booked_unknown()
    assert (call.attempt, call.before("openai/a")) == (2, Next.GO)


def test_a_stream_that_breaks_and_goes_on_elsewhere_may_be_billed() -> None:
    call = a_call()
    call.sending("openai/a")
    call.pieces = 3
    assert call.before("openai/a") is Next.BOOK_THEN_ASK


def test_the_end_of_a_failed_call_is_a_release_only_when_nothing_may_be_billed() -> None:
    unsent = a_call()
    assert unsent.end_of_failure(Bill.UNKNOWN) == "release"
    assert unsent.end_of_failure(Bill.UNKNOWN) is None
    refused = a_call()
    refused.sending("openai/a")
    assert refused.end_of_failure(Bill.NOTHING) == "release"
    lost = a_call()
    lost.sending("openai/a")
    assert lost.end_of_failure(Bill.UNKNOWN) == "settle"


def test_a_call_nobody_speaks_of_any_more_is_ended() -> None:
    waits = {"grace_s": 30.0, "unsent_s": 120.0}
    unsent = a_call()
    assert unsent.quiet_end(now=100.0, **waits) is None
    assert unsent.quiet_end(now=120.0, **waits) == "release"
    sent = a_call(sent=True)
    assert sent.quiet_end(now=1_000.0, **waits) is None
    answered = a_call(sent=True, done_at=50.0)
    assert answered.quiet_end(now=79.0, **waits) is None
    assert answered.quiet_end(now=80.0, **waits) == "settle"


USUAL = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": 25, "text_tokens": 15},
}


@pytest.mark.parametrize(
    "told",
    [
        USUAL,
        {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        USUAL | {"prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10}},
        USUAL | {"total_tokens": 165},
        USUAL | {"cache_creation_input_tokens": 30},
    ],
)
def test_the_short_way_reads_what_the_long_way_reads(told: dict[str, object]) -> None:
    log = {"metadata": {"usage_object": told}}
    short = usage_of(call=a_call(), log=log, response=None, left=None)
    long = usage_in(told).counts
    assert short is not None
    assert long is not None
    assert {name: n for name, n in short.items() if n} == {
        name: n for name, n in long.items() if n
    }


def test_zeros_of_an_answered_call_are_not_known() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    log = {"metadata": {"usage_object": zeros}}
    assert usage_of(call=a_call(), log=log, response=None, left=None) is None


class Stream:
    def __init__(self, *chunks: object) -> None:
        self.chunks = list(chunks)


def test_what_the_proxy_counted_itself_is_no_bill_unless_the_client_left() -> None:
    log = {"metadata": {"usage_object": USUAL}}
    counted = a_call(stream=Stream({"usage": None}, {"usage": None}))
    assert usage_of(call=counted, log=log, response=None, left=None) is None
    assert usage_of(call=counted, log=log, response=None, left=Left.AS_HELD) is None
    had_come = usage_of(call=counted, log=log, response=None, left=Left.AS_COUNTED)
    assert had_come is not None
    # What was counted before the call, when that is more.
    assert had_come["input_tokens"] == 120
    told = a_call(stream=Stream({"usage": None}, {"usage": USUAL}))
    assert usage_of(call=told, log=log, response=None, left=None) is not None


def test_hour_writes_are_told_apart() -> None:
    split = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 25}
    details = {"cache_creation_tokens": 30, "cache_creation_token_details": split}
    told = USUAL | {"prompt_tokens_details": details, "cache_creation_input_tokens": 30}
    counts = usage_of(
        call=a_call(), log={"metadata": {"usage_object": told}}, response=None, left=None
    )
    assert counts is not None
    assert (counts["cache_write_tokens"], counts["cache_write_1h_tokens"]) == (5, 25)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (0.001, {"amount": "0.001", "currency": "USD"}),
        (1.5e-07, {"amount": "0.00000015", "currency": "USD"}),
        (0.0, None),
        (None, None),
        (float("nan"), None),
        (-1.0, None),
    ],
)
def test_the_proxys_cost_is_evidence_in_plain_decimals(cost: object, told: object) -> None:
    assert cost_of(cost) == told


def test_a_cut_answer_and_a_cached_one_are_told_as_such() -> None:
    kwargs = {"standard_logging_object": {"metadata": {"usage_object": USUAL}}}
    cut = {"choices": [{"finish_reason": "length"}]}
    call = a_call()
    fields = settle_fields(call=call, kwargs=kwargs, response=cut, began=None, ended=None)
    assert fields["status"] == "length"
    cached = {"standard_logging_object": {"cache_hit": True}}
    fields = settle_fields(call=call, kwargs=cached, response=None, began=None, ended=None)
    assert fields["cache"] == "edge"
    assert "usage" not in fields
