"""Is this ledger what its checkpoints say, and did every rule hold, by the bytes alone?

    python verify.py DIR [--trust FILE] [--json]        exit 0 clean, 1 differs, 2 usage

This is the offline verifier in one file, copied into every bundle: standard library only
(Python 3.10 or newer), nothing of o10. It is long on purpose: an auditor reads one file and
trusts no other. `ledger_verify` feeds the same functions from the database: `check_leaves`,
`check_chain`, `Tree`, `Replay`. The layout of a bundle is in docs/algorithms/bundle.md, the
eight invariants in docs/algorithms/invariants.md.

ENVELOPE_CHANGE_DOC, the document of an entry of kind 1, from which caps and paths are replayed:
    {"envelope": 12, "parent": 4 (0 or null = none), "root": 1,
     "period": {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
     "cap_nanos": 50000000000 (null = nothing is enforced here), "limit_nanos": as cap, or the
     exposure at the time of a cut below it, "public": "env_…" (optional)} and any other keys.
    Integers beyond 2^53 are decimal strings. A parent never changes. Every level of a path has
    one such document for each period, written no later than the first entry in it; a later one
    of the same envelope and period replaces end, cap and limit.
PERIOD_CLOSE_DOC (kind 29): {"period": "2026-10", "start", "end", "balances_root": hex} and, in
    closes after which nothing may move the period any more, "late": "open_period", "lines":
    number of closing balances, "size", "root", "chain": a checkpoint that covers the period,
    "entries", "settled_nanos", "last_seq": what was effective in it.
CHECKPOINT_REF_DOC (kind 30): {"size", "root": hex, "chain": hex}.

Units: nanos of the ledger's currency; instants are microseconds since 2000-01-01T00:00:00Z.
Source: RFC 6962, RFC 8032, C2SP signed-note, tlog-checkpoint and tlog-tiles.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import struct
import sys
import uuid
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

FORMAT: Final = "o10-bundle-v1"
TILE: Final = 256
FINDINGS_MAX: Final = 1000
RECENT_MICROS: Final = 60 * 1_000_000
ZERO16: Final = bytes(16)
EPOCH: Final = datetime(2000, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - runs on 3.10
# Every zone's offset since 2000 is a whole number of quarter hours, so months begin on one.
_SLOT: Final = 15 * 60 * 1_000_000
EMPTY_ROOT: Final = sha256().digest()

# Codes of kinds and flags that the rules look at; docs/algorithms/canonical-image.md has all.
ENVELOPE_CHANGE: Final = 1
RESERVE: Final = 2
SETTLE: Final = 4
RELEASE: Final = 5
EXPIRE: Final = 6
OVERRUN: Final = 7
REVERSAL: Final = 8
ADJUST: Final = 9
LEASE: Final = 10
LEASE_RETURN: Final = 11
WRITE_OFF: Final = 12
USAGE: Final = 13
REVALUATION: Final = 14
COMMITMENT: Final = 16
RECONCILE: Final = 28
PERIOD_CLOSE: Final = 29
CHECKPOINT_REF: Final = 30
REGISTRY: Final = 32
UNGUARDED: Final = 1 << 7
LATE_SETTLE: Final = 1 << 8
PRIOR_PERIOD: Final = 1 << 15
LATE_RULE: Final = "open_period"

COLUMNS: Final = (
    "ver smallint, ledger_id integer, kind smallint, uid uuid, effective_at timestamptz,"
    " recorded_at timestamptz, envelope_id integer, use_case_id integer, dims_id integer,"
    " offer_id integer, venue_id integer, model_id integer, actor_id integer,"
    " amount_nanos bigint, held_nanos bigint, unsettled_nanos bigint, reserved_nanos bigint,"
    " counter_nanos bigint, n integer, tok_in bigint, tok_cache_read bigint,"
    " tok_cache_write bigint, tok_cache_write_1h bigint, tok_out bigint, tok_reasoning bigint,"
    " latency_ms integer, price_version integer, policy_version integer, decision uuid,"
    " reservation uuid, lease uuid, parent uuid, attempt smallint, flags integer,"
    " env_version bigint, reverses uuid, doc bytea, ref text"
)
COLUMN_TYPES: Final = tuple(tuple(column.split()) for column in COLUMNS.split(", "))
_CODES: Final = {
    "smallint": ("h", 2),
    "integer": ("i", 4),
    "bigint": ("q", 8),
    "timestamptz": ("q", 8),
    "uuid": ("16s", 16),
}
_FIXED: Final = tuple(column for column in COLUMN_TYPES if column[1] in _CODES)
HEAD: Final = 412
SHORTEST: Final = 420
UID: Final = 26
# The lowest byte of the length word of `doc`.
DOC_LENGTH: Final = HEAD + 3

# Per kind: which sign may amount, held and unsettled have? "" means zero.
_BOTH, _UP, _DOWN, _NONE = "+-", "+", "-", ""
EFFECTS: Final = {kind: (_NONE, _NONE, _NONE) for kind in range(1, REGISTRY + 1)} | {
    RESERVE: (_NONE, _UP, _NONE),
    SETTLE: (_UP, _DOWN, _DOWN),
    RELEASE: (_NONE, _DOWN, _NONE),
    EXPIRE: (_NONE, _DOWN, _UP),
    OVERRUN: (_UP, _NONE, _NONE),
    REVERSAL: (_BOTH, _BOTH, _BOTH),
    ADJUST: (_BOTH, _NONE, _NONE),
    LEASE: (_NONE, _UP, _NONE),
    LEASE_RETURN: (_NONE, _DOWN, _NONE),
    WRITE_OFF: (_NONE, _NONE, _DOWN),
    USAGE: (_BOTH, _NONE, _NONE),
    REVALUATION: (_BOTH, _NONE, _NONE),
    COMMITMENT: (_BOTH, _NONE, _NONE),
    RECONCILE: (_BOTH, _NONE, _NONE),
}


class Finding(NamedTuple):
    """What differs: which check, at which entry or file, expected and found?"""

    check: str
    what: str
    expected: str
    found: str
    seq: int | None = None
    uid: str = ""
    where: str = ""

    def line(self) -> str:
        """How is the finding said in one line?"""
        place = f"seq {self.seq}" if self.seq is not None else self.where
        entry = f" entry {self.uid}" if self.uid else ""
        return (
            f"{self.check}: {place}{entry}: {self.what}:"
            f" expected {self.expected}, found {self.found}"
        )


class Coverage(Enum):
    """Does the range begin with the first entry of the ledger and miss none?"""

    WHOLE = "whole"
    PART = "part"
    """Sums of balances and holds can't be formed; what one entry shows is still checked."""


# ---- images ---------------------------------------------------------------------------


def _reader(*names: str) -> struct.Struct:
    layout = [">2x"]
    for name, kind in _FIXED:
        code, width = _CODES[kind]
        layout.append("4x" + code if name in names else f"{width + 4}x")
    return struct.Struct("".join(layout))


def _frame() -> tuple[int, int]:
    """Which bits of the fixed part are column count and length words, and what must they be?"""
    words, mask = [len(COLUMN_TYPES).to_bytes(2, "big")], [b"\xff\xff"]
    for _, kind in _FIXED:
        width = _CODES[kind][1]
        words.append(width.to_bytes(4, "big") + bytes(width))
        mask.append(b"\xff" * 4 + bytes(width))
    return int.from_bytes(b"".join(mask), "big"), int.from_bytes(b"".join(words), "big")


_FRAME_MASK, _FRAME = _frame()


class _Row(NamedTuple):
    """The columns of an image that the rules look at, in image order."""

    ver: int
    kind: int
    uid: bytes
    effective_at: int
    recorded_at: int
    envelope_id: int
    amount_nanos: int
    held_nanos: int
    unsettled_nanos: int
    n: int
    reservation: bytes
    lease: bytes
    attempt: int
    flags: int
    env_version: int
    reverses: bytes


_REPLAYED: Final = _reader(*_Row._fields)
_FLAGS: Final = _reader("flags")
_ALL_FIXED: Final = _reader(*(name for name, _ in _FIXED))


def image_fault(image: bytes) -> str:
    """Why are these bytes no image of version 1? Empty text when they are one."""
    if len(image) < SHORTEST:
        return f"{len(image)} bytes"
    if int.from_bytes(image[:HEAD], "big") & _FRAME_MASK != _FRAME:
        return "another column count or width"
    doc = int.from_bytes(image[HEAD : HEAD + 4], "big")
    start = HEAD + 4 + doc
    ref = int.from_bytes(image[start : start + 4], "big")
    if doc not in (0, 32) or start + 4 + ref != len(image):
        return "lengths of doc and ref that don't fit"
    return ""


