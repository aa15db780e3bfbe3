"""Is everything in the database what it was when it was sealed, and did every rule hold?

One snapshot, three depths. Full: every byte of every entry through the functions of the offline
verifier: leaf, link, tree, tiles, checkpoints, rollups, I1 to I5, I7, I8. Incremental: the same
from the verifier's own last checkpoint on; what lies before it is hashed by the server, its
cells are added up by the server, and the tree must still have the root that this verifier kept.
Balances and reservations are compared by their owner; the command calls both.
Source: ledger.md sections 8 and 13 of the design; docs/algorithms/invariants.md.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, transaction

from ledger.core import verify
from ledger.core.checkpoint import VerifierKey
from ledger.core.rollup import Increments
from ledger.core.tiles import TILE_WIDTH
from ledger.operations.record_verification import VerifierMode
from ledger.operations.verify_heads import (
    OLDER,
    check_checkpoints,
    check_state,
    read_checkpoints,
)
from ledger.operations.verify_periods import check_periods
from ledger.operations.verify_walk import (
    FINDINGS_MAX,
    Audit,
    Progress,
    Walk,
    begin,
    name_changed,
    say,
    walk_entries,
)
from ledger.queries import audit_rows
from ledger.queries.integrity import Finding, find_missing
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow, ledger_of_company
from ledger.queries.tree import TileMissing, read_leaves


def verify_ledger(
    *,
    mode: VerifierMode,
    keys: Sequence[VerifierKey],
    trusted: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
    and_also: Callable[[], Sequence[Finding]] = tuple,
    ledger_id: int = COMPANY_LEDGER,
) -> Audit:
    """What does not hold? Nothing when `findings` is empty; first bad entry first.

    `trusted` are notes kept outside, the verifier's own last one first: the ledger must extend
    each. Without one, incremental is full. `and_also` runs inside the same snapshot.
    Raises: NotFound (`not_found`) before there is a ledger.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        audit_rows.lift_limits(cursor)
        audit_rows.plan_walks(cursor)
        ledger = ledger_of_company() if ledger_id == COMPANY_LEDGER else None
        if ledger is None:
            raise LookupError(f"ledger {ledger_id}")
        kept = [verify.Checkpoint.parse(note) for note in trusted]
        start = kept[0].size if kept and mode is VerifierMode.INCREMENTAL else 0
        audit = Audit(
            mode=mode if start else VerifierMode.FULL, origin=ledger.origin, from_seq=start
        )
        _look(cursor, ledger, audit, kept=kept, keys=keys, progress=progress)
        audit.findings += and_also()
    # Those of one entry stand first: what depends on it differs because of it.
    audit.findings.sort(key=lambda finding: (finding.seq == 0, finding.seq))
    del audit.findings[FINDINGS_MAX:]
    return audit


def _look(
    cursor: Any,
    ledger: LedgerRow,
    audit: Audit,
    *,
    kept: Sequence[verify.Checkpoint],
    keys: Sequence[VerifierKey],
    progress: Progress,
) -> None:
    counted = audit_rows.count_rows(cursor, ledger_id=ledger.id)
    audit.size = counted.seq
    if not _check_counts(cursor, ledger, audit, counted):
        return
    for own in kept:
        if own.size > audit.size:
            say(audit, "ledger_shorter", "size", f">= {own.size}", str(audit.size), OLDER)
            return
        if own.origin != ledger.origin:
            say(audit, "origin_changed", "origin", own.origin, ledger.origin)
            return
    checkpoints = read_checkpoints(cursor, ledger.id)
    try:
        walk = begin(cursor, ledger, audit, kept=kept, checkpoints=checkpoints)
    except TileMissing as gone:
        _name_hole(cursor, ledger, audit, gone)
        return
    if not walk_entries(cursor, walk, progress):
        return
    audit.root, audit.head = walk.tree.root().hex(), walk.chain.hex()
    check_state(cursor, walk)
    _check_older(cursor, walk)
    check_checkpoints(walk, checkpoints, kept=kept, keys=keys)
    _check_rollups(cursor, walk)
    _finish_replay(cursor, walk)
    check_periods(cursor, walk)


