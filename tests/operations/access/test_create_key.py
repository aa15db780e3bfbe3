"""Does the command print a working key once, and say what is wrong otherwise?"""

import io

import pytest
from django.core.management import CommandError, call_command

from o10.access import keys, queries
from o10.access.roles import Action, Role
from o10.access.secret import has_form
from o10.kernel.errors import Unauthorized

pytestmark = pytest.mark.django_db


def create_key(*arguments):
    out, notes = io.StringIO(), io.StringIO()
    call_command("create_key", *arguments, stdout=out, stderr=notes)
    return out.getvalue().strip(), notes.getvalue()


@pytest.fixture(autouse=True)
def forgetful():
    keys.forget()


def test_the_printed_key_works_and_is_alone_on_standard_output(clock):
    secret, notes = create_key(
        "--name", "router", "--role", "router", "--use-case", "a", "--use-case", "b"
    )
    assert has_form(secret)
    assert secret not in notes
    caller = keys.authenticate(header=f"Bearer {secret}", now=clock.at)
    assert caller.role is Role.ROUTER
    assert caller.use_case_slugs == {"a", "b"}


def test_a_key_without_use_cases_may_name_all(clock):
    secret, _ = create_key("--name", "script", "--role", "finops", "--verb", "record_usage")
    caller = keys.authenticate(header=f"Bearer {secret}", now=clock.at)
    assert caller.use_case_slugs is None
    assert caller.verbs == {Action.RECORD_USAGE}


def test_rotation_and_revocation(clock):
    old, _ = create_key("--name", "router", "--role", "router")
    old_id = queries.list_keys()[0].id
    fresh, notes = create_key("--rotate", old_id, "--grace-hours", "1")
    for secret in (old, fresh):
        assert keys.authenticate(header=f"Bearer {secret}", now=clock.at).role is Role.ROUTER
    create_key("--revoke", notes.partition(":")[0])
    keys.forget()
    with pytest.raises(Unauthorized):
        keys.authenticate(header=f"Bearer {fresh}", now=clock.at)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--name and --role"),
        (("--name", "x", "--role", "cfo"), "invalid choice"),
        (("--name", "x", "--role", "viewer", "--verb", "settle"), "verbs:"),
        (("--name", "x", "--role", "viewer", "--days", "-1"), "expires_at:"),
        (("--revoke", "key_none"), "not_found: key_none"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments, sentence, clock):
    with pytest.raises(CommandError, match=sentence):
        create_key(*arguments)
    assert queries.list_keys() == []
