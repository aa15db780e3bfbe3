"""What shows while one walks along all entries: leaf, link, tree, tiles, documents, invariants?

A chunk at a time, in sealed order, through the functions of the offline verifier. What is found
is said in `Audit`; what is carried from chunk to chunk stands in `Walk`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from ledger.core import verify
from ledger.core.chain import chain_start
from ledger.core.entry import Kind
from ledger.core.rollup import Buckets, Folded, Increments, fold_images
from ledger.core.tiles import TILE_WIDTH, Frontier, Tile
from ledger.operations.record_verification import VerifierMode
from ledger.queries import audit_rows
from ledger.queries.audit_rows import Sealed
from ledger.queries.integrity import Finding, changed_entry, find_missing
from ledger.queries.ledgers import LedgerRow
from ledger.queries.tree import TileMissing, read_frontier, read_full_tiles

Progress = Callable[[int, int], None]
"""Hears (positions checked, positions in all)."""

Signed = tuple[int, bytes, bytes, str]
"""size, root, chain and note of a checkpoint row."""

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
class Walk:
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


def begin(
    cursor: Any,
    ledger: LedgerRow,
    audit: Audit,
    *,
    kept: Sequence[verify.Checkpoint],
    checkpoints: Sequence[Signed],
) -> Walk:
    """Where does the walk start: at the first entry, or at the own checkpoint?"""
    start = audit.from_seq
    sizes = {size for size, *_ in checkpoints} | {own.size for own in kept}
    frontier = read_frontier(cursor, ledger_id=ledger.id, size=start) if start else Frontier()
    compact = frontier.compact()
    documents: dict[bytes, bytes] = {}
    whole = verify.Coverage.PART if start else verify.Coverage.WHOLE
    chain = _chain_at(cursor, ledger, start)
    return Walk(
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


def walk_entries(cursor: Any, walk: Walk, progress: Progress) -> bool:
    """Everything from the start to the end; false when it broke off at a gap."""
    audit, ledger = walk.audit, walk.ledger
    after = audit.from_seq
    while after < audit.size:
        upto = min(after + audit_rows.CHUNK, audit.size)
        rows, gap = audit_rows.read_chunk(cursor, ledger_id=ledger.id, after=after, upto=upto)
        _check_chunk(cursor, walk, rows)
        if gap is not None:
            audit.findings.append(find_missing(cursor, ledger_id=ledger.id, seq=gap))
            name_changed(walk)
            return False
        after = upto
        progress(after, audit.size)
    name_changed(walk)
    return True


def _check_chunk(cursor: Any, walk: Walk, rows: Sequence[Sealed]) -> None:
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


def _grow_tree(walk: Walk, rows: Sequence[Sealed]) -> None:
    """Adds the leaves, looking at the root wherever a checkpoint was signed."""
    first, done = walk.tree.size, 0
    for size in walk.sizes:
        if first < size <= first + len(rows):
            walk.tree.extend([row.leaf for row in rows[done : size - first]])
            done = size - first
            walk.heads[size] = walk.tree.root(), rows[done - 1].chain
    walk.tree.extend([row.leaf for row in rows[done:]])


def _check_tiles(cursor: Any, walk: Walk, filled: Sequence[Tile]) -> None:
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
            say(walk.audit, "tile_missing", f"tile {name}", str(len(own)), "fewer")
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


def _load_documents(cursor: Any, walk: Walk, rows: Sequence[Sealed]) -> None:
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


def name_changed(walk: Walk) -> None:
    """Which entries were changed? Swapped values are looked for among the changed ones."""
    images = [row.image for row in walk.changed[:10]]
    for row in walk.changed[:FINDINGS_MAX]:
        walk.audit.findings.append(
            changed_entry(seq=row.seq, image=row.image, leaf=row.leaf, others=images)
        )


def _add(total: Folded, more: Folded) -> None:
    for cells, extra in ((total.hours, more.hours), (total.days, more.days)):
        for place, sums in extra.items():
            present = cells.get(place)
            cells[place] = (
                sums if present is None else Increments(*map(int.__add__, present, sums))
            )


def _chain_at(cursor: Any, ledger: LedgerRow, seq: int) -> bytes:
    if not seq:
        return chain_start(ledger.origin)
    cursor.execute(
        "SELECT chain FROM ledger_seal WHERE ledger_id = %s AND seq = %s", [ledger.id, seq]
    )
    row = cursor.fetchone()
    return bytes(row[0]) if row else b""


def say(
    audit: Audit, code: str, column: str, expected: str, found: str, what: str = ""
) -> None:
    """Adds a finding that belongs to no single entry."""
    audit.findings.append(Finding(code, 0, "", column, expected, found, what))
