"""What happens at the edges: the database away, secrets near a log, Django in the way?"""

import io
import logging
import time
import uuid

import grimp
import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection

from o10.access.roles import Role
from policies import facade
from policies.plane.app import PlaneApp
from tests.company import MODEL

from .conftest import Way, make_app, unreachable

GOOD = {"use_case": "support-assistant", "model": MODEL, "input_tokens": 10}
VERBS = ("authorize", "authorize:dry-run", "settle", "release", "extend")


def test_a_verb_with_a_key_never_reaches_django(settings, company, secret):
    from o10.problems import render_problem

    settings.O10_HOT_PATH = True
    hot = Way(PlaneApp(unreachable, render_problem), secret())
    for verb in VERBS:
        assert hot.post(verb, {}).status == 422
    assert hot.post("authorize:dry-run", GOOD).status == 200


def test_everything_else_reaches_django(settings, company, secret):
    from o10.problems import render_problem

    reached = []

    def django_app(environ, start_response):
        reached.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        start_response("204 No Content", [])
        return [b""]

    settings.O10_HOT_PATH = True
    way = Way(PlaneApp(django_app, render_problem), secret())
    way.send("GET", "authorize")
    way.post("usage", {})
    way.post("authorize/", {})
    assert [path for _, path in reached] == [
        "/api/v1/authorize",
        "/api/v1/usage",
        "/api/v1/authorize/",
    ]


def test_with_the_switch_off_all_goes_through_django(settings, company, secret):
    from o10.problems import render_problem

    settings.O10_HOT_PATH = False
    cold = Way(PlaneApp(unreachable, render_problem), secret())
    with pytest.raises(AssertionError, match="reached Django"):
        cold.post("authorize", GOOD)


def test_a_person_with_a_session_may_ask_but_not_spend(company, client, clock):
    from o10.access import operations

    person = operations.create_person(
        email=f"{uuid.uuid4().hex}@example.com",
        display_name="Vera",
        role=Role.VIEWER,
        password=None,
        actor=operations.COMMAND_LINE,
        now=clock.at,
    )
    client.force_login(person)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    way = Way(make_app(hot=True), None)
    csrf = "a" * 32
    sent = {"cookie": f"{cookie}; csrftoken={csrf}", "x_csrftoken": csrf}
    assert way.post("authorize:dry-run", GOOD, **sent).status == 200
    assert way.post("authorize", GOOD, **sent).status == 403
    without = way.post("authorize:dry-run", GOOD, cookie=cookie)
    assert (without.status, without.told["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "failure",
    [
        OperationalError("server closed the connection, password=hunter2"),
        InterfaceError("connection already closed"),
    ],
)
def test_the_database_away_is_503_with_a_time_to_wait(router, monkeypatch, failure):
    def away(**_):
        raise failure

    for name in ("authorize", "dry_run", "settle", "release", "extend"):
        monkeypatch.setattr(facade, name, away)
    for verb in VERBS:
        body = GOOD if verb.startswith("authorize") else {"reservation": "rsv_x"}
        answer = router.post(verb, body)
        assert (answer.status, answer.told["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.told["retry"] == "same"
        assert b"hunter2" not in answer.body


def test_no_server_at_all_is_503_and_no_wait(router, secret, monkeypatch, tmp_path):
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", str(tmp_path))
    started = time.monotonic()
    for verb in VERBS:
        answer = router.post(verb, GOOD)
        assert (answer.status, answer.told["code"]) == (503, "unavailable")
    assert time.monotonic() - started < 5
    monkeypatch.undo()
    assert router.post("authorize:dry-run", GOOD).status == 200


def test_a_connection_that_died_is_replaced_before_the_next_call(router, database_urls):
    assert router.post("authorize:dry-run", GOOD).status == 200
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    with psycopg.connect(database_urls.superuser_url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert router.post("authorize:dry-run", GOOD).status == 200


def test_a_fault_of_ours_is_500_without_our_insides(router, monkeypatch, caplog):
    def broken(**_):
        raise KeyError("o10_" + "S" * 43)

    monkeypatch.setattr(facade, "authorize", broken)
    answer = router.post("authorize", GOOD)
    assert (answer.status, answer.told["code"]) == (500, "internal")
    for inside in (b"KeyError", b"SSSS", b"Traceback", b".py"):
        assert inside not in answer.body


def test_no_key_and_no_prompt_ever_reaches_a_log(app, secret, monkeypatch):
    from o10.telemetry import LogForm, configure_logging

    text = io.StringIO()
    monkeypatch.setattr("sys.stderr", text)
    configure_logging(form=LogForm.JSON, level="DEBUG")
    try:
        key = secret()
        way = Way(app, key)
        way.post("authorize", GOOD | {"prompt": "the merger with Initech closes"})
        way.post("authorize", {"prompt": "the merger with Initech closes", "bad": key})
        Way(app, key[:-1] + "!").post("authorize", GOOD)
        Way(app, "o10_" + "Z" * 43).post("settle", {"reservation": key})

        def broken(**_):
            raise RuntimeError(f"while using {key}")

        monkeypatch.setattr(facade, "authorize", broken)
        assert way.post("authorize", GOOD).status == 500
        logging.getLogger("django.request").error("sent Authorization: Bearer %s", key)
    finally:
        monkeypatch.undo()
        configure_logging()
    written = text.getvalue()
    assert "RuntimeError" in written
    assert key not in written
    assert "Z" * 43 not in written
    assert "Initech" not in written


@pytest.fixture(scope="module")
def imports():
    return grimp.build_graph("o10", "ledger", "policies", include_external_packages=True)


@pytest.mark.parametrize("module", ["policies.plane.app", "policies.plane.verbs"])
def test_the_hot_door_never_imports_drf_on_its_path(imports, module):
    assert imports.find_shortest_chain(module, "rest_framework") is None
