"""Is bad input answered with a problem of a stable code, and is nothing written?"""

import base64
import io

import pytest

from o10.access import keys
from o10.access.body import MOST_DISCARDED
from tests.company import MODEL, count_rows

from .conftest import Way

GOOD = {"use_case": "support-assistant", "model": MODEL, "input_tokens": 10}
SETTLE = {"reservation": "rsv_01h455vb4pex5vsknk084sn02q"}
VERBS = ("authorize", "authorize:dry-run", "settle", "release", "extend")
BODY = {
    "authorize": GOOD,
    "authorize:dry-run": GOOD,
    "settle": SETTLE,
    "release": SETTLE,
    "extend": SETTLE,
}


@pytest.fixture
def refused(router, database_urls):
    """Sends, and checks that the answer is a problem and that no row was added or lost."""

    def send(verb, body, *, way=router, method="POST", **changes):
        before = count_rows(database_urls)
        answer = way.send(method, verb, body, **changes)
        assert count_rows(database_urls) == before
        assert answer.headers["Content-Type"] == "application/problem+json", answer.body
        assert answer.told["status"] == answer.status
        assert answer.told["instance"] == f"/api/v1/{verb}"
        assert b"Traceback" not in answer.body
        return answer

    return send


def code_of(answer):
    return answer.status, answer.told["code"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="open"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"12", id="number"),
        pytest.param(b"\xff\xfe", id="no-utf8"),
        pytest.param(b"{}x", id="tail"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"use_case": 1e999}', id="beyond-a-double"),
    ],
)
def test_a_body_that_is_no_object_is_malformed(refused, verb, body):
    if len(body) > 60_000 and not verb.startswith("authorize"):
        body = body[:60_000]
    assert code_of(refused(verb, body)) == (400, "malformed_body")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ],
)
def test_only_json_is_read(refused, verb, content_type):
    answer = refused(verb, BODY[verb], content_type=content_type)
    assert code_of(answer) == (415, "unsupported_media_type")


def test_a_charset_beside_the_media_type_is_fine(router):
    answer = router.post(
        "authorize:dry-run", GOOD, content_type="application/json; charset=utf-8"
    )
    assert answer.status == 200


class CountingStream(io.RawIOBase):
    """A body that notes how much of it was read, and in which pieces."""

    def __init__(self, size):
        self.left, self.read_bytes, self.largest = size, 0, 0

    def read(self, size=-1):
        given = b"x" * min(self.left, size if size >= 0 else self.left)
        self.left -= len(given)
        self.read_bytes += len(given)
        self.largest = max(self.largest, len(given))
        return given


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("size", [10 * 2**20, 400 * 2**20])
def test_a_body_above_the_limit_is_too_large_and_is_not_kept(refused, verb, size):
    stream = CountingStream(size)
    answer = refused(verb, b"", stream=stream, length=str(size))
    assert code_of(answer) == (413, "too_large")
    assert stream.read_bytes == min(size, MOST_DISCARDED)
    assert stream.largest <= 64 * 1024


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "\u0663"])
def test_a_length_that_is_no_number_is_malformed(refused, length):
    assert code_of(refused("authorize", GOOD, length=length))[0] == 400


def test_a_body_that_ends_early_is_malformed(refused):
    answer = refused("authorize", b"{", length="200")
    assert code_of(answer) == (400, "malformed_body")


@pytest.mark.parametrize("verb", VERBS)
def test_other_methods_are_not_answered(refused, verb):
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = refused(verb, BODY[verb], method=method)
        assert code_of(answer) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("verb", VERBS)
def test_strangers_get_401_and_are_told_how(refused, app, verb):
    for secret in (None, "o10_short", "o10_" + "0" * 43):
        answer = refused(verb, BODY[verb], way=Way(app, secret))
        assert code_of(answer) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_basic_password_is_no_key(refused, app):
    basic = base64.b64encode(b"admin:admin").decode()
    answer = refused("authorize", GOOD, way=Way(app, None), authorization=f"Basic {basic}")
    assert code_of(answer) == (401, "unauthorized")


FIELDS = [
    ({"use_case": None}, "/use_case"),
    ({"use_case": 7}, "/use_case"),
    ({"use_case": ""}, "/use_case"),
    ({"use_case": "x" * 129}, "/use_case"),
    ({"use_case": "a\x00b"}, "/use_case"),
    ({"use_case": "a\nb"}, "/use_case"),
    ({"input_tokens": -1}, "/input_tokens"),
    ({"input_tokens": "10"}, "/input_tokens"),
    ({"input_tokens": 1.5}, "/input_tokens"),
    ({"input_tokens": True}, "/input_tokens"),
    ({"input_tokens": [10]}, "/input_tokens"),
    ({"input_tokens": 10**9 + 1}, "/input_tokens"),
    ({"input_tokens": 10**30}, "/input_tokens"),
    ({"max_output_tokens": -5}, "/max_output_tokens"),
    ({"cached_input_tokens": -1}, "/cached_input_tokens"),
    ({"n": 0}, "/n"),
    ({"n": 1000}, "/n"),
    ({"mode": "turbo"}, "/mode"),
    ({"service_class": "platinum"}, "/service_class"),
    ({"tags": {"a": 1}}, "/tags"),
    ({"tags": {str(i): "x" for i in range(17)}}, "/tags"),
    ({"tags": []}, "/tags"),
    ({"ttl_s": 0}, "/ttl_s"),
    ({"ttl_s": 86_401}, "/ttl_s"),
    ({"attempt": 0}, "/attempt"),
    ({"max_output_token": 5}, "/max_output_token"),
    ({"request_id": "x" * 200}, "/request_id"),
]