def doc_of(image: bytes) -> bytes:
    """Which document hash does the image carry (empty = none)?"""
    return image[HEAD + 4 : HEAD + 36] if image[DOC_LENGTH] else b""


def fields_of(image: bytes) -> dict[str, Any]:
    """What are the fixed-width fields of the image, by column name?"""
    values = _ALL_FIXED.unpack_from(image)
    return {name: value for (name, _), value in zip(_FIXED, values, strict=True)}


def uid_text(raw: bytes) -> str:
    """How is the uid of an entry written?"""
    return str(uuid.UUID(bytes=raw))


def _uid_in(image: bytes) -> str:
    return uid_text(image[UID : UID + 16]) if len(image) >= SHORTEST else ""


def micros(text: str) -> int:
    """Which instant does this RFC 3339 text name?"""
    gap = datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return gap // timedelta(microseconds=1)


def instant(value: int) -> str:
    """How is this instant written?"""
    return (EPOCH + timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")


# ---- leaves, chain, tree --------------------------------------------------------------


def leaf_of(image: bytes) -> bytes:
    """What is the leaf hash of this image?"""
    return sha256(b"\x00" + image).digest()


def chain_start(origin: str) -> bytes:
    """What is the chain hash of the empty ledger of this origin?"""
    return sha256(b"o10-chain-v1\n" + origin.encode() + b"\n").digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """What is the RFC 6962 root of these hashes?"""
    level = list(leaves)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        odd = level.pop() if len(level) % 2 else None
        rest = iter(level)
        level = [sha256(b"\x01" + a + b).digest() for a, b in zip(rest, rest, strict=True)]
        if odd is not None:
            level.append(odd)
    return level[0]


def check_leaves(rows: Iterable[tuple[int, bytes, bytes]]) -> Iterator[Finding]:
    """Is each stored leaf the hash of its image? Rows are (seq, image, stored leaf)."""
    for seq, image, stored in rows:
        found = sha256(b"\x00" + image).digest()
        if found != stored:
            what = "the entry's bytes don't hash to its leaf"
            yield Finding("leaf", what, stored.hex(), found.hex(), seq, _uid_in(image))


def check_chain(
    rows: Iterable[tuple[int, bytes, bytes]], *, previous: bytes, first: int = 1
) -> Iterator[Finding]:
    """Is each stored chain hash the link of the one before and the leaf, seq by seq?

    Rows are (seq, leaf, stored chain hash), `previous` the chain hash before seq `first`. A
    wrong link is named once: the walk goes on from the stored hash.
    """
    for expected_seq, (seq, leaf, stored) in enumerate(rows, start=first):
        if seq != expected_seq:
            what = "the sequence isn't contiguous"
            yield Finding("seq", what, str(expected_seq), str(seq), seq)
            return
        found = sha256(b"\x02" + previous + leaf).digest()
        if found != stored:
            what = "the link doesn't follow from its leaf"
            yield Finding("chain", what, found.hex(), stored.hex(), seq)
        previous = stored


class Tree:
    """Which root has the tree after each leaf? Holds one hash for each set bit of its size."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append leaf hashes; aligned runs are hashed level by level."""
        start = 0
        while start < len(leaves):
            width = 1 << ((len(leaves) - start).bit_length() - 1)
            if self.size:
                width = min(width, self.size & -self.size)
            subtree, level = root_of(leaves[start : start + width]), width
            while self.size & level:
                subtree = sha256(b"\x01" + self.hashes.pop() + subtree).digest()
                level *= 2
            self.hashes.append(subtree)
            self.size += width
            start += width

    def root(self) -> bytes:
        """What is the root now?"""
        if not self.hashes:
            return EMPTY_ROOT
        total = self.hashes[-1]
        for wider in reversed(self.hashes[:-1]):
            total = sha256(b"\x01" + wider + total).digest()
        return total


# ---- invariants -----------------------------------------------------------------------

Report = Callable[[Finding], None]
Place = tuple[int, int]
"""An envelope and the start of one of its periods."""


class Change(NamedTuple):
    """What does one ENVELOPE_CHANGE_DOC say?"""

    envelope: int
    parent: int
    root: int
    start: int
    end: int
    cap: int | None
    limit: int | None
    public: str


def change_of(body: Mapping[str, Any]) -> Change:
    """What does this document say? KeyError, TypeError or ValueError when it isn't one."""
    period, cap, limit = body["period"], body["cap_nanos"], body["limit_nanos"]
    change = Change(
        envelope=int(body["envelope"]),
        parent=int(body["parent"] or 0),
        root=int(body["root"]),
        start=micros(period["start"]),
        end=micros(period["end"]),
        cap=None if cap is None else int(cap),
        limit=None if limit is None else int(limit),
        public=str(body.get("public", "")),
    )
    if change.end <= change.start or change.envelope <= 0:
        raise ValueError("an empty period or no envelope")
    return change


class Balance(NamedTuple):
    """What do the entries of one envelope and period add up to (nanos)?"""

    settled: int
    held: int
    unsettled: int
    unguarded: int


class _Moved(NamedTuple):
    """One entry that changes exposure, or what an envelope may spend."""

    seq: int
    row: _Row
    net: int
    change: Change | None


class _Node:
    """One envelope in one period: cap, limit and the two exposures of I1."""

    __slots__ = ("cap", "end", "envelope", "exposure", "guarded", "limit", "start")

    def __init__(self, change: Change) -> None:
        self.envelope, self.start, self.end = change.envelope, change.start, change.end
        self.cap: int | None = None
        self.limit: int | None = None
        self.exposure = self.guarded = 0


class _Route(NamedTuple):
    """The levels of one envelope while none of their periods changes, and their sums."""

    start: int
    end: int
    nodes: list[_Node]
    total: list[int]


class _Versions:
    """The exposure changes of one tree: grouped by version, applied without a gap."""

    __slots__ = ("due", "groups", "run")

    def __init__(self) -> None:
        self.due = 1
        self.run: list[_Moved] = []
        self.groups: dict[int, list[_Moved]] = {}


class Exposure:
    """Did guarded exposure ever pass a limit, or a reservation a cap (I1)?

    Entries come in seq order but exposure changes in the order of `env_version`, which counts
    from 1 without a gap in each tree. All entries of one version are one transaction, hence
    adjacent in the tree's part of the sequence: a version is complete when another one begins.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._parents: dict[int, int] = {0: 0}
        self._roots: dict[int, int] = {0: 0}
        self._starts: dict[int, list[int]] = {}
        self._nodes: dict[Place, _Node] = {}
        self._trees: dict[int, _Versions] = {}
        self._queue: deque[_Moved] = deque()
        self._cells: dict[tuple[Place, ...], list[int]] = {}
        self._routes: dict[int, _Route] = {}
        self._unplaced: list[tuple[int, _Row, int]] = []
        self._newest = 0
        self.publics: dict[str, int] = {}

    def add(self, moved: _Moved) -> None:
        """Take one entry with an env_version, in seq order."""
        change = moved.change
        if change is not None:
            self._learn(change, moved)
        if moved.row.recorded_at > self._newest:
            self._newest = moved.row.recorded_at
        self._queue.append(moved)
        # The document of an envelope may be sealed after an entry that waited for its lock:
        # what belongs to no known tree yet holds up the rest, so that groups stay together.
        queue, roots = self._queue, self._roots
        while queue and queue[0].row.envelope_id in roots:
            self._group(queue.popleft())

    def place(self, seq: int, row: _Row, net: int) -> None:
        """Add one entry's effects to the balances of its path."""
        route = self._route(row.envelope_id, row.effective_at)
        if route is None:
            self._unplaced.append((seq, row, net))
            return
        total = route.total
        total[0] += row.amount_nanos
        total[1] += row.held_nanos
        total[2] += row.unsettled_nanos
        if row.flags & UNGUARDED:
            total[3] += net

    def place_waiting(self) -> None:
        """Add what waited for the document of its envelope or period, where that came since."""
        waiting, self._unplaced = self._unplaced, []
        for seq, row, net in waiting:
            self.place(seq, row, net)

    def balances(self) -> dict[Place, Balance]:
        """What do all entries so far add up to, by envelope and start of its period?"""
        sums: dict[Place, list[int]] = {place: [0] * 4 for place in self._nodes}
        for places, total in self._cells.items():
            for place in places:
                present = sums.setdefault(place, [0] * 4)
                for column, value in enumerate(total):
                    present[column] += value
        return {place: Balance(*total) for place, total in sums.items()}

    def caps(self) -> dict[Place, int | None]:
        """Which cap has each envelope in each of its periods now?"""
        return {place: node.cap for place, node in self._nodes.items()}

    def ends(self) -> dict[Place, int]:
        """When does each period of each envelope end, as known now?"""
        return {place: node.end for place, node in self._nodes.items()}

    def end_of(self, place: Place) -> int:
        """When does the period end that starts there?"""
        return self._nodes[place].end

    def finish(self, unsealed: Collection[tuple[int, int]]) -> list[str]:
        """Apply what is left; say which versions are waited for. Gaps are findings."""
        # What names an unknown envelope is reported where its effects are placed, below.
        for moved in self._queue:
            if moved.row.envelope_id in self._roots:
                self._group(moved)
        self._queue.clear()
        self.place_waiting()
        for seq, row, _ in self._unplaced:
            found = f"envelope {row.envelope_id} at {instant(row.effective_at)}"
            what = "no envelope_change names the envelope and period"
            self._say(what, "one for each level of the path", found, seq, row.uid)
        notes: list[str] = []
        for root, tree in sorted(self._trees.items()):
            self._close_run(tree)
            notes += self._gap(root, tree, unsealed)
        return notes

    def _learn(self, change: Change, moved: _Moved) -> None:
        parent = self._parents.setdefault(change.envelope, change.parent)
        root = self._roots.setdefault(change.envelope, change.root)
        if (parent, root) != (change.parent, change.root):
            what = f"envelope {change.envelope} changed its parent or root"
            found = f"{change.parent} under {change.root}"
            self._say(what, f"{parent} under {root}", found, moved.seq, moved.row.uid)
        if change.public:
            self.publics[change.public] = change.envelope
        place = change.envelope, change.start
        if place not in self._nodes:
            self._nodes[place] = _Node(change)
            insort(self._starts.setdefault(change.envelope, []), change.start)
            self._routes.clear()
        elif self._nodes[place].end != change.end:
            self._nodes[place].end = change.end
            self._routes.clear()

    def _route(self, envelope: int, effective: int) -> _Route | None:
        """Which levels does spend of this envelope at this instant touch? None = unknown."""
        route = self._routes.get(envelope)
        if route is not None and route.start <= effective < route.end:
            return route
        nodes = self._path(envelope, effective)
        if nodes is None:
            return None
        places = tuple((node.envelope, node.start) for node in nodes)
        route = self._routes[envelope] = _Route(
            start=max((node.start for node in nodes), default=-(2**63)),
            end=min((node.end for node in nodes), default=2**63),
            nodes=nodes,
            total=self._cells.setdefault(places or ((0, 0),), [0] * 4),
        )
        return route

    def _nodes_of(self, row: _Row) -> Sequence[_Node]:
        route = self._route(row.envelope_id, row.effective_at)
        return () if route is None else route.nodes

    def _path(self, envelope: int, effective: int) -> list[_Node] | None:
        nodes: list[_Node] = []
        while envelope:
            starts = self._starts.get(envelope, [])
            place = bisect_right(starts, effective) - 1
            if place < 0 or len(nodes) > len(self._parents):
                return None
            node = self._nodes[envelope, starts[place]]
            if effective >= node.end:
                return None
            nodes.append(node)
            envelope = self._parents[envelope]
        return nodes

    def _group(self, moved: _Moved) -> None:
        tree = self._trees.setdefault(self._roots[moved.row.envelope_id], _Versions())
        if tree.run and tree.run[0].row.env_version != moved.row.env_version:
            self._close_run(tree)
        tree.run.append(moved)

    def _close_run(self, tree: _Versions) -> None:
        if not tree.run:
            return
        run, tree.run = tree.run, []
        version = run[0].row.env_version
        if version < tree.due or version in tree.groups:
            what = "two transactions carry one env_version"
            self._say(what, "a new one", str(version), run[0].seq, run[0].row.uid)
            return
        tree.groups[version] = run
        while tree.due in tree.groups:
            self._apply(tree.groups.pop(tree.due))
            tree.due += 1

    def _gap(
        self, root: int, tree: _Versions, unsealed: Collection[tuple[int, int]]
    ) -> list[str]:
        if not tree.groups:
            return []
        first = tree.groups[min(tree.groups)][0]
        missing = set(range(tree.due, max(tree.groups))) - set(tree.groups)
        recent = self._newest - first.row.recorded_at <= RECENT_MICROS
        if recent and all((root, version) in unsealed for version in missing):
            return [
                f"tree {root}: env_version {sorted(missing)} was committed but not yet sealed;"
                f" later changes of this tree wait for it (from seq {first.seq})"
            ]
        what, found = f"env_version of tree {root} has a gap", str(first.row.env_version)
        self._say(what, str(tree.due), found, first.seq, first.row.uid)
        return []

    def _apply(self, group: list[_Moved]) -> None:
        touched: dict[Place, tuple[_Node, _Moved]] = {}
        for moved in group:
            if moved.change is not None:
                node = self._nodes[moved.change.envelope, moved.change.start]
                node.cap, node.limit = moved.change.cap, moved.change.limit
                touched[node.envelope, node.start] = node, moved
        for moved in group:
            row, net = moved.row, moved.net
            for node in self._nodes_of(row) if net else ():
                node.exposure += net
                node.guarded += 0 if row.flags & UNGUARDED else net
                touched[node.envelope, node.start] = node, moved
        for node, moved in touched.values():
            limit = node.limit
            if limit is not None and node.guarded > limit:
                self._passed("guarded exposure", "limit", node, moved, node.guarded, limit)
        for moved in group:
            if moved.row.kind in (RESERVE, LEASE) and not moved.row.flags & UNGUARDED:
                self._admitted(moved, group)

    def _admitted(self, moved: _Moved, group: list[_Moved]) -> None:
        for node in self._nodes_of(moved.row):
            if node.cap is None or node.exposure <= node.cap:
                continue
            # Money that only changed place in its transaction, from a lease to a hold of its
            # own, was admitted before the cap was cut.
            guarded = (each for each in group if not each.row.flags & UNGUARDED)
            taken = sum(each.net for each in guarded if node in self._nodes_of(each.row))
            if taken > 0:
                self._passed("exposure", "cap", node, moved, node.exposure, node.cap)

    def _passed(
        self, what: str, bound: str, node: _Node, moved: _Moved, found: int, most: int
    ) -> None:
        where = f"envelope {node.envelope} from {instant(node.start)}"
        text = f"{what} passes the {bound} of {where} at version {moved.row.env_version}"
        self._say(text, f"at most {most}", str(found), moved.seq, moved.row.uid)

    def _say(self, what: str, expected: str, found: str, seq: int, uid: bytes) -> None:
        self._report(Finding("I1", what, expected, found, seq, uid_text(uid)))


class Lease:
    """One lease: its grants, what is left of them and what of it is unsettled (nanos)."""

    __slots__ = ("grants", "rest", "seq", "uid", "unsettled")

    def __init__(self) -> None:
        self.grants = self.rest = self.unsettled = self.seq = 0
        self.uid = ZERO16


class Hold:
    """One reservation: what its entries add up to (nanos) and how it ended."""

    __slots__ = (
        "attempts",
        "expiries",
        "held",
        "releases",
        "seq",
        "uid",
        "unsettled",
        "write_offs",
    )

    def __init__(self) -> None:
        self.held = self.unsettled = self.attempts = self.seq = 0
        self.releases = self.expiries = self.write_offs = 0
        self.uid = ZERO16


class Holds:
    """Does each lease and each reservation end once, with nothing left over (I2, I3)?"""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.leases: dict[bytes, Lease] = {}
        self.reservations: dict[bytes, Hold] = {}

    def lease(self, seq: int, row: _Row) -> None:
        """Take one entry that moves held or unsettled money of a lease."""
        lease = self.leases.get(row.lease)
        if lease is None:
            lease = self.leases[row.lease] = Lease()
        lease.seq, lease.uid = seq, row.uid
        lease.rest += row.held_nanos
        lease.unsettled += row.unsettled_nanos
        if row.kind == LEASE:
            lease.grants += 1
            if lease.grants > 1:
                self._say("I2", "a lease is granted twice", "one grant", "2", seq, row.uid)

    def reservation(self, seq: int, row: _Row) -> None:
        """Take one entry of a reservation."""
        hold = self.reservations.get(row.reservation)
        if hold is None:
            hold = self.reservations[row.reservation] = Hold()
        hold.seq, hold.uid = seq, row.uid
        # What an entry moves under a lease is the lease's, the rest is the hold's own.
        if row.lease == ZERO16:
            hold.held += row.held_nanos
            hold.unsettled += row.unsettled_nanos
        if row.kind == SETTLE:
            attempt = row.attempt & 0xFFFF
            if hold.attempts >> attempt & 1:
                what = f"attempt {attempt} of a reservation is settled twice"
                self._say("I3", what, "one settle", "2", seq, row.uid)
            hold.attempts |= 1 << attempt
        elif row.kind != RESERVE:
            self._end(hold, seq, row)

    def finish(self) -> None:
        """Are the sums of every lease and reservation what its ending allows?"""
        for lease in self.leases.values():
            if lease.rest < 0:
                what = "more left a lease than it was granted"
                self._say("I2", what, "0 or more", str(lease.rest), lease.seq, lease.uid)
            if lease.unsettled < 0:
                what, found = "more was resolved of a lease than expired", str(lease.unsettled)
                self._say("I2", what, "0 or more", found, lease.seq, lease.uid)
            if not lease.grants:
                what = "a lease was never granted"
                self._say("I2", what, "one grant", "none", lease.seq, lease.uid)
        for hold in self.reservations.values():
            ended = hold.releases or hold.expiries
            if hold.held < 0 or (ended and hold.held):
                expected, what = "0" if ended else "0 or more", "held money of a reservation"
                self._say("I3", what, expected, str(hold.held), hold.seq, hold.uid)
            closed = hold.write_offs or hold.releases
            if hold.unsettled < 0 or (closed and hold.unsettled > 0):
                expected = "0" if closed else "0 or more"
                what = "unsettled money of a reservation"
                self._say("I3", what, expected, str(hold.unsettled), hold.seq, hold.uid)

    def _end(self, hold: Hold, seq: int, row: _Row) -> None:
        hold.releases += row.kind == RELEASE
        hold.expiries += row.kind == EXPIRE
        hold.write_offs += row.kind == WRITE_OFF
        if hold.releases + hold.expiries > 1 or hold.write_offs > 1:
            self._say("I3", "a reservation ends twice", "one ending", "2", seq, row.uid)

    def _say(
        self, check: str, what: str, expected: str, found: str, seq: int, uid: bytes
    ) -> None:
        self._report(Finding(check, what, expected, found, seq, uid_text(uid)))


class Close(NamedTuple):
    """One period_close entry: its document, and balances and caps at that point."""

    seq: int
    uid: str
    start: int
    end: int
    body: Mapping[str, Any]
    balances: Mapping[Place, Balance]
    caps: Mapping[Place, int | None]
    ends: Mapping[Place, int]

    @property
    def is_final(self) -> bool:
        """Does nothing move the period any more, what comes late standing in a later one?"""
        return self.body.get("late") == LATE_RULE

    def places(self) -> list[Place]:
        """Which envelopes have a period of just this length, and so a closing balance?"""
        return [
            place
            for place, end in self.ends.items()
            if place[1] == self.start and end == self.end
        ]


Originals = Callable[[Collection[bytes]], Mapping[bytes, tuple[int, bytes]]]

_HOLD_KINDS: Final = frozenset({RESERVE, SETTLE, RELEASE, EXPIRE, REVERSAL, WRITE_OFF})
_READ_KINDS: Final = frozenset({ENVELOPE_CHANGE, PERIOD_CLOSE, CHECKPOINT_REF})
_DOCUMENTED: Final = _READ_KINDS | {REGISTRY}
_NEGATED: Final = (
    "amount_nanos unsettled_nanos counter_nanos n tok_in tok_cache_read tok_cache_write"
    " tok_cache_write_1h tok_out tok_reasoning"
).split()
_KEPT: Final = (
    "ledger_id effective_at envelope_id use_case_id dims_id offer_id venue_id model_id".split()
)


class Replay:
    """Which rule did the entries break? I1-I5 and I8, from images in seq order.

    `documents` maps a document hash to its canonical bytes, empty bytes = listed as pruned; a
    missing key is a finding. Feed all rows, then `finish` once. Findings stay in `findings`.
    """

    def __init__(
        self, *, documents: Mapping[bytes, bytes], coverage: Coverage = Coverage.WHOLE
    ) -> None:
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.closes: list[Close] = []
        self.references: list[tuple[int, str, Mapping[str, Any]]] = []
        self.registered: set[bytes] = set()
        self.count = 0
        self.exposure = Exposure(self._report)
        self.holds = Holds(self._report)
        self._documents = documents
        self._coverage = coverage
        self._uids: set[bytes] = set()
        self._reversals: dict[bytes, tuple[int, bytes]] = {}
        self._closed_until = -(2**63)
        self._final_until = -(2**63)
        self._spent: dict[int, int] = {}

    def feed(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Take entries (seq, image) in seq order; the order itself is for `check_chain`."""
        unpack, make = _REPLAYED.unpack_from, _Row._make
        whole = self._coverage is Coverage.WHOLE
        for seq, image in rows:
            self.count += 1
            fault = image_fault(image)
            if fault:
                self._say("image", "no image of version 1", "38 columns", fault, seq, b"")
                continue
            row = make(unpack(image))
            net = row.amount_nanos + row.held_nanos + row.unsettled_nanos
            self._identity(seq, row)
            if row.reverses != ZERO16 or row.kind == REVERSAL:
                self._reversal(seq, image, row)
            # Two of the three decide it: with a net of 0, held is minus the others.
            booked = net or row.amount_nanos or row.unsettled_nanos
            if booked or row.env_version:
                self._effects(seq, row, net)
            if booked and whole:
                self.exposure.place(seq, row, net)
                if row.amount_nanos:
                    slot = row.effective_at // _SLOT
                    self._spent[slot] = self._spent.get(slot, 0) + row.amount_nanos
            if whole:
                self._sums(seq, row)
            change = None
            if image[DOC_LENGTH] or row.kind in _DOCUMENTED:
                change = self._document(seq, row, doc_of(image))
            if row.env_version and whole:
                self.exposure.add(_Moved(seq, row, net, change))

    def finish(
        self, *, originals: Originals, unsealed: Collection[tuple[int, int]] = ()
    ) -> list[Finding]:
        """Check what only the end can show; all findings, first bad entry first.

        `originals` gives (seq, image) of reversed entries by uid; `unsealed` names versions
        (tree, env_version) known to be committed behind the last sealed entry.
        """
        self._check_reversals(originals)
        if self._coverage is Coverage.WHOLE:
            waiting = self.exposure.finish(unsealed)
            self.notes += waiting
            # Until the waited-for versions are sealed, a sum may lack its first summand.
            if not waiting:
                self.holds.finish()
                self._check_balances()
        else:
            self.notes.append("I1-I3 need all entries from the first: not checked for a part")
        self.findings.sort(key=by_place)
        return self.findings

    def balances(self) -> dict[Place, Balance]:
        """What do the entries add up to, by envelope and start of its period (I6)?

        Spend under no envelope stands under (0, 0).
        """
        return self.exposure.balances()

    def _identity(self, seq: int, row: _Row) -> None:
        if row.ver != 1 or not 1 <= row.kind <= REGISTRY:
            found = f"version {row.ver} kind {row.kind}"
            self._say("image", "an unknown version or kind", "version 1", found, seq, row.uid)
        if row.uid in self._uids:
            what = "the entry is sealed twice"
            self._say("I7", what, "one entry", "its uid again", seq, row.uid)
        self._uids.add(row.uid)
        if row.effective_at < self._final_until:
            self._still(seq, row)
        if row.recorded_at < self._closed_until:
            for close in self.closes:
                if close.start <= row.recorded_at < close.end:
                    what = f"recorded in the period closed at seq {close.seq}"
                    expected = f"at or after {instant(close.end)}"
                    self._say("I8", what, expected, instant(row.recorded_at), seq, row.uid)

    def _still(self, seq: int, row: _Row) -> None:
        """Does the entry move a month that was closed for good before it?"""
        if not (row.amount_nanos or row.held_nanos or row.unsettled_nanos or row.n):
            return
        for close in self.closes:
            if close.is_final and close.start <= row.effective_at < close.end:
                what = f"it moves the period closed at seq {close.seq}"
                found = instant(row.effective_at)
                self._say("I8", what, "an instant after it", found, seq, row.uid)

    def _check_close(self, close: Close, row: _Row) -> None:
        """Is the month's total what its entries add up to? Needs all entries."""
        if self._coverage is not Coverage.WHOLE or "settled_nanos" not in close.body:
            return
        spent = self._spent.items()
        total = sum(nanos for at, nanos in spent if close.start <= at * _SLOT < close.end)
        if total != int(close.body["settled_nanos"]):
            what = f"what was spent in {close.body['period']}"
            stated = str(close.body["settled_nanos"])
            self._say("balances", what, str(total), stated, close.seq, row.uid)

    def _effects(self, seq: int, row: _Row, net: int) -> None:
        moves = net != 0 or row.kind == ENVELOPE_CHANGE
        if moves != (row.env_version != 0) or row.env_version < 0:
            expected = "above 0" if moves else "0"
            what = f"env_version of kind {row.kind} with net {net}"
            self._say("I4", what, expected, str(row.env_version), seq, row.uid)
        if not fits_kind(row, net):
            found = f"{row.amount_nanos} / {row.held_nanos} / {row.unsettled_nanos}"
            what = f"amount / held / unsettled of kind {row.kind}"
            self._say("I4", what, "what the kind allows", found, seq, row.uid)

    def _sums(self, seq: int, row: _Row) -> None:
        if row.lease != ZERO16 and (row.held_nanos or row.unsettled_nanos):
            self.holds.lease(seq, row)
        if row.reservation != ZERO16 and row.kind in _HOLD_KINDS:
            self.holds.reservation(seq, row)

    def _document(self, seq: int, row: _Row, digest: bytes) -> Change | None:
        encoded = self._documents.get(digest) if digest else None
        if encoded is None:
            expected = digest.hex() or "a document"
            self._say("I8", "its document is missing", expected, "none", seq, row.uid)
            return None
        if encoded == b"":
            if row.kind in _READ_KINDS:
                what = "its document is pruned"
                self._say("I8", what, "kept for good", "pruned", seq, row.uid)
            return None
        found = sha256(encoded).digest()
        if found != digest:
            what = "its document was changed"
            self._say("document", what, digest.hex(), found.hex(), seq, row.uid)
            return None
        if row.kind == REGISTRY:
            self.registered.add(digest)
        if row.kind not in _READ_KINDS:
            return None
        try:
            return self._read(seq, row, json.loads(encoded))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"its document can't be read ({error!r})"
            self._say("document", what, "the keys of its kind", digest.hex(), seq, row.uid)
            return None

    def _read(self, seq: int, row: _Row, body: Mapping[str, Any]) -> Change | None:
        if row.kind == CHECKPOINT_REF:
            self.references.append((seq, uid_text(row.uid), body))
            return None
        if row.kind == PERIOD_CLOSE:
            start, end = micros(body["start"]), micros(body["end"])
            self.exposure.place_waiting()
            sums, caps, ends = self.balances(), self.exposure.caps(), self.exposure.ends()
            close = Close(seq, uid_text(row.uid), start, end, body, sums, caps, ends)
            self.closes.append(close)
            self._closed_until = max(self._closed_until, end)
            if "chain" in body:
                self.references.append((seq, close.uid, body))
            if close.is_final:
                self._final_until = max(self._final_until, end)
                self._check_close(close, row)
            return None
        change = change_of(body)
        if change.envelope != row.envelope_id:
            what, found = "the document is of another envelope", str(change.envelope)
            self._say("I1", what, str(row.envelope_id), found, seq, row.uid)
            return None
        return change

    def _reversal(self, seq: int, image: bytes, row: _Row) -> None:
        if row.kind != REVERSAL or row.reverses == ZERO16 or not doc_of(image):
            found = f"kind {row.kind}, reverses {uid_text(row.reverses)}"
            expected = "kind 8, the uid it reverses and an approval document"
            self._say("I5", "an incomplete reversal", expected, found, seq, row.uid)
        if row.reverses in self._reversals:
            first = self._reversals[row.reverses][0]
            what = f"{uid_text(row.reverses)} is reversed twice"
            self._say("I5", what, f"only by seq {first}", f"seq {seq}", seq, row.uid)
        elif row.reverses != ZERO16:
            self._reversals[row.reverses] = seq, image

    def _check_reversals(self, originals: Originals) -> None:
        known = originals(self._reversals.keys()) if self._reversals else {}
        for name, (seq, image) in self._reversals.items():
            uid = image[UID : UID + 16]
            if name in known:
                fault = self._reversal_fault(known[name][1], image, seq)
                if fault:
                    what = f"not the negative of seq {known[name][0]}: {fault[0]}"
                    self._say("I5", what, fault[1], fault[2], seq, uid)
            elif self._coverage is Coverage.WHOLE:
                what = "the reversed entry isn't there"
                self._say("I5", what, uid_text(name), "none", seq, uid)

    def _reversal_fault(
        self, original: bytes, reversal: bytes, seq: int
    ) -> tuple[str, str, str] | None:
        fault = reversal_fault(original, reversal)
        if fault or self._coverage is not Coverage.WHOLE or not is_prior(reversal):
            return fault
        at = fields_of(original)["effective_at"]
        if any(
            close.is_final and close.seq < seq and close.start <= at < close.end
            for close in self.closes
        ):
            return None
        return "flags", "no PRIOR_PERIOD: its month wasn't closed", "PRIOR_PERIOD"

    def _check_balances(self) -> None:
        for (envelope, start), total in self.balances().items():
            if total.held < 0 or total.unsettled < 0:
                where = f"envelope {envelope} from {instant(start)}"
                found = f"held {total.held}, unsettled {total.unsettled}"
                self._report(
                    Finding("I2", "a negative balance", "0 or more", found, where=where)
                )

    def _say(
        self, check: str, what: str, expected: str, found: str, seq: int, uid: bytes
    ) -> None:
        name = uid_text(uid) if uid else ""
        self._report(Finding(check, what, expected, found, seq, name))

    def _report(self, finding: Finding) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)


def replay_invariants(
    rows: Iterable[tuple[int, bytes]],
    *,
    documents: Mapping[bytes, bytes],
    originals: Originals,
    unsealed: Collection[tuple[int, int]] = (),
    coverage: Coverage = Coverage.WHOLE,
) -> Replay:
    """Which rule did these entries (seq, image) break? The finished replay, with its sums."""
    replay = Replay(documents=documents, coverage=coverage)
    replay.feed(rows)
    replay.finish(originals=originals, unsealed=unsealed)
    return replay


def fits_kind(row: _Row, net: int) -> bool:
    """Are amount, held and unsettled of the signs and sums that the entry's kind has?"""
    signs = EFFECTS.get(row.kind)
    if signs is None:
        return False
    for value, allowed in zip(row[6:9], signs, strict=True):
        if value and ("+" if value > 0 else "-") not in allowed:
            return False
    if row.kind == EXPIRE:
        return net == 0
    if row.kind != SETTLE:
        return True
    if row.flags & LATE_SETTLE:
        return row.held_nanos == 0
    # What a settle books was held before: the rest is an overrun entry of its own.
    booked = row.amount_nanos + row.held_nanos
    return row.unsettled_nanos == 0 and (booked == 0 if row.lease != ZERO16 else booked <= 0)


def reversal_fault(original: bytes, reversal: bytes) -> tuple[str, str, str] | None:
    """In which field isn't the reversal the negative: (what, expected, found)?"""
    if image_fault(original):
        return "its image", "version 1", "another"
    first, second = fields_of(original), fields_of(reversal)
    if first["kind"] == REVERSAL:
        return "kind", "no reversal of a reversal", str(REVERSAL)
    wanted: dict[str, tuple[Any, ...]] = {name: (-first[name],) for name in _NEGATED}
    wanted |= {name: (first[name],) for name in _KEPT}
    wanted |= {"held_nanos": (0, -first["held_nanos"]), "reserved_nanos": (0,)}
    unguarded = first["flags"] & UNGUARDED
    if is_prior(reversal):
        # Its month is closed: it stands in a later one, where nothing holds money for it.
        wanted |= {"effective_at": (second["effective_at"],), "unsettled_nanos": (0,)}
        unguarded = UNGUARDED if second["amount_nanos"] > 0 else 0
        if second["effective_at"] <= first["effective_at"]:
            return "effective_at", "a later month", instant(second["effective_at"])
    for name, allowed in wanted.items():
        if second[name] not in allowed:
            return name, " or ".join(map(str, allowed)), str(second[name])
    if (unguarded ^ second["flags"]) & UNGUARDED:
        return "flags", "flag 7 as the original", str(second["flags"])
    return None


def is_prior(image: bytes) -> bool:
    """Does the entry stand in a later month than the one it is about?"""
    return bool(_FLAGS.unpack_from(image)[0] & PRIOR_PERIOD)


def by_place(finding: Finding) -> tuple[bool, int]:
    """Where does the finding stand in a report? By seq, those without one last."""
    return finding.seq is None, finding.seq or 0


# ---- signatures and notes -------------------------------------------------------------

_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)
_SIGNATURE_LINE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