def _check_counts(
    cursor: Any, ledger: LedgerRow, audit: Audit, counted: audit_rows.Counted
) -> bool:
    tiles, level = 0, counted.seq // TILE_WIDTH
    while level:
        tiles, level = tiles + level, level // TILE_WIDTH
    if counted.tiles != tiles:
        say(audit, "tile_missing", "tiles", str(tiles), str(counted.tiles), "number of tiles")
    if counted.entries > counted.seq:
        stray = audit_rows.find_stray(cursor, ledger_id=ledger.id)
        if stray is not None:
            what = "it stands below the sealer's cursor and was never sealed"
            found = Finding("entry_unsealed", 0, stray[1], "", "a position", "none", what)
            audit.findings.append(found)
    if counted.seals != counted.seq:
        # The walk names the gap; positions past the state's own have no gap to name.
        if counted.seals > counted.seq:
            say(audit, "seal_state", "seq", str(counted.seals), str(counted.seq))
            return False
    return True


def _name_hole(cursor: Any, ledger: LedgerRow, audit: Audit, gone: TileMissing) -> None:
    """Leaves or tiles at the right edge are gone: which entry, if it is one?"""
    gap = audit_rows.find_gap(cursor, ledger_id=ledger.id, upto=audit.size)
    if gap is not None:
        audit.findings.append(find_missing(cursor, ledger_id=ledger.id, seq=gap))
        return
    say(audit, "tile_missing", "tile", str(gone.fields["tile"]), str(gone.fields["found"]))


def _check_older(cursor: Any, walk: Walk) -> None:
    """What lies before the own checkpoint: row = leaf = tile in SQL, tiles = kept root."""
    start, ledger_id = walk.audit.from_seq, walk.ledger.id
    if not start:
        return
    audit_rows.plan_scans(cursor)
    gap = audit_rows.find_gap(cursor, ledger_id=ledger_id, upto=start)
    if gap is not None:
        walk.audit.findings.append(find_missing(cursor, ledger_id=ledger_id, seq=gap))
    changed = audit_rows.find_changed_leaves(cursor, ledger_id=ledger_id, upto=start)
    other = audit_rows.find_leaves_beside_tiles(cursor, ledger_id=ledger_id, upto=start)
    audit_rows.plan_walks(cursor)
    walk.changed = []
    for seq in changed:
        rows, _ = audit_rows.read_chunk(cursor, ledger_id=ledger_id, after=seq - 1, upto=seq)
        walk.changed += rows
    name_changed(walk)
    for seq in other:
        walk.audit.findings.append(
            Finding("leaf_changed", seq, "", "leaf", "the hash in its tile", "another")
        )
    tree = verify.Tree()
    for tile in audit_rows.stream_leaf_tiles(cursor, ledger_id=ledger_id, size=start):
        tree.extend([tile[place : place + 32] for place in range(0, len(tile), 32)])
    rest = start % TILE_WIDTH
    tree.extend(read_leaves(cursor, ledger_id=ledger_id, first=start - rest, count=rest))
    walk.heads[start] = tree.root(), walk.heads[start][1]


def _check_rollups(cursor: Any, walk: Walk) -> None:
    audit_rows.plan_scans(cursor)
    for table, cells in (("rollup_hour", walk.folded.hours), ("rollup_day", walk.folded.days)):
        if walk.audit.mode is VerifierMode.FULL:
            expected: dict[Any, Increments] = {
                (bucket, *key): sums for (bucket, key), sums in cells.items()
            }
        else:
            expected = audit_rows.sum_cells(cursor, ledger=walk.ledger, table=table)
        found = audit_rows.read_cells(cursor, ledger_id=walk.ledger.id, table=table)
        difference = audit_rows.first_difference(expected, found)
        if difference is not None:
            place, column, right, wrong = difference
            names = ("bucket", "use_case", "envelope", "venue", "model", "dims", "kind class")
            cell = ", ".join(f"{name} {part}" for name, part in zip(names, place, strict=True))
            say(walk.audit, "rollup_drift", f"{table}.{column}", right, wrong, cell)


def _finish_replay(cursor: Any, walk: Walk) -> None:
    unsealed = audit_rows.read_unsealed_versions(
        cursor, ledger_id=walk.ledger.id, roots=walk.roots
    )
    found = walk.replay.finish(
        originals=lambda uids: audit_rows.read_originals(
            cursor, ledger_id=walk.ledger.id, uids=uids
        ),
        unsealed=unsealed,
    )
    walk.audit.notes += walk.replay.notes
    for each in found:
        walk.audit.findings.append(
            Finding(
                code=each.check.lower(),
                seq=each.seq or 0,
                uid=each.uid,
                column=each.where,
                expected=each.expected,
                found=each.found,
                what=each.what,
            )
        )
