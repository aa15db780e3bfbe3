"""May this process seal, and does what was sealed before hold together?

The session's advisory lock makes one sealer of many processes; the fence makes an older one,
whose session is gone without its knowing, change nothing. Before the first batch the last links
of the chain, the right edge of the tree and the newest checkpoint are recomputed. A sealer that
finds a difference refuses to run: going on would put good hashes over bad rows.
"""

from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import psycopg

from ledger.core.chain import LINK_PREFIX, chain_start
from ledger.core.checkpoint import VerifierKey, check_note
from ledger.core.merkle import CompactRange
from ledger.core.tiles import Frontier
from ledger.operations.seal import ADVISORY_CLASS, SealBroken, Sealer
from ledger.queries.ledgers import LedgerRow
from ledger.queries.tree import read_frontier, read_leaves, root_at
from o10.kernel.errors import Conflict, Unavailable

LINKS_CHECKED: Final = 1_000


class SealerElsewhere(Unavailable):
    """Does another process seal this ledger? Fields: `retry_after_s`."""

    code = "unavailable"


class ClusterChanged(Conflict):
    """Was the ledger sealed in another PostgreSQL cluster? Fields: `expected`, `found`."""

    code = "cluster_changed"


def open_sealer(
    connection: "psycopg.Connection[Any]",
    *,
    ledger: LedgerRow,
    keys: tuple[VerifierKey, ...],
    now: datetime,
) -> Sealer:
    """Who seals from now on? This session, once what is there was checked.

    Raises: SealerElsewhere (`unavailable`) while another session holds the lock; ClusterChanged
    (`cluster_changed`), then `adopt_cluster` decides; SealBroken (`seal_broken`),
    TileMissing (`tile_missing`), SignatureInvalid (`signature_invalid`) for what was tampered
    with.
    Locks: the advisory lock of the ledger, until the session ends.
    """
    _tune(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [ADVISORY_CLASS, ledger.id])
        if not cursor.fetchone()[0]:
            raise SealerElsewhere(what="the seal, held by another sealer", retry_after_s=1)
        sealer = _take_over(connection, cursor, ledger=ledger, now=now)
        _check_links(sealer, cursor)
        _check_checkpoint(sealer, cursor, keys)
    return sealer


def _tune(connection: "psycopg.Connection[Any]") -> None:
    # Fresh partitions have no statistics; without these the planner may sort the whole month
    # for each batch. Durability is not left to the server: the seal is what others trust.
    for setting in (
        "enable_seqscan = off",
        "enable_bitmapscan = off",
        "jit = off",
        "synchronous_commit = on",
        "TimeZone = 'UTC'",
    ):
        connection.execute(f"SET {setting}")


def _take_over(
    connection: "psycopg.Connection[Any]", cursor: Any, *, ledger: LedgerRow, now: datetime
) -> Sealer:
    cursor.execute("SELECT system_identifier FROM pg_control_system()")
    system_id = cursor.fetchone()[0]
    start = chain_start(ledger.origin)
    cursor.execute(
        "INSERT INTO ledger_seal_state (ledger_id, seq, last_xid, last_id, chain, ranges,"
        " fence, system_id, updated_at) SELECT %s, 0, '0', 0, %s, %s, 0, %s, %s"
        " WHERE NOT EXISTS (SELECT 1 FROM ledger_seal WHERE ledger_id = %s)"
        " ON CONFLICT DO NOTHING",
        [ledger.id, start, CompactRange().to_bytes(), system_id, now, ledger.id],
    )
    cursor.execute(
        "UPDATE ledger_seal_state SET fence = fence + 1 WHERE ledger_id = %s"
        " RETURNING seq, last_xid::text, last_id, chain, ranges, fence, system_id",
        [ledger.id],
    )
    row = cursor.fetchone()
    if row is None:
        raise SealBroken(what="seal state", expected="one row", found="none, but sealed rows")
    seq, last_xid, last_id, chain, ranges, fence, sealed_in = row
    if sealed_in != system_id:
        raise ClusterChanged(expected=str(sealed_in), found=str(system_id))
    frontier = read_frontier(cursor, ledger_id=ledger.id, size=seq) if seq else Frontier()
    found = frontier.compact().to_bytes()
    if found != bytes(ranges):
        raise SealBroken(
            what="right edge of the tree", expected=bytes(ranges).hex(), found=found.hex()
        )
    return Sealer(
        connection=connection,
        ledger=ledger,
        fence=fence,
        seq=seq,
        last_xid=int(last_xid),
        last_id=last_id,
        chain=bytes(chain),
        frontier=frontier,
    )


def _check_links(sealer: Sealer, cursor: Any) -> None:
    first = max(sealer.seq - LINKS_CHECKED, 0)
    cursor.execute(
        "SELECT seq, chain FROM ledger_seal WHERE ledger_id = %s AND seq >= %s ORDER BY seq",
        [sealer.ledger.id, first],
    )
    stored = {seq: bytes(chain) for seq, chain in cursor.fetchall()}
    head = stored.get(first, b"") if first else chain_start(sealer.ledger.origin)
    leaves = read_leaves(
        cursor, ledger_id=sealer.ledger.id, first=first, count=sealer.seq - first
    )
    for seq, leaf in enumerate(leaves, first + 1):
        head = sha256(LINK_PREFIX + head + leaf).digest()
        if stored.get(seq) != head:
            raise SealBroken(
                what=f"chain at {seq}", expected=head.hex(), found=stored.get(seq, b"").hex()
            )
    if sealer.chain != head or max(stored, default=0) != sealer.seq:
        raise SealBroken(
            what="head of the chain", expected=head.hex(), found=sealer.chain.hex()
        )


def _check_checkpoint(sealer: Sealer, cursor: Any, keys: tuple[VerifierKey, ...]) -> None:
    cursor.execute(
        "SELECT size, root, note FROM ledger_checkpoint WHERE ledger_id = %s"
        " ORDER BY size DESC LIMIT 1",
        [sealer.ledger.id],
    )
    row = cursor.fetchone()
    if row is None:
        return
    size, root, note = row
    if size > sealer.seq:
        raise SealBroken(what="newest checkpoint", expected=f"<= {sealer.seq}", found=size)
    computed = root_at(cursor, ledger_id=sealer.ledger.id, size=size)
    signed, _ = check_note(note, keys=keys)
    if not signed.root == computed == bytes(root) or signed.size != size:
        raise SealBroken(
            what=f"root at {size}", expected=signed.root.hex(), found=computed.hex()
        )