class NoteError(ValueError):
    """Why is the note or key not as C2SP writes it?"""


class Key(NamedTuple):
    """Which Ed25519 key may sign: name, key id (4 bytes), public key (32 bytes)?"""

    name: str
    key_id: bytes
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Key:
        """Which key does `<name>+<hex key id>+<base64(0x01 || key)>` publish?"""
        name, _, rest = text.partition("+")
        key_id, _, body = rest.partition("+")
        raw = _unbase64(body)
        found = sha256(name.encode() + b"\n" + raw).digest()[:4]
        if not name or raw[:1] != b"\x01" or len(raw) != 33 or found.hex() != key_id:
            raise NoteError(f"no Ed25519 verifier key: {text!r}")
        return cls(name, found, raw[1:])

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}"


class Checkpoint(NamedTuple):
    """What does a note state: origin, size, root, its signed text and signature lines?"""

    origin: str
    size: int
    root: bytes
    text: str
    lines: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, note: str) -> Checkpoint:
        """What does this signed note state? Nothing is verified here."""
        text, blank, block = note.rpartition("\n\n")
        stated = text.split("\n")
        if not blank or not block.endswith("\n") or len(stated) < 3 or not all(stated):
            raise NoteError("no text, blank line and signature lines")
        if not re.fullmatch(r"0|[1-9][0-9]{0,18}", stated[1], re.ASCII):
            raise NoteError(f"size {stated[1]!r}")
        root = _unbase64(stated[2])
        if len(root) != 32 or base64.b64encode(root).decode() != stated[2]:
            raise NoteError(f"root {stated[2]!r}")
        lines = tuple(_signature(line) for line in block[:-1].split("\n"))
        return cls(stated[0], int(stated[1]), root, text + "\n", lines)

    def signers(self, keys: Iterable[Key]) -> tuple[list[Key], list[Key]]:
        """Which of these keys signed it, and whose signature line is wrong?

        Lines of other keys (rotation, witnesses, later algorithms) are ignored.
        """
        right: list[Key] = []
        wrong: list[Key] = []
        for key in keys:
            for name, key_id, signature in self.lines:
                if (name, key_id) == key[:2]:
                    sound = is_signed(key.public, self.text.encode(), signature)
                    (right if sound else wrong).append(key)
        return right, wrong


