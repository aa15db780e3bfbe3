"""Do the rows still say what was hashed, and do the sums still say what the rows say?

Reads the wire image of each entry, the bytes of a binary COPY, and hashes them untouched. A
range costs a few microseconds an entry, so that a verifier keeps up with the sealer.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from ledger.core.canonical import reader_of
from ledger.core.chain import LEAF_PREFIX, LINK_PREFIX, chain_start
from ledger.core.entry import COLUMNS_V1
from ledger.core.merkle import root
from ledger.core.rollup import Increments
from ledger.queries.tampering import find_changed_column

_COLUMNS: Final = sql.SQL(", ").join(
    sql.SQL("e.{}").format(sql.Identifier(column.name)) for column in COLUMNS_V1
)
_COPY_HEAD_BYTES: Final = 19
_IMAGE_HEAD: Final = LEAF_PREFIX + len(COLUMNS_V1).to_bytes(2, "big")
# leaf, chain and seq stand behind the image, each after its length word.
_IMAGE: Final = slice(2, -84)
_LEAF: Final = slice(-80, -48)
_CHAIN: Final = slice(-44, -12)
_SEQ: Final = slice(-8, None)
_UID: Final = slice(26, 42)
_SUMS: Final = reader_of(*Increments._fields)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is the first thing that does not hold, and where?

    `code`: entry_changed, entry_missing, chain_broken, rollup_drift, balance_drift, …
    `column` is empty where it cannot be derived; `expected` and `found` are text.
    """

    code: str
    seq: int
    uid: str
    column: str
    expected: str
    found: str
    what: str = ""
    """One English clause for a person; the code is for programs."""

    def line(self) -> str:
        """How is the finding said in one line?"""
        place = f"seq {self.seq}" if self.seq else "the ledger"
        entry = f", entry {self.uid}" if self.uid else ""
        column = f", column {self.column}" if self.column else ""
        what = f" ({self.what})" if self.what else ""
        return (
            f"{self.code}: {place}{entry}{column}{what}:"
            f" expected {self.expected}, found {self.found}"
        )

    def as_json(self) -> dict[str, object]:
        """How is the finding kept and shown?"""
        return {
            "code": self.code,
            "seq": self.seq,
            "uid": self.uid,
            "column": self.column,
            "expected": self.expected,
            "found": self.found,
            "what": self.what,
        }


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """What did a range of positions add up to, and where did its chain end?

    On a finding the sums and the chain are those before it.
    """

    upto: int
    chain: bytes
    sums: tuple[int, ...]
    finding: Finding | None = None
    root: bytes = b""


ZERO_SUMS: Final = (0,) * len(Increments._fields)


def check_range(
    cursor: Any, *, ledger_id: int, origin: str, after: int, upto: int
) -> RangeCheck:
    """Do the entries at positions (after, upto] have their leaves and their links?

    The link at `after` is taken as it stands: who checks from 0 trusts nothing. Needs a
    connection in autocommit: a difference ends the stream early, which is a cancelled query.
    """
    return _check(cursor, (ledger_id, origin, after, upto), keep=None)


def sum_range(cursor: Any, *, ledger_id: int, origin: str, after: int, upto: int) -> RangeCheck:
    """As `check_range`, and what do the images add up to? In `sums`, before any finding."""
    counted: list[tuple[int, ...]] = []
    unpack, add = _SUMS.unpack_from, counted.append
    checked = _check(
        cursor, (ledger_id, origin, after, upto), keep=lambda row: add(unpack(row))
    )
    return replace(checked, sums=tuple(map(sum, zip(*counted, strict=True))) or ZERO_SUMS)


def check_tree(
    cursor: Any, *, ledger_id: int, origin: str, after: int, upto: int
) -> RangeCheck:
    """As `check_range`, and which root has the tree of the leaves? In `root`."""
    leaves: list[bytes] = []
    add = leaves.append
    checked = _check(cursor, (ledger_id, origin, after, upto), keep=lambda row: add(row[_LEAF]))
    return replace(checked, root=root(leaves))


Keep = Callable[[bytes], None]


def _check(cursor: Any, place: tuple[int, str, int, int], *, keep: Keep | None) -> RangeCheck:
    ledger_id, origin, seq, upto = place
    head = _chain_at(cursor, ledger_id=ledger_id, origin=origin, seq=seq)
    if head is None:
        finding = Finding("seal_missing", seq, "", "chain", "a chain hash", "none")
        return RangeCheck(seq, b"", ZERO_SUMS, finding)
    rows = _stream(cursor, ledger_id=ledger_id, after=seq, upto=upto)
    prefix = LINK_PREFIX
    # Inline and flat: this loop runs over every entry there is, all day.
    for row in rows:
        leaf = row[_LEAF]
        linked = sha256(prefix + head + leaf).digest()
        if (
            sha256(_IMAGE_HEAD + row[_IMAGE]).digest() != leaf
            or linked != row[_CHAIN]
            or int.from_bytes(row[_SEQ]) != seq + 1
        ):
            rows.close()  # ends the COPY: the connection is needed to name what is missing
            finding = _name(cursor, ledger_id, row, seq=seq, head=head)
            return RangeCheck(seq, head, ZERO_SUMS, finding)
        head = linked
        seq += 1
        if keep is not None:
            keep(row)
    if seq != upto:
        missing = find_missing(cursor, ledger_id=ledger_id, seq=seq + 1)
        return RangeCheck(seq, head, ZERO_SUMS, missing)
    return RangeCheck(upto, head, ZERO_SUMS)


