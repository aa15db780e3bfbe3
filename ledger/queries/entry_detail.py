"""What is this charge, why this price, and can anybody have changed it?

Everything on the page of one entry: the entry between its neighbours, the price recomputed,
the other entries of its reservation, what it reverses or was reversed by, and the inclusion
proof with each step named and the root recomputed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ledger.core.canonical import encode
from ledger.core.chain import leaf
from ledger.core.entry import ZERO_UUID, Kind
from ledger.core.merkle import inclusion_proof, root_of_inclusion
from ledger.core.proof_steps import ProofSpan, proof_spans
from ledger.models import Checkpoint, Reversed
from ledger.queries.entries import (
    EntryFilter,
    StoredEntry,
    find_by_uid,
    get_by_seq,
    list_entries,
    list_range,
)
from ledger.queries.entry_lines import EntryLine, documents_of, lines_of
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.price_basis import PriceBasis, price_basis
from ledger.queries.registry import meanings_of
from ledger.queries.tree import reader_at
from o10.kernel.money import Nanos

NEIGHBOURS: Final = 2
RELATED_MOST: Final = 50
_PRICED: Final = frozenset({Kind.SETTLE, Kind.USAGE, Kind.REVERSAL})


@dataclass(frozen=True, slots=True)
class ProofStep:
    """Which sibling hash joins here, and which positions does it stand for?"""

    span: ProofSpan
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """Which signed checkpoint covers the entry? `note` is the C2SP signed note."""

    size: int
    root: bytes
    note: str
    key_id: bytes
    signed_at: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofView:
    """How does the leaf lead to the root of a signed checkpoint?

    `root` is what the steps give when they are computed again; `holds` whether the checkpoint
    says the same.
    """

    steps: tuple[ProofStep, ...]
    head: SignedHead
    root: bytes | None

    @property
    def holds(self) -> bool:
        """Do the steps lead to the signed root?"""
        return self.root == self.head.root

    @property
    def bytes_long(self) -> int:
        """How many bytes has the proof?"""
        return 32 * len(self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDetail:
    """What does the page of one entry say?

    `around` are the neighbours and the entry itself, oldest first; `related` the entries of
    the same reservation, oldest first; `proof` None = no checkpoint covers the entry yet;
    `overrun` nanos of the same settle that the hold did not cover.
    """

    line: EntryLine
    around: tuple[EntryLine, ...]
    related: tuple[EntryLine, ...]
    basis: PriceBasis | None
    document: Mapping[str, Any] | None
    attribution: Mapping[str, Any]
    reverses: EntryLine | None
    reversed_by: EntryLine | None
    overrun: Nanos
    proof: ProofView | None


def get_entry_detail(*, seq: int, ledger_id: int = COMPANY_LEDGER) -> EntryDetail:
    """What is this charge, why this price, and can anybody have changed it?

    Raises: NotFound (`not_found`) for a position the ledger hasn't reached.
    """
    stored = get_by_seq(ledger_id=ledger_id, seq=seq)
    around = list_range(
        ledger_id=ledger_id, seq_from=max(1, seq - NEIGHBOURS), seq_to=seq + NEIGHBOURS + 1
    )
    related = _related(stored, ledger_id)
    overrun = _overrun_of(stored, related)
    entry = stored.entry
    by_uid = _reversal_of(entry.uid, ledger_id)
    return EntryDetail(
        line=lines_of([stored], ledger_id=ledger_id)[0],
        around=tuple(lines_of(around, ledger_id=ledger_id)),
        related=tuple(lines_of(related, ledger_id=ledger_id)),
        basis=_basis(stored, overrun, ledger_id),
        document=documents_of([entry.doc]).get(entry.doc),
        attribution=_attribution(entry.dims_id, ledger_id),
        reverses=_line_of(entry.reverses, ledger_id),
        reversed_by=_line_of(by_uid, ledger_id),
        overrun=overrun,
        # From the entry's own bytes: a changed amount must not show a proof that holds.
        proof=prove_to_person(seq=seq, leaf=leaf(encode(entry)), ledger_id=ledger_id),
    )


def prove_to_person(
    *, seq: int, leaf: bytes, ledger_id: int = COMPANY_LEDGER
) -> ProofView | None:
    """How does this leaf lead to the newest signed root over it? None = none covers it."""
    row = (
        Checkpoint.objects.filter(ledger_id=ledger_id, size__gte=seq).order_by("-size").first()
    )
    if row is None:
        return None
    head = SignedHead(
        size=row.size,
        root=bytes(row.root),
        note=row.note,
        key_id=bytes(row.key_id),
        signed_at=row.signed_at,
    )
    index = seq - 1
    with connection.cursor() as cursor:
        node_at = reader_at(cursor, ledger_id=ledger_id, size=head.size)
        path = inclusion_proof(index=index, size=head.size, node_at=node_at)
    spans = proof_spans(index=index, size=head.size)
    return ProofView(
        steps=tuple(ProofStep(*each) for each in zip(spans, path, strict=True)),
        head=head,
        root=root_of_inclusion(leaf=leaf, index=index, size=head.size, path=path),
    )


def _related(stored: StoredEntry, ledger_id: int) -> list[StoredEntry]:
    if stored.entry.reservation == ZERO_UUID:
        return []
    page = list_entries(
        ledger_id=ledger_id,
        where=EntryFilter(reservation=stored.entry.reservation),
        limit=RELATED_MOST,
    )
    return list(reversed(page.items))


def _overrun_of(stored: StoredEntry, related: list[StoredEntry]) -> Nanos:
    """An overrun is written with its settle: same reservation, attempt and instant."""
    if stored.entry.kind != Kind.SETTLE:
        return 0
    return sum(
        each.entry.amount_nanos
        for each in related
        if each.entry.kind == Kind.OVERRUN
        and each.entry.attempt == stored.entry.attempt
        and each.entry.recorded_at == stored.entry.recorded_at
    )


def _basis(stored: StoredEntry, overrun: Nanos, ledger_id: int) -> PriceBasis | None:
    entry = stored.entry
    if entry.kind not in _PRICED:
        return None
    booked = entry.amount_nanos + overrun
    return price_basis(
        entry=entry, booked=-booked if entry.n < 0 else booked, ledger_id=ledger_id
    )


def _attribution(dims_id: int, ledger_id: int) -> Mapping[str, Any]:
    return meanings_of(domain="dims", numbers=[dims_id], ledger_id=ledger_id).get(dims_id, {})


def _reversal_of(uid: UUID, ledger_id: int) -> UUID:
    row = Reversed.objects.filter(ledger_id=ledger_id, uid=uid).first()
    return row.by_uid if row else ZERO_UUID


def _line_of(uid: UUID, ledger_id: int) -> EntryLine | None:
    if uid == ZERO_UUID:
        return None
    found = find_by_uid(ledger_id=ledger_id, uid=uid)
    return lines_of([found], ledger_id=ledger_id)[0] if found else None
