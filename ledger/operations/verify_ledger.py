"""Is everything in the database what it was when it was sealed, and did every rule hold?

One snapshot, three depths. Full: every byte of every entry through the functions of the offline
verifier: leaf, link, tree, tiles, checkpoints, rollups, I1 to I5, I7, I8. Incremental: the same
from the verifier's own last checkpoint on; what lies before it is hashed by the server, its
cells are added up by the server, and the tree must still have the root that this verifier kept.
Balances and reservations are compared by their owner; the command calls both.
Source: ledger.md sections 8 and 13 of the design; docs/algorithms/invariants.md.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from ledger.core import verify
from ledger.core.chain import chain_start
from ledger.core.checkpoint import VerifierKey
from ledger.core.entry import Kind
from ledger.core.rollup import Buckets, Folded, Increments, fold_images
from ledger.core.tiles import TILE_WIDTH, Frontier, Tile
from ledger.operations.record_verification import VerifierMode
from ledger.queries import audit_rows
from ledger.queries.audit_rows import Sealed
from ledger.queries.integrity import Finding, changed_entry, find_missing
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow, ledger_of_company
from ledger.queries.tree import TileMissing, read_frontier, read_full_tiles, read_leaves

Progress = Callable[[int, int], None]
"""Hears (positions checked, positions in all)."""

FINDINGS_MAX: Final = 100


@dataclass(slots=True)
class Audit:
    """What did the verifier find? `note` is the newest signed checkpoint, "" before one."""

    mode: VerifierMode
    origin: str
    from_seq: int
    size: int = 0
    root: str = ""
    head: str = ""
    note: str = ""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Walk:
    """What is carried from chunk to chunk?"""

    ledger: LedgerRow
    audit: Audit
    heads: dict[int, tuple[bytes, bytes]]
    """size -> (root, chain) at each checkpoint."""
    sizes: list[int]
    tree: verify.Tree
    frontier: Frontier
    chain: bytes
    replay: verify.Replay
    documents: dict[bytes, bytes]
    roots: dict[int, int] = field(default_factory=dict)
    """envelope -> root of its tree, from the envelope_change documents."""
    folded: Folded = field(default_factory=Folded)
    changed: list[Sealed] = field(default_factory=list)


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
            _say(audit, "ledger_shorter", "size", f">= {own.size}", str(audit.size), _OLDER)
            return
        if own.origin != ledger.origin:
            _say(audit, "origin_changed", "origin", own.origin, ledger.origin)
            return
    checkpoints = _checkpoints(cursor, ledger.id)
    try:
        walk = _begin(cursor, ledger, audit, kept=kept, checkpoints=checkpoints)
    except TileMissing as gone:
        _say(audit, "tile_missing", "tile", str(gone.fields["tile"]), str(gone.fields["found"]))
        return
    if not _walk(cursor, walk, progress):
        return
    audit.root, audit.head = walk.tree.root().hex(), walk.chain.hex()
    _check_state(cursor, walk)
    _check_older(cursor, walk)
    _check_checkpoints(walk, checkpoints, kept=kept, keys=keys)
    _check_rollups(cursor, walk)
    _finish_replay(cursor, walk)


_OLDER: Final = "an older backup stands here, or the end of the ledger was cut off"


def _check_counts(
    cursor: Any, ledger: LedgerRow, audit: Audit, counted: audit_rows.Counted
) -> bool:
    tiles, level = 0, counted.seq // TILE_WIDTH
    while level:
        tiles, level = tiles + level, level // TILE_WIDTH
    if counted.tiles != tiles:
        _say(audit, "tile_missing", "tiles", str(tiles), str(counted.tiles), "number of tiles")
    if counted.entries > counted.seq:
        stray = audit_rows.find_stray(cursor, ledger_id=ledger.id)
        if stray is not None:
            what = "it stands below the sealer's cursor and was never sealed"
            found = Finding("entry_unsealed", 0, stray[1], "", "a position", "none", what)
            audit.findings.append(found)
    if counted.seals != counted.seq:
        # The walk names the gap; positions past the state's own have no gap to name.
        if counted.seals > counted.seq:
            _say(audit, "seal_state", "seq", str(counted.seals), str(counted.seq))
            return False
    return True


def _begin(
    cursor: Any,
    ledger: LedgerRow,
    audit: Audit,
    *,
    kept: Sequence[verify.Checkpoint],
    checkpoints: Sequence[tuple[int, bytes, bytes, str]],
) -> _Walk:
    start = audit.from_seq
    sizes = {size for size, *_ in checkpoints} | {own.size for own in kept}
    frontier = read_frontier(cursor, ledger_id=ledger.id, size=start) if start else Frontier()
    compact = frontier.compact()
    documents: dict[bytes, bytes] = {}
    whole = verify.Coverage.PART if start else verify.Coverage.WHOLE
    chain = _chain_at(cursor, ledger, start)
    return _Walk(
        ledger=ledger,
        audit=audit,
        heads={start: (compact.root(), chain)} if start else {},
        sizes=sorted(size for size in sizes if start <= size <= audit.size),
        tree=verify.Tree(start, compact.hashes),
        frontier=frontier,
        chain=chain,
        replay=verify.Replay(documents=documents, coverage=whole),
        documents=documents,
    )


def _walk(cursor: Any, walk: _Walk, progress: Progress) -> bool:
    """Everything from the start to the end; false when it broke off at a gap."""
    audit, ledger = walk.audit, walk.ledger
    after = audit.from_seq
    while after < audit.size:
        upto = min(after + audit_rows.CHUNK, audit.size)
        rows, gap = audit_rows.read_chunk(cursor, ledger_id=ledger.id, after=after, upto=upto)
        _check_chunk(cursor, walk, rows)
        if gap is not None:
            audit.findings.append(find_missing(cursor, ledger_id=ledger.id, seq=gap))
            _name_changed(walk)
            return False
        after = upto
        progress(after, audit.size)
    _name_changed(walk)
    return True


def _check_chunk(cursor: Any, walk: _Walk, rows: Sequence[Sealed]) -> None:
    if not rows:
        return
    audit = walk.audit
    changed = {
        finding.seq
        for finding in verify.check_leaves((row.seq, row.image, row.leaf) for row in rows)
    }
    walk.changed += [row for row in rows if row.seq in changed]
    links = ((row.seq, row.leaf, row.chain) for row in rows)
    for broken in verify.check_chain(links, previous=walk.chain, first=rows[0].seq):
        row = rows[(broken.seq or rows[0].seq) - rows[0].seq]
        uid = verify.uid_text(row.image[26:42])
        audit.findings.append(
            Finding(
                "chain_broken",
                *(row.seq, uid, "chain", broken.expected, broken.found, broken.what),
            )
        )
    walk.chain = rows[-1].chain
    _grow_tree(walk, rows)
    leaves = [row.leaf for row in rows]
    _check_tiles(cursor, walk, walk.frontier.extend(leaves))
    if audit.mode is VerifierMode.FULL:
        zone = ZoneInfo(walk.ledger.time_zone)
        buckets = Buckets(zone, walk.ledger.rollup_minutes)
        _add(walk.folded, fold_images((row.image for row in rows), buckets=buckets))
    _load_documents(cursor, walk, rows)
    walk.replay.feed((row.seq, row.image) for row in rows)


def _grow_tree(walk: _Walk, rows: Sequence[Sealed]) -> None:
    """Adds the leaves, looking at the root wherever a checkpoint was signed."""
    first, done = walk.tree.size, 0
    for size in walk.sizes:
        if first < size <= first + len(rows):
            walk.tree.extend([row.leaf for row in rows[done : size - first]])
            done = size - first
            walk.heads[size] = walk.tree.root(), rows[done - 1].chain
    walk.tree.extend([row.leaf for row in rows[done:]])


def _check_tiles(cursor: Any, walk: _Walk, filled: Sequence[Tile]) -> None:
    for level in sorted({tile.level for tile in filled}):
        own = [tile for tile in filled if tile.level == level]
        try:
            stored = read_full_tiles(
                cursor,
                ledger_id=walk.ledger.id,
                level=level,
                first=own[0].index,
                count=len(own),
            )
        except TileMissing as gone:
            name = str(gone.fields["tile"])
            _say(walk.audit, "tile_missing", f"tile {name}", str(len(own)), "fewer")
            continue
        for tile, found in zip(own, stored, strict=True):
            if tile.hashes != found:
                place = _first_other(tile.hashes, found)
                seq = (tile.index * TILE_WIDTH + place) * TILE_WIDTH**level + 1
                expected, wrong = (
                    each[place * 32 : place * 32 + 32].hex() for each in (tile.hashes, found)
                )
                name = f"tile {level}/{tile.index}, hash {place}"
                walk.audit.findings.append(
                    Finding("tile_changed", seq, "", name, expected, wrong)
                )


def _first_other(left: bytes, right: bytes) -> int:
    return next(place for place, (a, b) in enumerate(zip(left, right)) if a != b) // 32  # noqa: B905 - a tile of another length differs before its end


def _load_documents(cursor: Any, walk: _Walk, rows: Sequence[Sealed]) -> None:
    wanted = {verify.doc_of(row.image) for row in rows} - {b""}
    walk.documents.clear()
    if not wanted:
        return
    walk.documents.update(audit_rows.read_documents(cursor, wanted))
    for row in rows:
        if int.from_bytes(row.image[20:22], "big") != Kind.ENVELOPE_CHANGE:
            continue
        try:
            change = verify.change_of(json.loads(walk.documents[verify.doc_of(row.image)]))
        except (KeyError, ValueError, TypeError):
            continue  # the replay names it
        walk.roots[change.envelope] = change.root


def _name_changed(walk: _Walk) -> None:
    """Which entries were changed? Swapped values are looked for among the changed ones."""
    images = [row.image for row in walk.changed[:10]]
    for row in walk.changed[:FINDINGS_MAX]:
        walk.audit.findings.append(
            changed_entry(seq=row.seq, image=row.image, leaf=row.leaf, others=images)
        )


def _check_state(cursor: Any, walk: _Walk) -> None:
    cursor.execute(
        "SELECT chain, ranges FROM ledger_seal_state WHERE ledger_id = %s", [walk.ledger.id]
    )
    row = cursor.fetchone()
    if row is None:
        return
    ranges = walk.frontier.compact().to_bytes()
    for column, expected, found in (
        ("chain", walk.chain, bytes(row[0])),
        ("ranges", ranges, bytes(row[1])),
    ):
        if expected != found:
            _say(walk.audit, "seal_state", column, expected.hex(), found.hex())


def _check_checkpoints(
    walk: _Walk,
    checkpoints: Sequence[tuple[int, bytes, bytes, str]],
    *,
    kept: Sequence[verify.Checkpoint],
    keys: Sequence[VerifierKey],
) -> None:
    audit = walk.audit
    known = [verify.Key(key.name, key.key_id, key.public) for key in keys]
    for own in kept:
        head = walk.heads.get(own.size)
        if head is not None and head[0] != own.root:
            what = f"the ledger no longer extends the checkpoint kept at {own.size}"
            _say(audit, "history_rewritten", "root", own.root.hex(), head[0].hex(), what)
    for size, root, chain, note in checkpoints:
        if size < audit.from_seq:
            continue
        if size > audit.size:
            _say(audit, "ledger_shorter", "size", f">= {size}", str(audit.size), _OLDER)
            continue
        for fault in _note_faults(walk, size, root, chain, note, known):
            _say(audit, *fault, f"checkpoint at {size}")
    audit.note = checkpoints[-1][3] if checkpoints else ""
    for seq, uid, body in walk.replay.references:
        head = walk.heads.get(int(body["size"]))
        stated = bytes.fromhex(body["root"]), bytes.fromhex(body["chain"])
        if head is not None and head[1] and head != stated:
            audit.findings.append(
                Finding("checkpoint_ref", seq, uid, "doc", head[0].hex(), body["root"])
            )


def _note_faults(
    walk: _Walk, size: int, root: bytes, chain: bytes, note: str, known: Sequence[verify.Key]
) -> Iterator[tuple[str, str, str, str]]:
    head = walk.heads.get(size)
    try:
        stated = verify.Checkpoint.parse(note)
    except verify.NoteError as error:
        yield "note_malformed", "note", "a signed note", str(error)
        return
    if (stated.origin, stated.size) != (walk.ledger.origin, size):
        found = f"{stated.origin} {stated.size}"
        yield "checkpoint_changed", "note", f"{walk.ledger.origin} {size}", found
    if head is not None and not head[0] == stated.root == root:
        wrong = stated.root if stated.root != head[0] else root
        yield "checkpoint_changed", "root", head[0].hex(), wrong.hex()
    if head is not None and head[1] and head[1] != chain:
        yield "checkpoint_changed", "chain", head[1].hex(), chain.hex()
    right, wrong_keys = stated.signers(known)
    if wrong_keys or not right:
        signed = ", ".join(f"{name}+{key_id.hex()}" for name, key_id, _ in stated.lines)
        expected = ", ".join(str(key) for key in known)
        yield "signature_invalid", "note", f"a signature of {expected}", signed


def _check_older(cursor: Any, walk: _Walk) -> None:
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
    _name_changed(walk)
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


def _check_rollups(cursor: Any, walk: _Walk) -> None:
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
            _say(walk.audit, "rollup_drift", f"{table}.{column}", right, wrong, cell)


def _finish_replay(cursor: Any, walk: _Walk) -> None:
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


def _add(total: Folded, more: Folded) -> None:
    for cells, extra in ((total.hours, more.hours), (total.days, more.days)):
        for place, sums in extra.items():
            present = cells.get(place)
            cells[place] = (
                sums if present is None else Increments(*map(int.__add__, present, sums))
            )


def _checkpoints(cursor: Any, ledger_id: int) -> list[tuple[int, bytes, bytes, str]]:
    cursor.execute(
        "SELECT size, root, chain, note FROM ledger_checkpoint WHERE ledger_id = %s"
        " ORDER BY size",
        [ledger_id],
    )
    return [(size, bytes(root), bytes(chain), note) for size, root, chain, note in cursor]


def _chain_at(cursor: Any, ledger: LedgerRow, seq: int) -> bytes:
    if not seq:
        return chain_start(ledger.origin)
    cursor.execute(
        "SELECT chain FROM ledger_seal WHERE ledger_id = %s AND seq = %s", [ledger.id, seq]
    )
    row = cursor.fetchone()
    return bytes(row[0]) if row else b""


def _say(
    audit: Audit, code: str, column: str, expected: str, found: str, what: str = ""
) -> None:
    audit.findings.append(Finding(code, 0, "", column, expected, found, what))
