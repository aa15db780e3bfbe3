"""How do entries, proofs and the result of a usage report look on the wire?

Hashes are lower-case hex, instants RFC 3339 in UTC, nanos decimal text.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade
from o10.kernel.ids import id_of
from o10.kernel.money import Money


class UsageItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record? `replayed`: it was there before, nothing was written."""

    id: str
    source: str
    entry_id: str
    amount: str
    amount_nanos: str
    currency: str
    priced: bool
    replayed: bool


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the records, in the order sent?"""

    items: list[UsageItem]
    recorded: int
    replayed: int
    unpriced: int


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """At which sealed position of the ledger was it read?"""

    ledger_seq: int


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """Which entry is it? `seq` and `chain` are null until it is sealed.

    `entry` is the JSON view of the 38 hashed fields (ledger format, version 1); `names` says
    what its numbers mean.
    """

    id: str
    seq: int | None
    kind: str
    leaf: str
    chain: str | None
    entry: dict[str, Any]
    names: dict[str, dict[str, Any]]


class EntryList(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries match, newest first?"""

    items: list[EntryView]
    next: str | None
    as_of: AsOf


class InclusionView(msgspec.Struct, frozen=True, kw_only=True):
    """How is shown that the entry stands in the tree of this size? (RFC 6962, section 2.1.1)

    `image` are the hashed bytes; leaf = SHA-256(0x00 || image); `index` = seq - 1; `path` from
    the leaf to the root; `checkpoint` is the signed note with that root.
    """

    entry_id: str
    seq: int
    image: str
    leaf: str
    index: int
    size: int
    path: list[str]
    root: str
    checkpoint: str


class ConsistencyView(msgspec.Struct, frozen=True, kw_only=True):
    """How is shown that the larger tree only added to the smaller? (RFC 6962, section 2.1.2)"""

    first: int
    second: int
    first_root: str
    second_root: str
    path: list[str]


_NAMED = {
    facade.Domain.USE_CASE: "use_case_id",
    facade.Domain.ENVELOPE: "envelope_id",
    facade.Domain.DIMS: "dims_id",
    facade.Domain.OFFER: "offer_id",
    facade.Domain.ACTOR: "actor_id",
}


def usage_answer(report: facade.UsageReport, *, currency: str) -> UsageAnswer:
    """How is the result of a usage report told?"""
    items = [
        UsageItem(
            id=item.id,
            source=item.source,
            entry_id=item.entry_id,
            priced=item.priced,
            replayed=item.replayed,
            **Money(currency, item.amount_nanos).as_json(),
        )
        for item in report.items
    ]
    return UsageAnswer(
        items=items,
        recorded=report.recorded,
        replayed=report.replayed,
        unpriced=report.unpriced,
    )


def entry_views(stored: tuple[facade.StoredEntry, ...]) -> list[EntryView]:
    """How are these entries told, with the names of their numbers?"""
    names = {
        domain: facade.meanings_of(
            domain=domain, numbers={getattr(each.entry, column) for each in stored} - {0}
        )
        for domain, column in _NAMED.items()
    }
    return [_entry_view(each, names) for each in stored]


def inclusion_view(proof: facade.InclusionProof) -> InclusionView:
    """How is this proof told?"""
    return InclusionView(
        entry_id=entry_id(proof.entry.uid),
        seq=proof.seq,
        image=proof.image.hex(),
        leaf=proof.leaf.hex(),
        index=proof.index,
        size=proof.size,
        path=[node.hex() for node in proof.path],
        root=proof.root.hex(),
        checkpoint=proof.note,
    )


def consistency_view(proof: facade.ConsistencyProof) -> ConsistencyView:
    """How is this proof told?"""
    return ConsistencyView(
        first=proof.first,
        second=proof.second,
        first_root=proof.first_root.hex(),
        second_root=proof.second_root.hex(),
        path=[node.hex() for node in proof.path],
    )


def entry_id(uid: UUID) -> str:
    """Which public id has the entry of this uid?"""
    return id_of("ent", uid)


def _entry_view(
    stored: facade.StoredEntry,
    names: Mapping[facade.Domain, Mapping[int, dict[str, Any]]],
) -> EntryView:
    meant = {}
    for domain, column in _NAMED.items():
        number = getattr(stored.entry, column)
        if number in names[domain]:
            meant[domain.value] = names[domain][number]
    return EntryView(
        id=entry_id(stored.uid),
        seq=stored.seq,
        kind=facade.Kind(stored.entry.kind).name.lower(),
        leaf=stored.leaf.hex(),
        chain=None if stored.chain is None else stored.chain.hex(),
        entry=dict(facade.as_json(stored)),
        names=meant,
    )
