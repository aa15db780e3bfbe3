"""Can people sign in and out, and can nobody guess their way in?"""

from datetime import timedelta

import pytest

from o10.access import operations, sessions
from o10.access.models import SignInFailure
from o10.access.roles import Role

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


@pytest.fixture
def person(clock):
    return operations.create_person(
        email="cfo@example.com",
        display_name="Carla",
        role=Role.CFO,
        password=PASSWORD,
        actor=operations.COMMAND_LINE,
        now=clock.at,
    )


def sign_in(client, email="cfo@example.com", password=PASSWORD, **extra):
    return client.post("/sign-in/", {"email": email, "password": password} | extra)


def test_the_page_offers_both_fields_and_is_never_kept(client):
    page = client.get("/sign-in/")
    assert page.status_code == 200
    assert "no-store" in page.headers["Cache-Control"]
    for field in (b'name="email"', b'name="password"', b"csrfmiddlewaretoken"):
        assert field in page.content


def test_the_right_password_leads_on_and_sets_a_guarded_cookie(client, person):
    answer = sign_in(client, email=" CFO@Example.com ", next="/envelopes/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/envelopes/")
    cookie = answer.cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "", "\\\\evil"]
)
def test_nobody_is_led_to_another_site(client, person, onward):
    assert sign_in(client, next=onward).headers["Location"] == "/"


def test_wrong_address_and_wrong_password_look_the_same(client, person):
    wrong_password = sign_in(client, password="wrong")
    wrong_address = sign_in(client, email="nobody@example.com")
    assert wrong_password.status_code == wrong_address.status_code == 401
    told = b"do not match an account"
    assert told in wrong_password.content
    assert told in wrong_address.content


@pytest.mark.parametrize("email", ["", "\x00", "a\x00@b.example", "x" * 5000, "' OR 1=1 --"])
def test_odd_addresses_are_just_wrong(client, person, email):
    assert sign_in(client, email=email).status_code == 401


def test_after_five_failures_even_the_right_password_waits(client, person, clock):
    for _ in range(sessions.MOST_FAILURES):
        assert sign_in(client, password="wrong").status_code == 401
    refused = sign_in(client)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "900"
    clock.move_to(clock.at + sessions.WINDOW + timedelta(seconds=1))
    assert sign_in(client).status_code == 302


def test_the_person_can_still_sign_in_from_elsewhere(client, person):
    for _ in range(sessions.MOST_FAILURES):
        sign_in(client, password="wrong")
    assert (
        client.post(
            "/sign-in/",
            {"email": "cfo@example.com", "password": PASSWORD},
            REMOTE_ADDR="192.0.2.7",
        ).status_code
        == 302
    )


def test_success_forgets_the_failures_and_none_keeps_an_address(client, person):
    sign_in(client, password="wrong")
    failure = SignInFailure.objects.get()
    assert len(failure.email_hash) == len(failure.network_hash) == 32
    sign_in(client)
    assert not SignInFailure.objects.exists()


def test_an_inactive_person_stays_out_and_an_open_session_ends(client, person, clock):
    assert sign_in(client).status_code == 302
    operations.deactivate_person(person_id=person.id, actor="usr_admin", now=clock.at)
    assert client.get("/api/v1/ledger/entries").status_code == 401
    assert sign_in(client).status_code == 401


def test_signing_out_ends_the_session_and_takes_a_post(client, person):
    sign_in(client)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert "_auth_user_id" not in client.session


def test_a_form_from_another_site_is_refused(person):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    assert sign_in(strict).status_code == 403


def test_a_new_password_ends_other_sessions(client, person, clock):
    sign_in(client)
    operations.set_password(
        person_id=person.id, password="another long pass phrase", actor=person.id, now=clock.at
    )
    assert client.get("/api/v1/ledger/entries").status_code == 401
