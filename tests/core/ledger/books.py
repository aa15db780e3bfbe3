"""Which small ledgers do the tests read? A book that spends by the rules, entry by entry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from ledger.core import verify
from ledger.core.bundle import Contents, lay_out
from ledger.core.canonical import encode
from ledger.core.chain import chain_start, leaf, link
from ledger.core.checkpoint import Checkpoint, SigningKey, sign_checkpoint
from ledger.core.document import canonical_json, document_hash
from ledger.core.entry import Entry, Flag, Kind
from ledger.core.merkle import root

ORIGIN = "ledger.example.com/acme"
START = datetime(2026, 11, 20, 9, 30, 0, 250000, tzinfo=UTC)
SIGNER = SigningKey(name=ORIGIN, seed=bytes(range(32)))
VERIFIER = Path(verify.__file__)


def make_entry(**fields: object) -> Entry:
    """A settle of a call in a lease with plain values (golden E1 unless changed)."""
    plain: dict[str, object] = {
        "ledger_id": 1,
        "kind": Kind.SETTLE,
        "uid": UUID("01a1f84a-96ba-8b5f-a944-e044bf6327fc"),
        "effective_at": START,
        "recorded_at": datetime(2026, 11, 20, 9, 30, 1, 525000, tzinfo=UTC),
        "envelope_id": 12,
        "use_case_id": 3,
        "dims_id": 77,
        "offer_id": 205,
        "venue_id": 2,
        "model_id": 41,
        "actor_id": 9,
        "amount_nanos": 3_915_000,
        "held_nanos": -3_915_000,
        "reserved_nanos": 4_590_000,
        "counter_nanos": 1_100_000,
        "n": 1,
        "tok_in": 400,
        "tok_cache_read": 800,
        "tok_out": 670,
        "tok_reasoning": 120,
        "latency_ms": 1240,
        "price_version": 41,
        "policy_version": 12,
        "decision": UUID("d079a27d-772a-c081-4ef5-0031e4649fb5"),
        "reservation": UUID("01a1f84a-96ba-8f1a-b43c-85903e179488"),
        "lease": UUID("01a1f849-0000-7000-8000-00000000000a"),
        "attempt": 1,
        "ref": "chatcmpl-8f2a",
    }
    return Entry(**{**plain, **fields})


def number(text: object) -> UUID:
    """A uuid that stands for this text."""
    return UUID(bytes=hashlib.sha256(str(text).encode()).digest()[:16])


@dataclass
class Book:
    """A ledger in memory: envelopes 1 > 2 > 3, one month, one version counter for the tree."""

    entries: list[Entry] = field(default_factory=list)
    documents: dict[bytes, bytes] = field(default_factory=dict)
    version: int = 0
    free_version: int = 0
    now: datetime = START

    def document(self, body: Mapping[str, object]) -> bytes:
        encoded = canonical_json(body)
        self.documents[document_hash(encoded)] = encoded
        return document_hash(encoded)

    def write(self, **fields: object) -> Entry:
        self.now += timedelta(seconds=1)
        entry = Entry(
            **{
                "ledger_id": 1,
                "uid": number(f"entry {len(self.entries)}"),
                "effective_at": self.now,
                "recorded_at": self.now,
                "use_case_id": 3,
                "envelope_id": 3,
                **fields,
            }
        )
        self.entries.append(entry)
        return entry

    def next_version(self) -> int:
        self.version += 1
        return self.version

    def budget(self, envelope: int, parent: int, cap: int | None, **more: object) -> Entry:
        start, end = "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"
        body = {
            "envelope": envelope,
            "parent": parent,
            "root": 1,
            "public": f"env_{envelope}",
            "period": {"start": start, "end": end},
            "cap_nanos": cap,
            "limit_nanos": cap,
            **more,
        }
        return self.write(
            kind=Kind.ENVELOPE_CHANGE,
            envelope_id=envelope,
            env_version=self.next_version(),
            doc=self.document(body),
        )

    def open(self, *caps: int | None) -> Book:
        for envelope, cap in enumerate(caps, start=1):
            self.budget(envelope, envelope - 1, cap)
        return self

    def reserve(self, name: str, nanos: int, **more: object) -> Entry:
        return self.write(
            kind=Kind.RESERVE,
            held_nanos=nanos,
            reserved_nanos=nanos,
            reservation=number(name),
            env_version=self.next_version(),
            **more,
        )

    def settle(
        self, name: str, cost: int, held: int, *, attempt: int = 1, **more: object
    ) -> Entry:
        return self.write(
            kind=Kind.SETTLE,
            amount_nanos=cost,
            held_nanos=-held,
            reservation=number(name),
            attempt=attempt,
            n=1,
            tok_in=cost,
            env_version=self.next_version() if cost != held else 0,
            **more,
        )

    def release(self, name: str, nanos: int) -> Entry:
        return self.write(
            kind=Kind.RELEASE,
            held_nanos=-nanos,
            reservation=number(name),
            env_version=self.next_version(),
        )

    def expire(self, name: str, nanos: int) -> Entry:
        return self.write(
            kind=Kind.EXPIRE,
            held_nanos=-nanos,
            unsettled_nanos=nanos,
            reservation=number(name),
        )

    def usage(self, cost: int, **more: object) -> Entry:
        version = self.next_version()
        return self.write(
            **{
                "kind": Kind.USAGE,
                "amount_nanos": cost,
                "n": 1,
                "flags": int(Flag.UNGUARDED),
                "env_version": version,
                **more,
            }
        )

    def unbudgeted(self, cost: int) -> Entry:
        self.free_version += 1
        return self.write(
            kind=Kind.USAGE,
            envelope_id=0,
            amount_nanos=cost,
            n=1,
            flags=int(Flag.UNGUARDED),
            env_version=self.free_version,
        )

    def swap(self, first: int, second: int) -> None:
        """Seal two entries in the other order (1-based)."""
        a, b = first - 1, second - 1
        self.entries[a], self.entries[b] = self.entries[b], self.entries[a]

    def change(self, seq: int, **fields: object) -> None:
        self.entries[seq - 1] = replace(self.entries[seq - 1], **fields)

    def images(self) -> list[bytes]:
        return [encode(entry) for entry in self.entries]

    def rows(self) -> list[tuple[int, bytes]]:
        return list(enumerate(self.images(), start=1))

    def replay(self, **options: object) -> verify.Replay:
        rows = self.rows()
        by_uid = {image[26:42]: (seq, image) for seq, image in rows}
        return verify.replay_invariants(
            rows,
            documents=self.documents,
            originals=lambda uids: {uid: by_uid[uid] for uid in uids if uid in by_uid},
            **options,
        )


def spending(calls: int, *, cap: int = 10**12) -> Book:
    """A book of honest calls: settled, released, expired, late, overrun, imported."""
    book = Book().open(cap, cap, cap)
    for call in range(calls):
        name = f"call {call}"
        book.reserve(name, 1000)
        match call % 5:
            case 0:
                book.settle(name, 700 + call % 300, 1000)
            case 1:
                book.release(name, 1000)
            case 2:
                book.expire(name, 1000)
                late = int(Flag.LATE_SETTLE)
                book.write(
                    kind=Kind.SETTLE,
                    amount_nanos=1000,
                    unsettled_nanos=-1000,
                    reservation=number(name),
                    attempt=1,
                    flags=late,
                    n=1,
                )
            case 3:
                book.settle(name, 1000, 1000)
                book.write(
                    kind=Kind.OVERRUN,
                    amount_nanos=50,
                    reservation=number(name),
                    flags=int(Flag.UNGUARDED),
                    env_version=book.next_version(),
                )
            case _:
                book.settle(name, 1000, 1000)
                book.usage(33)
                book.unbudgeted(5)
    return book


def contents_of(
    book: Book,
    *,
    sizes: Sequence[int] = (),
    signers: Mapping[int, Sequence[SigningKey]] | None = None,
    **more: object,
) -> tuple[Contents, list[bytes], list[bytes]]:
    images = book.images()
    leaves = [leaf(image) for image in images]
    heads = [chain_start(ORIGIN)]
    for item in leaves:
        heads.append(link(heads[-1], item))
    stops = sorted({*sizes, len(images)})
    keys = signers or {}
    notes = {
        size: sign_checkpoint(
            Checkpoint(ORIGIN, size, root(leaves[:size])), *keys.get(size, (SIGNER,))
        )
        for size in stops
    }
    plain: dict[str, object] = {
        "origin": ORIGIN,
        "ledger_id": 1,
        "currency": "USD",
        "time_zone": "Europe/Berlin",
        "o10_version": "0.1.0",
        "first_seq": 1,
        "last_seq": len(images),
        "checkpoints": notes,
        "chain": {size: heads[size] for size in stops},
        "keys": (SIGNER.verifier,),
        "documents": book.documents,
        "verifier": VERIFIER.read_bytes(),
    }
    return Contents(**{**plain, **more}), leaves, images


def export(book: Book, directory: Path, **options: object) -> Path:
    """Write the book as a bundle."""
    contents, leaves, images = contents_of(book, **options)
    first, last = contents.first_seq, contents.last_seq
    gone = {seq for start, end in contents.pruned for seq in range(start, end + 1)}
    inside = [
        image
        for seq, image in enumerate(images, start=1)
        if first <= seq <= last and seq not in gone
    ]
    for path, content in lay_out(contents, leaves=leaves, images=inside):
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return directory
