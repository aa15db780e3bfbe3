"""Do people and keys change only with their line in the audit, and is that line for good?"""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from o10.access import keys, operations, queries
from o10.access.models import AccessAudit, RouterKey
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.access.secret import hash_of
from o10.kernel.errors import NotFound, Unauthorized, ValidationFailed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forgetful():
    keys.forget()
    yield
    keys.forget()


def make_key(now, **changes):
    wanted = {
        "name": "chat router",
        "role": Role.ROUTER,
        "use_cases": ["support-assistant"],
        "actor": operations.COMMAND_LINE,
        "now": now,
    } | changes
    return operations.create_key(**wanted)


def make_person(now, **changes):
    wanted = {
        "email": "Ada@Example.com ",
        "display_name": "Ada",
        "role": Role.FINOPS,
        "password": "a long enough password",
        "actor": operations.COMMAND_LINE,
        "now": now,
    } | changes
    return operations.create_person(**wanted)


def ask(key, now, monotonic=lambda: 0.0):
    return keys.authenticate(header=f"Bearer {key.secret.text}", now=now, monotonic=monotonic)


def test_a_new_key_calls_under_its_role_and_scope(now):
    key = make_key(now)
    caller = ask(key, now)
    assert (caller.key_id, caller.actor, caller.principal) == (key.id, key.id, key.id)
    assert caller.role is Role.ROUTER
    assert caller.use_case_slugs == {"support-assistant"}
    assert caller.verbs == ROLE_ACTIONS[Role.ROUTER]


def test_only_the_hash_of_a_key_is_stored(now):
    key = make_key(now)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(k)::text FROM access_router_key k")
        stored = cursor.fetchone()[0]
        cursor.execute("SELECT row_to_json(a)::text FROM access_audit a")
        audited = cursor.fetchone()[0]
    for text in (stored, audited):
        assert key.secret.text not in text
        assert key.secret.text[4:20] not in text
    assert hash_of(key.secret.text).hex() in stored
    assert hash_of(key.secret.text).hex() not in audited


def test_a_key_made_by_a_person_answers_to_that_person(now):
    person = make_person(now)
    key = make_key(now, role=Role.FINOPS, created_by=person.id, actor=person.id)
    assert ask(key, now).principal == person.id


def test_verbs_narrow_the_role_and_never_widen_it(now):
    key = make_key(now, verbs=[Action.SETTLE])
    assert ask(key, now).verbs == {Action.SETTLE}
    with pytest.raises(ValidationFailed) as refused:
        make_key(now, verbs=[Action.CHANGE_ENVELOPE])
    assert [error.pointer for error in refused.value.errors] == ["/verbs"]


@pytest.mark.parametrize("role", [Role.CFO, Role.ADMIN, Role.OWNER])
def test_some_roles_are_for_people_alone(now, role):
    with pytest.raises(ValidationFailed):
        make_key(now, role=role)


def test_no_person_is_a_router(now):
    with pytest.raises(ValidationFailed):
        make_person(now, role=Role.ROUTER)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic o10_x", "Bearer o10_" + "0" * 43, "o10_x"],
)
def test_strangers_are_unauthorized(header, now):
    with pytest.raises(Unauthorized):
        keys.authenticate(header=header, now=now)


def test_a_revoked_key_is_refused_within_half_a_second(now):
    key = make_key(now)
    ask(key, now, monotonic=lambda: 100.0)
    operations.revoke_key(key_id=key.id, actor=operations.COMMAND_LINE, now=now)
    assert ask(key, now, monotonic=lambda: 100.4).key_id == key.id
    with pytest.raises(Unauthorized) as refused:
        ask(key, now, monotonic=lambda: 100.51)
    assert refused.value.reason == "revoked"


def test_within_its_half_second_a_key_costs_no_query(now, django_assert_num_queries):
    key = make_key(now)
    ask(key, now, monotonic=lambda: 100.0)
    with django_assert_num_queries(0):
        ask(key, now, monotonic=lambda: 100.4)


def test_a_key_ends_at_its_instant_even_when_kept(now):
    key = make_key(now, expires_at=now + timedelta(seconds=1))
    ask(key, now)
    with pytest.raises(Unauthorized) as refused:
        ask(key, now + timedelta(seconds=1))
    assert refused.value.reason == "expired"