@pytest.mark.parametrize("verb", ["authorize", "authorize:dry-run"])
@pytest.mark.parametrize(("change", "pointer"), FIELDS)
def test_a_wrong_field_is_named(refused, verb, change, pointer):
    answer = refused(verb, GOOD | change)
    assert code_of(answer) == (422, "validation_failed")
    assert [error["field"] for error in answer.told["errors"]][0].startswith(pointer)


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_are_none_are_named(refused, literal):
    body = b'{"use_case": "support-assistant", "input_tokens": ' + literal + b"}"
    answer = refused("authorize", body)
    assert code_of(answer) == (422, "validation_failed")
    assert answer.told["errors"][0]["field"] == "/input_tokens"


def test_all_mistakes_are_told_at_once(refused):
    answer = refused("authorize", {"input_tokens": -1, "n": 0, "surprise": 1})
    told = {(error["field"], error["code"]) for error in answer.told["errors"]}
    assert told == {
        ("/use_case", "required"),
        ("/input_tokens", "out_of_range"),
        ("/n", "out_of_range"),
        ("/surprise", "unknown_field"),
    }


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"reservation": 5}, "/reservation"),
        ({"usage": {"input_tokens": -1, "output_tokens": 0}}, "/usage/input_tokens"),
        ({"usage": {"input_tokens": 1}}, "/usage/output_tokens"),
        ({"usage": {"input_tokens": 1, "output_tokens": 10**12}}, "/usage/output_tokens"),
        ({"usage": {"input_tokens": 1, "output_tokens": 1, "tokens": 1}}, "/usage/tokens"),
        ({"usage": [1]}, "/usage"),
        ({"status": "fine"}, "/status"),
        ({"latency_ms": -1}, "/latency_ms"),
        ({"final": "yes"}, "/final"),
        ({"provider_cost": {"amount": 1.5, "currency": "USD"}}, "/provider_cost/amount"),
        ({"provider_cost": {"amount": "1e3", "currency": "USD"}}, "/provider_cost/amount"),
        ({"provider_cost": {"amount": "1", "currency": "usd"}}, "/provider_cost/currency"),
    ],
)
def test_a_wrong_settle_names_its_field(refused, change, pointer):
    answer = refused("settle", SETTLE | change)
    assert code_of(answer) == (422, "validation_failed")
    assert answer.told["errors"][0]["field"] == pointer


@pytest.mark.parametrize("verb", ["settle", "release", "extend"])
def test_an_unknown_reservation_is_not_found(refused, verb):
    body = SETTLE | ({"ttl_s": 60} if verb == "extend" else {})
    assert code_of(refused(verb, body)) == (404, "reservation_unknown")


@pytest.mark.parametrize("verb", ["settle", "release", "extend"])
def test_a_forged_token_is_refused(refused, verb):
    forged = (
        "AQAHAaH4SQAAcACAAAAAAAAACgAAAAAAAAE2AAAAAABGCbAAAAAMAAABofhTvYAAAAMg"
        "Yx68K1GJxGwK0iTKIFlgnQ"
    )
    answer = refused(
        verb, {"reservation": forged} | ({"ttl_s": 60} if verb == "extend" else {})
    )
    assert code_of(answer) == (401, "token_invalid")


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "a\tb", "\u00e4"])
def test_an_odd_idempotency_key_is_named(refused, name):
    answer = refused("authorize", GOOD, idempotency_key=name)
    assert code_of(answer) == (422, "validation_failed")


def test_header_and_body_must_not_name_two_keys(refused):
    answer = refused("authorize", GOOD | {"request_id": "a"}, idempotency_key="b")
    assert code_of(answer) == (422, "validation_failed")
    assert answer.told["errors"][0]["code"] == "differs"


def test_an_unknown_verb_is_no_page(router):
    answer = router.post("authorise", GOOD)
    assert code_of(answer) == (404, "not_found")


def test_the_same_problem_in_the_same_words_through_both_doors(company, secret):
    from .conftest import make_app

    hot = Way(make_app(hot=True), secret())
    cold = Way(make_app(hot=False), hot.secret)
    for verb in VERBS:
        for body in (b"{", b"{}", b'{"a": 1}'):
            keys.forget()
            one, other = hot.post(verb, body), cold.post(verb, body)
            assert (one.status, one.body) == (other.status, other.body)