def _signature(line: str) -> tuple[str, bytes, bytes]:
    match = _SIGNATURE_LINE.fullmatch(line)
    raw = _unbase64(match[2]) if match else b""
    if match is None or len(raw) < 5:
        raise NoteError(f"signature line {line!r}")
    return match[1], raw[:4], raw[4:]


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise NoteError(f"base64 {text!r}") from error


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Is this the Ed25519 signature of the message? `cryptography` where present, else here."""
    if len(public) != 32 or len(signature) != 64 or is_weak(public):
        return False
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return is_signed_rfc8032(public, message, signature)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def is_signed_rfc8032(public: bytes, message: bytes, signature: bytes) -> bool:
    """Is this the signature, by RFC 8032 section 5.1.7 in plain integers?"""
    key, commitment = _point_of(public), _point_of(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _L:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % _L
    return _same(_times(scalar, _BASE), _plus(commitment, _times(challenge, key)))


def is_weak(public: bytes) -> bool:
    """Is this no point, or one of the few of small order that fit any message?"""
    point = _point_of(public)
    return point is None or _same(_times(8, point), _NEUTRAL)


def _plus(p: _Point, q: _Point) -> _Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: _Point) -> _Point:
    total = _NEUTRAL
    while scalar:
        if scalar & 1:
            total = _plus(total, point)
        point, scalar = _plus(point, point), scalar >> 1
    return total


def _same(p: _Point, q: _Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % _P == 0 and (p[1] * q[2] - q[1] * p[2]) % _P == 0


def _point_of(encoded: bytes) -> _Point | None:
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    sign = encoded[31] >> 7
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _base_point() -> _Point:
    point = _point_of((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))
    if point is None:
        raise ArithmeticError("the base point of RFC 8032 isn't on its curve")
    return point


_BASE: Final = _base_point()


# ---- bundle ---------------------------------------------------------------------------


class BundleError(Exception):
    """Which file of the bundle can't be read, and why?"""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where}: {why}")


