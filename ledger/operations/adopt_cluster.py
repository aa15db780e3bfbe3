"""May sealing go on in another PostgreSQL cluster than the one it began in?

Positions follow transaction numbers, and those belong to a cluster. After `pg_upgrade` the
counter goes on and the order stays true. After a dump and restore it begins low: new entries
would sort before old ones and never be sealed. Then the counter has to be moved past the newest
entry first, once, with `pg_resetwal -x` (and `-e` for the epoch) while the server is down.
"""

from typing import Any

import psycopg

from ledger.operations.seal import ADVISORY_CLASS
from ledger.queries.ledgers import LedgerRow
from o10.kernel.errors import Conflict, Unavailable


class XidBehind(Conflict):
    """Is this cluster's transaction counter behind the entries? Fields: `newest`, `present`."""

    code = "xid_behind"


class WritersOpen(Unavailable):
    """Is somebody still writing, or sealing? Fields: `what`."""

    code = "unavailable"


def adopt_cluster(
    connection: "psycopg.Connection[Any]", *, ledger: LedgerRow
) -> tuple[int, int]:
    """From which cluster to which did the ledger move (system identifiers)? Idempotent.

    Raises: XidBehind (`xid_behind`); WritersOpen (`unavailable`) while another sealer is there.
    Locks: the advisory lock of the ledger, then its state row.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [ADVISORY_CLASS, ledger.id])
        if not cursor.fetchone()[0]:
            raise WritersOpen(what="the seal, held by another sealer")
        cursor.execute(
            "SELECT coalesce(max(xid::text::numeric), 0)::text,"
            " pg_snapshot_xmax(pg_current_snapshot())::text FROM ledger_entry"
            " WHERE ledger_id = %s",
            [ledger.id],
        )
        newest, present = (int(value) for value in cursor.fetchone())
        if newest >= present:
            raise XidBehind(newest=newest, present=present)
        cursor.execute(
            "UPDATE ledger_seal_state t SET system_id = c.system_identifier"
            " FROM pg_control_system() c, ledger_seal_state o"
            " WHERE t.ledger_id = %s AND o.ledger_id = t.ledger_id"
            " RETURNING o.system_id, t.system_id",
            [ledger.id],
        )
        row = cursor.fetchone()
    return (row[0], row[1]) if row else (0, 0)
