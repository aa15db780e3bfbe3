"""Does the audit of people and keys stand against those who could change the table?"""

import psycopg
import pytest

from o10.access import operations
from o10.access.roles import Role


def test_even_the_owner_of_the_table_is_stopped_by_the_trigger(committed_db, now):
    operations.create_key(
        name="chat router",
        role=Role.ROUTER,
        use_cases=None,
        actor=operations.COMMAND_LINE,
        now=now,
    )
    for attack in ("UPDATE access_audit SET actor = 'x'", "DELETE FROM access_audit"):
        with (
            psycopg.connect(committed_db.superuser_url) as superuser,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
        ):
            superuser.execute(attack)
