"""Do scripts make thousands of envelopes with one request, and hear of every bad row?"""

import pytest

from o10.access.roles import Role

from .conftest import agreed
from .test_governance import created, envelope, finops, problem  # noqa: F401 - a fixture


def row(parent, slug, **changes):
    scope = {"kind": "customer", "slug": slug}
    return envelope("unused", scope=scope, parent=parent, amount="0.01") | changes


def send(script, rows, **fields):
    return script.post("envelopes:batch", {"envelopes": rows, **fields})


@pytest.fixture
def parent(finops):  # noqa: F811 - the fixture imported above
    return created(finops)[1]["id"]


def test_envelopes_are_made_together_and_read_one_by_one(finops, parent):  # noqa: F811
    made = agreed(send(finops, [row(parent, f"user-{number}") for number in range(3)]))
    assert made["envelopes"] == "3"
    listed = finops.get("envelopes", {"limit": 200}).json()["items"]
    found = [item for item in listed if item["parent"] == parent]
    assert [item["scope"]["slug"] for item in found] == ["user-0", "user-1", "user-2"]
    for item in found:
        read = finops.get(f"envelopes/{item['id']}").json()
        assert (read["parent"], read["cap"], read["settled"]) == (parent, "0.01", "0.00")


def test_a_repeat_under_the_same_request_id_is_the_first_answer(finops, parent):  # noqa: F811
    rows = [row(parent, "acme")]
    first = send(finops, rows, request_id=f"nightly-{parent}")
    again = send(finops, rows, request_id=f"nightly-{parent}")
    assert again.json() == first.json()
    other = send(finops, [row(parent, "blue")], request_id=f"nightly-{parent}")
    assert problem(other)["code"] == "idempotency_mismatch"


def test_every_bad_row_is_named_and_none_is_made(finops, parent):  # noqa: F811
    rows = [
        row(parent, "fine"),
        row(parent, "fine"),
        row(parent, "dear", amount="5.00"),
        row("env_nowhere", "lost"),
    ]
    answer = send(finops, rows)
    assert answer.status_code == 422
    told = problem(answer)
    assert told["code"] == "validation_failed"
    assert [each["field"] for each in told["errors"]] == [
        "/envelopes/1/scope/slug",
        "/envelopes/2/amount",
        "/envelopes/3/parent",
    ]
    assert send(finops, rows[:1]).status_code == 202


def test_bad_values_are_named_with_their_rows(finops, parent):  # noqa: F811
    period = {"kind": "month", "start": "2026-13-01"}
    rows = [row(parent, "a", period=period), row(parent, "b"), row(parent, "c", currency="EUR")]
    told = problem(send(finops, rows))
    assert [each["field"] for each in told["errors"]] == [
        "/envelopes/0/period/start",
        "/envelopes/2/currency",
    ]


@pytest.mark.parametrize("rows", [[], "none", [{"scope": {}}], [3]])
def test_a_body_of_another_shape_is_refused(finops, rows):  # noqa: F811
    assert send(finops, rows).status_code == 422


def test_more_than_a_batch_holds_is_refused_before_it_is_read(finops, parent):  # noqa: F811
    assert send(finops, [row(parent, "a")] * 10_001).status_code == 422
    heavy = send(finops, [row(parent, "a", name="n" * 120)] * 40_000)
    assert heavy.status_code == 413


def test_a_router_key_makes_no_envelopes(script, parent):
    answer = send(script(Role.ROUTER), [row(parent, "acme")])
    assert (answer.status_code, problem(answer)["code"]) == (403, "forbidden")