def tile_path(level: int | str, index: int, width: int = TILE) -> str:
    """Where does this tile stand in the bundle (`level` is a number or `entries`)?"""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[place : place + 3] for place in range(0, len(digits), 3)]
    path = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{path}" + ("" if width == TILE else f".p/{width}")


def images_of(tile: bytes) -> list[bytes]:
    """Which images does a tile of entries hold? ValueError when the last one is cut."""
    images: list[bytes] = []
    place = 0
    while place < len(tile):
        start = place + 2
        place = start + int.from_bytes(tile[place:start], "big")
        images.append(tile[start:place])
    if place != len(tile):
        raise ValueError("the last image is cut")
    return images


class Head(NamedTuple):
    """The root and chain hash of the ledger at one size, as recomputed."""

    root: bytes
    chain: bytes


class Verdict(NamedTuple):
    """What did the verification of a bundle find?"""

    origin: str
    size: int
    entries: int
    root: str
    chain: str
    findings: list[Finding]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """How is the verdict said to a program?"""
        return {
            "ok": not self.findings,
            "origin": self.origin,
            "size": self.size,
            "entries": self.entries,
            "root": self.root,
            "chain": self.chain,
            "first": self.findings[0]._asdict() if self.findings else None,
            "findings": [finding._asdict() for finding in self.findings],
            "notes": self.notes,
        }