def test_rotation_overlaps_and_then_only_the_successor_works(now):
    old = make_key(now)
    fresh = operations.rotate_key(
        key_id=old.id, grace=timedelta(hours=1), actor=operations.COMMAND_LINE, now=now
    )
    before_end = now + timedelta(minutes=59)
    assert ask(old, before_end).use_case_slugs == ask(fresh, before_end).use_case_slugs
    with pytest.raises(Unauthorized):
        ask(old, now + timedelta(hours=1))
    assert ask(fresh, now + timedelta(hours=1)).key_id == fresh.id
    with pytest.raises(operations.KeyReplaced):
        operations.rotate_key(
            key_id=old.id, grace=timedelta(0), actor=operations.COMMAND_LINE, now=now
        )


def test_rotation_never_lengthens_the_life_of_the_old_key(now):
    end = now + timedelta(minutes=5)
    old = make_key(now, expires_at=end)
    operations.rotate_key(
        key_id=old.id, grace=timedelta(days=1), actor=operations.COMMAND_LINE, now=now
    )
    assert queries.find_key(old.id).expires_at == end


def test_last_use_is_noted_at_most_once_a_minute(now):
    key = make_key(now)
    ask(key, now, monotonic=lambda: 0.0)
    ask(key, now + timedelta(seconds=30), monotonic=lambda: 30.0)
    assert queries.find_key(key.id).last_used_at == now
    later = now + timedelta(seconds=61)
    ask(key, later, monotonic=lambda: 61.0)
    assert queries.find_key(key.id).last_used_at == later


def test_every_change_has_its_line_with_before_and_after(now):
    person = make_person(now)
    operations.change_role(
        person_id=person.id, role=Role.CONTROLLER, actor="usr_admin", now=now
    )
    operations.deactivate_person(person_id=person.id, actor="usr_admin", now=now)
    lines = queries.list_audit(subject=person.id)
    assert [line.action for line in lines] == [
        "person_created",
        "role_changed",
        "person_deactivated",
    ]
    assert (lines[1].before["role"], lines[1].after["role"]) == ("finops", "controller")
    assert (lines[2].before["is_active"], lines[2].after["is_active"]) == (True, False)
    assert {line.actor for line in lines} == {operations.COMMAND_LINE, "usr_admin"}


def test_a_change_that_fails_leaves_no_line(now):
    with pytest.raises(NotFound):
        operations.revoke_key(key_id="key_nobody", actor="usr_admin", now=now)
    assert not AccessAudit.objects.exists()


def test_an_address_is_one_person_in_any_case(now):
    make_person(now)
    with pytest.raises(operations.PersonExists):
        make_person(now, email="ADA@example.COM")
    assert queries.find_person_by_email("aDa@exaMple.com").display_name == "Ada"


def test_a_deactivated_person_is_no_caller(now):
    person = make_person(now)
    operations.deactivate_person(person_id=person.id, actor="usr_admin", now=now)
    with pytest.raises(Unauthorized):
        keys.caller_of_person(queries.find_person(person.id))


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE access_audit SET actor = 'nobody'",
        "DELETE FROM access_audit",
        "TRUNCATE access_audit",
    ],
)
def test_the_application_cannot_change_the_audit(now, attack):
    make_key(now)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(attack)
    assert AccessAudit.objects.count() == 1


def test_stored_secrets_come_back_only_under_the_same_secret_key(settings):
    wrapped = keys.wrap(b"token key of the plane, 32 bytes")
    assert b"token key" not in wrapped
    assert keys.unwrap(wrapped) == b"token key of the plane, 32 bytes"
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    with pytest.raises(keys.SecretUnreadable):
        keys.unwrap(changed)
    settings.SECRET_KEY = "another secret key that is long enough"
    with pytest.raises(keys.SecretUnreadable):
        keys.unwrap(wrapped)


def test_the_database_refuses_a_key_with_a_persons_role(now):
    key = make_key(now)
    with pytest.raises(DatabaseError), transaction.atomic():
        RouterKey.objects.filter(id=key.id).update(role="admin")
