"""Which files make up an offline bundle of the ledger, byte for byte?

The writer's side of what `verify.py` reads. Values in, (path, bytes) out, the manifest last:
the operation that exports brings the rows and writes the files.
Source: docs/algorithms/bundle.md; C2SP tlog-tiles for the tile paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Final

from ledger.core.checkpoint import VerifierKey
from ledger.core.entry import COLUMNS_V1, VERSION
from ledger.core.merkle import root
from ledger.core.tiles import TILE_WIDTH, TileId, pack_images
from o10.kernel.errors import Corrupt

FORMAT: Final = "o10-bundle-v1"


class BundleIncomplete(Corrupt):
    """What does the export lack? Fields: `what`, `expected`, `found`."""

    code = "bundle_incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a bundle, apart from entries and leaves?

    Shape: `checkpoints` size -> signed note, the largest is the size of the bundle; `chain`
    size -> chain hash for each; `first_seq` and `last_seq` bound the entries inside, in whole
    tiles; `pruned` are ranges of them that are gone (whole tiles too); `documents` hash ->
    canonical bytes; `registry` domain -> number -> document hash; `periods` rows of the period
    table; `balances` period -> canonical lines; `anchors` file name -> evidence;
    `unsealed_versions` (tree, env_version) committed but behind the newest checkpoint.
    """

    origin: str
    ledger_id: int
    currency: str
    time_zone: str
    o10_version: str
    first_seq: int
    last_seq: int
    checkpoints: Mapping[int, str]
    chain: Mapping[int, bytes]
    keys: Sequence[VerifierKey]
    documents: Mapping[bytes, bytes]
    verifier: bytes
    pruned: Sequence[tuple[int, int]] = ()
    pruned_documents: Sequence[bytes] = ()
    registry: Mapping[str, Mapping[int, bytes]] = field(default_factory=dict)
    periods: Sequence[Mapping[str, object]] = ()
    balances: Mapping[str, bytes] = field(default_factory=dict)
    anchors: Mapping[str, bytes] = field(default_factory=dict)
    unsealed_versions: Sequence[tuple[int, int]] = ()

    @property
    def size(self) -> int:
        """How many entries does the newest checkpoint cover?"""
        return max(self.checkpoints)


def lay_out(
    contents: Contents, *, leaves: Iterable[bytes], images: Iterable[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Which files does the bundle have? (path, bytes) each, `manifest.json` last.

    `leaves` are all leaf hashes from seq 1 to the size; `images` those of `first_seq` to
    `last_seq` without the pruned ranges. Both are read once, a tile at a time.
    Raises: BundleIncomplete (`bundle_incomplete`) when there are fewer of either.
    """
    sums: dict[str, str] = {}
    for path, content in _files(contents, leaves, images):
        sums[path] = sha256(content).hexdigest()
        yield path, content
    yield "manifest.json", _pretty(_manifest(contents, sums))


def document_line(digest: bytes, body: bytes) -> bytes:
    """Which line of `documents.jsonl` holds this document (canonical bytes, unchanged)?"""
    return b'{"body":' + body + b',"hash":"' + digest.hex().encode() + b'"}\n'


def balances_root(lines: bytes) -> bytes:
    """What is the root over the lines of a period's closing balances?"""
    return root([sha256(b"\x00" + line).digest() for line in lines.splitlines()])


def _files(
    contents: Contents, leaves: Iterable[bytes], images: Iterable[bytes]
) -> Iterator[tuple[str, bytes]]:
    yield "verify.py", contents.verifier
    yield "checkpoint", contents.checkpoints[contents.size].encode()
    for size, note in sorted(contents.checkpoints.items()):
        yield f"checkpoints/{size}", note.encode()
    yield "keys.json", _pretty([{"key": key.text()} for key in contents.keys])
    yield from _hash_tiles(contents.size, iter(leaves))
    yield from _entry_tiles(contents, iter(images))
    yield "documents.jsonl", _documents(contents)
    yield "registry.json", _pretty(_registry(contents))
    yield "periods.json", _pretty(list(contents.periods))
    for period, lines in sorted(contents.balances.items()):
        yield f"balances/{period}.jsonl", lines
    for name, evidence in sorted(contents.anchors.items()):
        yield f"anchors/{name}", evidence


def _hash_tiles(size: int, leaves: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    rows: list[bytes] = []
    for index in range(-(-size // TILE_WIDTH)):
        hashes = _take(leaves, min(TILE_WIDTH, size - index * TILE_WIDTH), "leaves")
        yield TileId(0, index, len(hashes)).path(), b"".join(hashes)
        if len(hashes) == TILE_WIDTH:
            rows.append(root(hashes))
    level = 1
    while rows:
        above: list[bytes] = []
        for start in range(0, len(rows), TILE_WIDTH):
            hashes = rows[start : start + TILE_WIDTH]
            yield TileId(level, start // TILE_WIDTH, len(hashes)).path(), b"".join(hashes)
            if len(hashes) == TILE_WIDTH:
                above.append(root(hashes))
        level, rows = level + 1, above


def _entry_tiles(contents: Contents, images: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    if not contents.size:
        return
    for index in range(
        (contents.first_seq - 1) // TILE_WIDTH, -(-contents.last_seq // TILE_WIDTH)
    ):
        first = index * TILE_WIDTH + 1
        if any(start <= first <= end for start, end in contents.pruned):
            continue
        width = min(TILE_WIDTH, contents.size - first + 1)
        tile = TileId(None, index, width)
        yield tile.path(), pack_images(_take(images, width, "images"))


def _take(items: Iterator[bytes], count: int, what: str) -> list[bytes]:
    taken = list(islice(items, count))
    if len(taken) != count:
        raise BundleIncomplete(what=what, expected=count, found=len(taken))
    return taken


def _documents(contents: Contents) -> bytes:
    present = [document_line(digest, body) for digest, body in contents.documents.items()]
    gone = [
        b'{"hash":"' + digest.hex().encode() + b'","pruned":1}\n'
        for digest in contents.pruned_documents
    ]
    return b"".join(present + gone)


def _registry(contents: Contents) -> dict[str, dict[str, str]]:
    return {
        domain: {str(number): digest.hex() for number, digest in sorted(numbers.items())}
        for domain, numbers in sorted(contents.registry.items())
    }


def _manifest(contents: Contents, sums: Mapping[str, str]) -> dict[str, object]:
    return {
        "format": FORMAT,
        "o10_version": contents.o10_version,
        "origin": contents.origin,
        "ledger_id": contents.ledger_id,
        "currency": contents.currency,
        "time_zone": contents.time_zone,
        "size": contents.size,
        "entries": {"first": contents.first_seq, "last": contents.last_seq},
        "pruned": [list(edges) for edges in contents.pruned],
        "unsealed_versions": [list(pair) for pair in contents.unsealed_versions],
        "image": {
            "version": VERSION,
            "columns": [{"name": c.name, "type": c.type} for c in COLUMNS_V1],
        },
        "chain": [
            {"size": size, "chain": head.hex()} for size, head in sorted(contents.chain.items())
        ],
        "files": dict(sorted(sums.items())),
    }


def _pretty(content: object) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"