class Bundle:
    """Which checks does one bundle directory pass? `verify` runs them all."""

    def __init__(self, directory: Path, *, trusted: Checkpoint | None = None) -> None:
        self._directory = directory
        self._trusted = trusted
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self._manifest: dict[str, Any] = {}
        self._documents: dict[bytes, bytes] = {}
        self._heads: dict[int, Head] = {}
        self._leaves_checked: set[int] = set()
        self.note = ""

    def verify(self) -> Verdict:
        """What differs in this bundle? Nothing when `findings` is empty."""
        size = entries = 0
        try:
            self._read_manifest()
            size = int(self._manifest["size"])
            checkpoints = self._read_checkpoints()
            self._read_documents()
            self._fold(size, self._sizes(checkpoints))
            self._check_heads(checkpoints)
            self._check_keys(checkpoints)
            self._check_trust(size)
            entries = self._check_entries(size)
        except BundleError as error:
            self._say("bundle", error.why, "a readable file", "none", where=error.where)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            found = f"{type(error).__name__}: {error}"
            self._say("bundle", "not laid out as o10-bundle-v1", "its layout", found)
        self.findings.sort(key=by_place)
        head = self._heads.get(size, Head(b"", b""))
        return Verdict(
            origin=str(self._manifest.get("origin", "")),
            size=size,
            entries=entries,
            root=head.root.hex(),
            chain=head.chain.hex(),
            findings=self.findings,
            notes=self.notes,
        )

    # manifest, documents, checkpoints

    def _read_manifest(self) -> None:
        self._manifest = json.loads(self._file("manifest.json"))
        if self._manifest["format"] != FORMAT:
            raise BundleError("manifest.json", f"format {self._manifest['format']!r}")
        columns = tuple((c["name"], c["type"]) for c in self._manifest["image"]["columns"])
        if self._manifest["image"]["version"] != 1 or columns != COLUMN_TYPES:
            raise BundleError("manifest.json", "another image version or column list")
        listed = self._manifest["files"]
        for path, expected in sorted(listed.items()):
            try:
                found = sha256(self._file(path)).hexdigest()
            except BundleError as error:
                found = error.why
            if found != expected:
                self._say("manifest", "a file was changed", expected, found, where=path)
        present = {
            path.relative_to(self._directory).as_posix()
            for path in self._directory.rglob("*")
            if path.is_file()
        }
        extra = sorted(present - set(listed) - {"manifest.json"})
        if extra:
            self.notes.append(f"not part of the bundle, ignored: {', '.join(extra[:10])}")

    def _read_documents(self) -> None:
        for number, line in enumerate(self._file("documents.jsonl").splitlines(), start=1):
            row = json.loads(line)
            digest = bytes.fromhex(row["hash"])
            body = b"" if "pruned" in row else canonical(row["body"])
            self._documents[digest] = body
            where = f"documents.jsonl:{number}"
            if canonical(row | {"hash": digest.hex()}) != line:
                self._say("document", "another form", "canonical JSON", "none", where=where)
            if body and sha256(body).digest() != digest:
                found = sha256(body).hexdigest()
                self._say("document", "the body was changed", row["hash"], found, where=where)

    def _read_checkpoints(self) -> list[tuple[str, Checkpoint]]:
        """Which checkpoints are inside, by size? The newest stands in two files."""
        checkpoints: list[tuple[str, Checkpoint]] = []
        names = [path for path in self._manifest["files"] if path.startswith("checkpoints/")]
        for path in [*sorted(names), "checkpoint"]:
            note = self._file(path).decode()
            try:
                checkpoint = Checkpoint.parse(note)
            except NoteError as error:
                raise BundleError(path, f"no signed note ({error})") from error
            if checkpoint.origin != self._manifest["origin"]:
                origin = self._manifest["origin"]
                self._say("checkpoint", "origin", origin, checkpoint.origin, where=path)
            if path != "checkpoint" and path != f"checkpoints/{checkpoint.size}":
                found = str(checkpoint.size)
                self._say("checkpoint", "size", path.partition("/")[2], found, where=path)
            checkpoints.append((path, checkpoint))
            self.note = note
        size = self._manifest["size"]
        if checkpoints[-1][1].size != size or any(c.size > size for _, c in checkpoints):
            raise BundleError("checkpoint", f"isn't of the manifest's size {size}")
        return sorted(checkpoints, key=lambda row: row[1].size)

    def _sizes(self, checkpoints: Iterable[tuple[str, Checkpoint]]) -> set[int]:
        sizes = {checkpoint.size for _, checkpoint in checkpoints} | {
            int(head["size"]) for head in self._manifest["chain"]
        }
        if self._trusted is not None:
            sizes.add(self._trusted.size)
        for body in self._documents.values():
            # Only a checkpoint_ref has these three; its size must be recomputed on the way.
            if b'"chain"' in body and b'"root"' in body and b'"size"' in body:
                stated = json.loads(body).get("size")
                if isinstance(stated, int | str) and str(stated).isdecimal():
                    sizes.add(int(stated))
        return sizes

    # hashes

    def _fold(self, size: int, wanted: Collection[int]) -> None:
        """Chain and tree over the leaf tiles; the upper tiles are recomputed and compared."""
        tree, chain = Tree(), chain_start(self._manifest["origin"])
        stops = sorted(stop for stop in wanted if 0 <= stop <= size)
        rows: list[list[bytes]] = [[]]
        for index in range(-(-size // TILE)):
            leaves = self._leaf_tile(index, min(TILE, size - index * TILE))
            start = 0
            while stops and stops[0] <= tree.size + len(leaves) - start:
                end = start + stops.pop(0) - tree.size
                chain = _linked(chain, leaves[start:end])
                tree.extend(leaves[start:end])
                self._heads[tree.size], start = Head(tree.root(), chain), end
            chain = _linked(chain, leaves[start:])
            tree.extend(leaves[start:])
            if len(leaves) == TILE:
                self._upper(rows, 1, index, leaves)
        if size == 0:
            self._heads[0] = Head(EMPTY_ROOT, chain)
        for level, row in enumerate(rows[1:], start=1):
            if row:
                self._compare_tile(level, len(row), rows_before(size, level), row)

    def _upper(
        self, rows: list[list[bytes]], level: int, place: int, hashes: Sequence[bytes]
    ) -> None:
        """Add the root of a full tile at this place of the level above, and so on upwards."""
        if level == len(rows):
            rows.append([])
        rows[level].append(root_of(hashes))
        if len(rows[level]) == TILE:
            full, rows[level] = rows[level], []
            self._compare_tile(level, TILE, place // TILE, full)
            self._upper(rows, level + 1, place // TILE, full)

    def _compare_tile(self, level: int, width: int, index: int, row: list[bytes]) -> None:
        path = tile_path(level, index, width)
        if path not in self._manifest["files"]:
            self._say("tile", "a tile is missing", "a file", "none", where=path)
        elif self._file(path) != b"".join(row):
            expected = sha256(b"".join(row)).hexdigest()
            found = sha256(self._file(path)).hexdigest()
            what = "its hashes don't follow from the leaves"
            self._say("tile", what, expected, found, where=path)

    def _leaf_tile(self, index: int, width: int) -> list[bytes]:
        path = tile_path(0, index, width)
        tile = self._file(path)
        if len(tile) != 32 * width:
            raise BundleError(path, f"{len(tile)} bytes instead of {32 * width}")
        return [tile[place : place + 32] for place in range(0, len(tile), 32)]

    def _check_heads(self, checkpoints: Sequence[tuple[str, Checkpoint]]) -> None:
        for path, checkpoint in checkpoints:
            found = self._heads[checkpoint.size].root
            if found != checkpoint.root:
                what = f"the root of the first {checkpoint.size} entries"
                stated = checkpoint.root.hex()
                self._say("checkpoint", what, stated, found.hex(), where=path)
        stated_sizes = set()
        for head in self._manifest["chain"]:
            size = int(head["size"])
            stated_sizes.add(size)
            chain = self._heads[size].chain.hex() if size in self._heads else "none"
            if chain != head["chain"]:
                what = f"the chain hash after {size} entries"
                self._say("chain", what, head["chain"], chain)
        for size in sorted({checkpoint.size for _, checkpoint in checkpoints} - stated_sizes):
            what = f"no chain hash is stated for checkpoint {size}"
            self._say("chain", what, "one", "none")

    # keys and the verifier's own checkpoint

    def _check_keys(self, checkpoints: Sequence[tuple[str, Checkpoint]]) -> None:
        """Is every checkpoint signed by a key that is known when it is reached?

        Without an own checkpoint all keys of the bundle count. With one, those count that
        signed it; a new key counts from the checkpoint on that an older one signed with it.
        """
        listed = [Key.parse(row["key"]) for row in json.loads(self._file("keys.json"))]
        known = list(listed)
        floor = 0
        if self._trusted is not None:
            known, floor = self._trusted.signers(listed)[0], self._trusted.size
            if not known:
                what = "no key of the bundle signed the own checkpoint"
                found = ", ".join(map(str, listed)) or "none"
                self._say("checkpoint", what, "its signer", found, where="keys.json")
        for path, checkpoint in checkpoints:
            right, wrong = checkpoint.signers(listed)
            if wrong:
                found = ", ".join(map(str, wrong))
                what = "a signature is wrong"
                self._say("checkpoint", what, "a valid one", found, where=path)
            if checkpoint.size < floor and right:
                continue
            if not any(key in known for key in right):
                expected = " or ".join(map(str, known)) or "a known key"
                names = (f"{name}+{key_id.hex()}" for name, key_id, _ in checkpoint.lines)
                found = ", ".join(names)
                what = "signed by no known key"
                self._say("checkpoint", what, expected, found, where=path)
                continue
            known += [key for key in right if key not in known]

    def _check_trust(self, size: int) -> None:
        trusted = self._trusted
        if trusted is None:
            return
        origin = self._manifest["origin"]
        if trusted.origin != origin:
            self._say("trust", "another ledger", trusted.origin, origin, where="checkpoint")
        elif size < trusted.size:
            what = "the ledger became shorter than the own checkpoint"
            self._say("trust", what, f"at least {trusted.size}", str(size), where="checkpoint")
        elif self._heads[trusted.size].root != trusted.root:
            what = f"the first {trusted.size} entries aren't those of the own checkpoint"
            found = self._heads[trusted.size].root.hex()
            self._say("trust", what, trusted.root.hex(), found, where="checkpoint")

    # entries

    def _check_entries(self, size: int) -> int:
        first, last = (int(self._manifest["entries"][end]) for end in ("first", "last"))
        pruned = [(int(a), int(b)) for a, b in self._manifest["pruned"]]
        present = self._present(size, first, last, pruned)
        whole = not pruned and first == 1 and last == size
        if not whole:
            self.notes.append(f"entries {first} to {last} of {size} are inside")
        self.notes += [f"entries {a} to {b} are pruned: not checked" for a, b in pruned]
        replay = Replay(
            documents=self._documents, coverage=Coverage.WHOLE if whole else Coverage.PART
        )
        replay.feed(self._images(present, size))
        unsealed = {(int(a), int(b)) for a, b in self._manifest["unsealed_versions"]}
        replay.finish(originals=lambda uids: self._find(uids, present, size), unsealed=unsealed)
        self.findings += replay.findings
        self.notes += replay.notes
        self._check_references(replay)
        self._check_registry(replay)
        self._check_balances(replay, whole)
        return replay.count

    def _present(
        self, size: int, first: int, last: int, pruned: list[tuple[int, int]]
    ) -> list[int]:
        """Which tiles of entries must be there? Ranges begin and end with whole tiles."""
        edges = [(first, last), *pruned] if size else []
        for a, b in edges:
            if a % TILE != 1 or (b % TILE and b != size) or not 1 <= a <= b <= size:
                raise BundleError("manifest.json", f"entries {a} to {b} aren't whole tiles")
        tiles = range((first - 1) // TILE, -(-last // TILE)) if size else range(0)
        return [
            index for index in tiles if not any(a <= index * TILE + 1 <= b for a, b in pruned)
        ]

    def _images(self, tiles: Iterable[int], size: int) -> Iterator[tuple[int, bytes]]:
        """All (seq, image), each compared with its leaf on the way (once)."""
        for index in tiles:
            width = min(TILE, size - index * TILE)
            path = tile_path("entries", index, width)
            try:
                images = images_of(self._file(path))
            except ValueError as error:
                raise BundleError(path, str(error)) from error
            if len(images) != width:
                self._say(
                    "seq", "entries in the tile", str(width), str(len(images)), where=path
                )
            leaves = self._leaf_tile(index, width)
            rows = list(zip(range(index * TILE + 1, size + 1), images, leaves, strict=False))
            if index not in self._leaves_checked:
                self.findings += check_leaves(rows)
                self._leaves_checked.add(index)
            for seq, image, _ in rows:
                yield seq, image

    def _find(
        self, uids: Collection[bytes], tiles: Iterable[int], size: int
    ) -> dict[bytes, tuple[int, bytes]]:
        found: dict[bytes, tuple[int, bytes]] = {}
        for seq, image in self._images(tiles, size):
            if image[UID : UID + 16] in uids:
                found[image[UID : UID + 16]] = seq, image
        return found

    def _check_references(self, replay: Replay) -> None:
        for seq, uid, body in replay.references:
            size = int(body["size"])
            head = self._heads.get(size) if size < seq else None
            stated = f"{body['root']} {body['chain']}"
            found = (
                f"{head.root.hex()} {head.chain.hex()}" if head else "no such size before it"
            )
            if stated != found:
                what = f"the checkpoint_ref of size {size}"
                self.findings.append(Finding("chain", what, stated, found, seq, uid))

    def _check_registry(self, replay: Replay) -> None:
        registry = json.loads(self._file("registry.json"))
        whole = replay.registered
        for domain, numbers in sorted(registry.items()):
            for number, digest in sorted(numbers.items()):
                raw = bytes.fromhex(digest)
                encoded = self._documents.get(raw, b"{}")
                body = json.loads(encoded or b"{}")
                stated = f"{body.get('domain')} {body.get('number')}"
                if stated != f"{domain} {number}" or (raw not in whole and not self.notes):
                    what = "no registry entry says so"
                    where = "registry.json"
                    self._say("registry", what, f"{domain} {number}", stated, where=where)

    def _check_balances(self, replay: Replay, whole: bool) -> None:  # noqa: FBT001
        for close in replay.closes:
            path = f"balances/{close.body['period']}.jsonl"
            if path not in self._manifest["files"]:
                self.notes.append(f"{path} isn't inside: sealed balances not checked")
                continue
            lines = self._file(path).splitlines()
            found = root_of([leaf_of(line) for line in lines]).hex()
            if found != close.body["balances_root"]:
                what = f"the balances root of {close.body['period']}"
                stated = str(close.body["balances_root"])
                self.findings.append(
                    Finding("balances", what, stated, found, close.seq, close.uid)
                )
            if whole:
                for line in lines:
                    self._check_balance(replay, close, json.loads(line))
                self._check_lines(replay, close, lines)

    def _check_lines(self, replay: Replay, close: Close, lines: Sequence[bytes]) -> None:
        """Has each envelope that has the month a line, and only one?"""
        if not close.is_final:
            return
        publics = {number: name for name, number in replay.exposure.publics.items()}
        wanted = sorted(publics.get(place[0], str(place[0])) for place in close.places())
        found = [str(json.loads(line)["envelope"]) for line in lines]
        if found != wanted or len(lines) != int(close.body["lines"]):
            what = f"the envelopes with a closing balance of {close.body['period']}"
            stated, there = ", ".join(found) or "none", ", ".join(wanted) or "none"
            self.findings.append(Finding("balances", what, there, stated, close.seq, close.uid))

    def _check_balance(self, replay: Replay, close: Close, line: Mapping[str, Any]) -> None:
        place = replay.exposure.publics.get(line["envelope"], 0), close.start
        if place not in close.balances or replay.exposure.end_of(place) != close.end:
            return
        cap = close.caps[place]
        expected = f"settled {close.balances[place].settled}, cap {cap}"
        found = f"settled {int(line['settled_nanos'])}, cap {line['cap_nanos']}"
        if expected != found:
            what = f"the sealed balance of {line['envelope']}"
            self.findings.append(
                Finding("balances", what, expected, found, close.seq, close.uid)
            )

    def _file(self, path: str) -> bytes:
        if path.startswith("/") or ".." in path.split("/"):
            raise BundleError(path, "a path outside the bundle")
        try:
            return (self._directory / path).read_bytes()
        except OSError as error:
            raise BundleError(path, f"can't be read ({error.strerror})") from error

    def _say(
        self, check: str, what: str, expected: str, found: str, *, where: str = "manifest.json"
    ) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(check, what, expected, found, where=where))


def rows_before(size: int, level: int) -> int:
    """How many full tiles of this level has the tree of this size?"""
    return (size >> (8 * level)) // TILE


def canonical(body: object) -> bytes:
    """What are the canonical bytes of a document (RFC 8785 on o10's subset)?"""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _linked(chain: bytes, leaves: Iterable[bytes]) -> bytes:
    for leaf in leaves:
        chain = sha256(b"\x02" + chain + leaf).digest()
    return chain


# ---- command --------------------------------------------------------------------------


class UsageError(Exception):
    """How was the command called wrongly?"""


class Arguments(NamedTuple):
    """What was asked for on the command line?"""

    directory: Path
    trust: Path | None
    output: str


def arguments_of(words: Sequence[str]) -> Arguments:
    """What do the words of the command line ask for? UsageError when they are wrong."""
    rest, trust, output, directory = list(words), None, "text", None
    while rest:
        word = rest.pop(0)
        if word == "--json":
            output = "json"
        elif word == "--trust" and rest:
            trust = Path(rest.pop(0))
        elif word.startswith("-") or directory is not None:
            raise UsageError(f"{word!r} isn't understood")
        else:
            directory = Path(word)
    if directory is None or not directory.is_dir():
        raise UsageError("no directory" if directory is None else f"{directory} isn't one")
    return Arguments(directory, trust, output)


def read_trust(path: Path | None) -> Checkpoint | None:
    """Which checkpoint did this verifier keep? None before the first run.

    The file is a signed note as `GET /ledger/checkpoint` gives it. UsageError when it isn't.
    """
    if path is None or not path.exists():
        return None
    try:
        return Checkpoint.parse(path.read_bytes().decode())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no checkpoint ({error})") from error


def keep_trust(path: Path, note: str) -> None:
    """Keep this note as the own checkpoint: written beside, then renamed over."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(note.encode())
    beside.replace(path)


def main(words: Sequence[str]) -> int:
    """Which exit code: 0 clean, 1 something differs, 2 called wrongly?"""
    try:
        asked = arguments_of(words)
        trusted = read_trust(asked.trust)
    except UsageError as error:
        print(f"{error}\nusage: python verify.py DIR [--trust FILE] [--json]", file=sys.stderr)
        return 2
    bundle = Bundle(asked.directory, trusted=trusted)
    verdict = bundle.verify()
    if not verdict.findings and asked.trust is not None:
        keep_trust(asked.trust, bundle.note)
        known = "first kept" if trusted is None else f"extends the own one of {trusted.size}"
        verdict.notes.append(f"checkpoint {verdict.size} {known}: {asked.trust}")
    if asked.output == "json":
        print(json.dumps(verdict.as_json(), indent=1))
    else:
        print(report(verdict))
    return 1 if verdict.findings else 0


def report(verdict: Verdict) -> str:
    """How is the verdict said to a person?"""
    lines = [
        f"{verdict.origin}: {verdict.size} entries, {verdict.entries} read",
        f"root  {verdict.root}",
        f"chain {verdict.chain}",
    ]
    lines += [f"note  {note}" for note in verdict.notes]
    lines += [f"DIFFERS  {finding.line()}" for finding in verdict.findings[:20]]
    if len(verdict.findings) > 20:
        lines.append(f"and {len(verdict.findings) - 20} more")
    lines.append("DIFFERS" if verdict.findings else "OK: every check passed")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