def drain_range(cursor: Any, *, ledger_id: int, after: int, upto: int) -> int:
    """How many entries come over the wire for these positions? What checking adds to."""
    count = 0
    for _ in _stream(cursor, ledger_id=ledger_id, after=after, upto=upto):
        count += 1
    return count


def changed_entry(
    *, seq: int, image: bytes, leaf: bytes, others: Sequence[bytes] = ()
) -> Finding:
    """What is said about an entry whose image does not hash to its leaf?"""
    uid = str(UUID(bytes=image[_UID])) if len(image) > _UID.stop else ""
    changed = find_changed_column(image=image, leaf=leaf, others=others)
    if changed is None:
        found = sha256(LEAF_PREFIX + image).hexdigest()
        what = "the entry's bytes do not hash to its leaf"
        return Finding("entry_changed", seq, uid, "", leaf.hex(), found, what)
    what = "put back, the entry hashes to its leaf again"
    return Finding(
        "entry_changed", seq, uid, changed.column, changed.expected, changed.found, what
    )


def sum_rollups(cursor: Any, *, ledger_id: int, table: str) -> tuple[int, ...]:
    """What do all cells of this rollup table sum up to, in the order of `Increments`?"""
    sums = sql.SQL(", ").join(
        sql.SQL("coalesce(sum({}), 0)::bigint").format(sql.Identifier(name))
        for name in Increments._fields
    )
    cursor.execute(
        sql.SQL("SELECT {} FROM {} WHERE ledger_id = {}").format(
            sums, sql.Identifier(table), sql.Literal(ledger_id)
        )
    )
    row: tuple[int, ...] = cursor.fetchone()
    return row


def compare_sums(
    *, table: str, seq: int, expected: tuple[int, ...], found: tuple[int, ...]
) -> Finding | None:
    """Which column of the rollup drifted first, if any?"""
    for name, right, wrong in zip(Increments._fields, expected, found, strict=True):
        if right != wrong:
            return Finding("rollup_drift", seq, "", f"{table}.{name}", str(right), str(wrong))
    return None


def _name(cursor: Any, ledger_id: int, row: bytes, *, seq: int, head: bytes) -> Finding:
    """Which of the three does not hold: position, leaf, link?"""
    found = int.from_bytes(row[_SEQ])
    if found != seq + 1:
        return find_missing(cursor, ledger_id=ledger_id, seq=seq + 1)
    image, leaf, chain = _IMAGE_HEAD[1:] + row[_IMAGE], row[_LEAF], row[_CHAIN]
    if sha256(LEAF_PREFIX + image).digest() != leaf:
        return changed_entry(seq=found, image=image, leaf=leaf)
    linked = sha256(LINK_PREFIX + head + leaf).hexdigest()
    uid = str(UUID(bytes=row[_UID]))
    return Finding("chain_broken", found, uid, "chain", linked, chain.hex())


def _stream(
    cursor: Any, *, ledger_id: int, after: int, upto: int
) -> Generator[bytes, None, None]:
    statement = sql.SQL(
        "COPY (SELECT {columns}, e.leaf, s.chain, s.seq FROM ledger_seal s"
        " JOIN ledger_entry e ON e.recorded_at = s.recorded_at AND e.id = s.entry_id"
        " WHERE s.ledger_id = {ledger} AND s.seq > {after} AND s.seq <= {upto}"
        " ORDER BY s.seq) TO STDOUT (FORMAT binary)"
    ).format(
        columns=_COLUMNS,
        ledger=sql.Literal(ledger_id),
        after=sql.Literal(after),
        upto=sql.Literal(upto),
    )
    with cursor.copy(statement) as copy:
        skip = _COPY_HEAD_BYTES
        for message in copy:
            # The header comes glued to the first row, the two trailing bytes come alone.
            row = bytes(message)[skip:]
            skip = 0
            if len(row) > 2:
                yield row


def _chain_at(cursor: Any, *, ledger_id: int, origin: str, seq: int) -> bytes | None:
    if seq == 0:
        return chain_start(origin)
    cursor.execute(
        "SELECT chain FROM ledger_seal WHERE ledger_id = %s AND seq = %s", [ledger_id, seq]
    )
    row = cursor.fetchone()
    return bytes(row[0]) if row else None


def find_missing(cursor: Any, *, ledger_id: int, seq: int) -> Finding:
    """Which entry should stand here? Its key row may still name it."""
    cursor.execute(
        "SELECT s.entry_id, i.uid FROM ledger_seal s LEFT JOIN ledger_idem i"
        " ON i.ledger_id = s.ledger_id AND i.entry_id = s.entry_id"
        " WHERE s.ledger_id = %s AND s.seq = %s",
        [ledger_id, seq],
    )
    row = cursor.fetchone()
    if row is None:
        return Finding("seal_missing", seq, "", "seq", "a sealed position", "none")
    return Finding("entry_missing", seq, str(row[1] or ""), "", f"entry id {row[0]}", "none")
