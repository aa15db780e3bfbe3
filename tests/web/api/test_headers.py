"""Does every answer carry the headers that keep browsers on our side?"""

import pytest
from django.test import Client

from o10.middleware import CONTENT_POLICY

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path", ["/sign-in/", "/healthz", "/api/v1/ledger/entries", "/nothing"]
)
def test_content_policy_knows_no_other_origin(client, path):
    answer = client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy == CONTENT_POLICY
    for word in ("http:", "https:", "*", "unsafe-inline", "unsafe-eval", "blob:"):
        assert word not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_the_api_is_never_kept_by_a_cache(client):
    assert client.get("/api/v1/ledger/entries").headers["Cache-Control"] == "no-store"


def test_a_plain_request_id_comes_back_and_an_odd_one_is_replaced(client):
    assert (
        client.get("/healthz", HTTP_X_REQUEST_ID="run-7.1").headers["X-Request-ID"] == "run-7.1"
    )
    replaced = client.get("/healthz", HTTP_X_REQUEST_ID="a\nb" + "x" * 99).headers[
        "X-Request-ID"
    ]
    assert len(replaced) == 32


def test_pages_and_programs_get_their_own_form_of_a_problem(client):
    page = client.get("/nothing-here")
    assert page.status_code == 404
    assert page.headers["Content-Type"].startswith("text/html")
    answer = client.get("/api/v1/nothing-here")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


def test_a_foreign_host_name_is_refused_as_a_problem(client):
    answer = client.get("/api/v1/ledger/entries", HTTP_HOST="evil.example")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_session_without_csrf_token_writes_nothing(clock):
    from o10.access import operations
    from o10.access.roles import Role

    person = operations.create_person(
        email="f@example.com",
        display_name="F",
        role=Role.FINOPS,
        password=None,
        actor=operations.COMMAND_LINE,
        now=clock.at,
    )
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    for path in ("/api/v1/usage", "/api/v1/authorize:dry-run"):
        answer = strict.post(path, b"{}", content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
