"""Does a process that holds all keys in memory know what the database knows?"""

import json
import time
from datetime import timedelta

import psycopg
import pytest

from o10.access import keys, operations, queries
from o10.access.plane_notice import CHANNEL
from o10.access.roles import ROLE_ACTIONS, Action, Role
from o10.access.secret import new_secret
from o10.kernel.errors import Unauthorized


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


def recognise(secret, known, now, form="Bearer {}"):
    return keys.recognise(header=form.format(secret.text), known=known, now=now)


def refused(call):
    with pytest.raises(Unauthorized) as failure:
        call()
    return failure.value.fields["reason"]


@pytest.mark.django_db
def test_a_key_in_memory_is_the_caller_that_the_database_knows(now):
    limited = make_key(now, verbs=[Action.AUTHORIZE])
    wide = make_key(now, role=Role.FINOPS, use_cases=None)
    known = keys.known_keys(now=now)
    for key in (limited, wide):
        header = f"Bearer {key.secret.text}"
        assert recognise(key.secret, known, now) == keys.authenticate(header=header, now=now)
    assert recognise(limited.secret, known, now).verbs == {Action.AUTHORIZE}
    assert recognise(wide.secret, known, now).verbs == ROLE_ACTIONS[Role.FINOPS]


@pytest.mark.django_db
def test_every_way_to_write_the_header_is_read_as_authenticate_reads_it(now):
    key = make_key(now)
    known = keys.known_keys(now=now)
    for form in ("Bearer {}", "bearer {}", "BEARER  {} ", "Bearer {} "):
        assert recognise(key.secret, known, now, form).key_id == key.id
    assert refused(lambda: keys.recognise(header=None, known=known, now=now)) == "missing"
    for wrong in ("Bearer", "Basic {}", "Bearer o10_short", "Bearer  "):
        assert refused(lambda: recognise(key.secret, known, now, wrong)) == "malformed"  # noqa: B023
    assert refused(lambda: recognise(new_secret(), known, now)) == "unknown"


@pytest.mark.django_db
def test_a_poll_that_finds_nothing_new_gives_the_same_object(now, django_assert_num_queries):
    make_key(now)
    known = keys.known_keys(now=now)
    with django_assert_num_queries(1):
        assert keys.known_keys(now=now) is known


@pytest.mark.django_db
def test_making_rotating_and_revoking_a_key_each_change_what_is_known(now):
    key = make_key(now)
    first = keys.known_keys(now=now)
    fresh = operations.rotate_key(
        key_id=key.id, grace=timedelta(minutes=5), actor="usr_1", now=now
    )
    second = keys.known_keys(now=now)
    assert second is not first
    assert recognise(fresh.secret, second, now).key_id == fresh.id
    assert recognise(key.secret, second, now).key_id == key.id
    later = now + timedelta(minutes=5)
    assert refused(lambda: recognise(key.secret, second, later)) == "expired"
    operations.revoke_key(key_id=fresh.id, actor="usr_1", now=now)
    third = keys.known_keys(now=now)
    assert refused(lambda: recognise(fresh.secret, third, now)) == "unknown"
    # The worker that has not looked again yet still knows it: that is why it looks.
    assert recognise(fresh.secret, second, now).key_id == fresh.id


@pytest.mark.django_db
def test_a_key_that_has_ended_is_not_learned(now):
    key = make_key(now, expires_at=now + timedelta(hours=1))
    keys.forget()
    known = keys.known_keys(now=now + timedelta(hours=1))
    assert refused(lambda: recognise(key.secret, known, now)) == "unknown"


@pytest.mark.django_db
def test_uses_are_noted_in_one_statement_and_never_earlier_than_they_were(
    now, django_assert_num_queries
):
    used, unused = make_key(now), make_key(now)
    recognise(used.secret, keys.known_keys(now=now), now)
    with django_assert_num_queries(1):
        keys.note_uses(now=now)
    with django_assert_num_queries(0):
        keys.note_uses(now=now)
    assert queries.find_key(used.id).last_used_at == now
    assert queries.find_key(unused.id).last_used_at is None
    recognise(used.secret, keys.known_keys(now=now), now)
    keys.note_uses(now=now - timedelta(hours=1))
    assert queries.find_key(used.id).last_used_at == now


def test_a_worker_hears_of_a_change_when_it_is_committed(committed_db, now):
    with psycopg.connect(committed_db.app_url, autocommit=True) as worker:
        worker.execute(f"LISTEN {CHANNEL}")

        def heard():
            return [
                json.loads(notice.payload)
                for notice in worker.notifies(timeout=5, stop_after=1)
            ]

        key = make_key(now)
        assert heard() == [{"k": "keys"}]
        operations.rotate_key(key_id=key.id, grace=timedelta(0), actor="usr_1", now=now)
        assert heard() == [{"k": "keys"}]
        operations.revoke_key(key_id=key.id, actor="usr_1", now=now)
        assert heard() == [{"k": "keys"}]


@pytest.mark.django_db
def test_recognising_a_key_costs_no_query_and_microseconds(now, django_assert_num_queries):
    key = make_key(now)
    known = keys.known_keys(now=now)
    header = f"Bearer {key.secret.text}"
    with django_assert_num_queries(0):
        start = time.process_time()
        for _ in range(1_000):
            keys.recognise(header=header, known=known, now=now)
        each = (time.process_time() - start) / 1_000
    # Generous: what is excluded here is a query or a slow hash, not a slow machine.
    assert each < 50e-6
