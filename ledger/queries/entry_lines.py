"""What does a page say about an entry: names instead of numbers, and where it leads?

A line is a `StoredEntry` with the meanings of its integers. The list, its CSV and its JSON are
made of the same lines.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ledger.core.entry import ZERO_UUID, Flag, Kind, unpack_flags
from ledger.queries.component_entries import COMPONENTS, component_clause
from ledger.queries.entries import EntryFilter, StoredEntry, list_entries
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.registry import list_meanings, meanings_of, numbers_of
from o10.kernel import ids
from o10.kernel.money import Nanos

COUNT_MOST: Final = 100_000
"""A page counts matches up to here; beyond, it says "more than"."""

KIND_WORDS: Final = {kind: kind.name.lower() for kind in Kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFilter:
    """Which lines are asked for, by name? Empty tuples and None ask for all.

    Shape: `use_cases`, `models`, `venues` slugs; `envelopes` env_… and all below them; `kinds`
    words of KIND_WORDS; instants as in EntryFilter; `component` of full cost; `seq_to`
    exclusive.
    """

    use_cases: tuple[str, ...] = ()
    envelopes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    venues: tuple[str, ...] = ()
    reservation: str = ""
    component: str = ""
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    seq_to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLine:
    """What does one line of the ledger say?

    Units: nanos; tokens. `seq`, `chain` None = not sealed yet. Names are empty where the entry
    has none; `reason` is the first code of a denial.
    """

    seq: int | None
    public: str
    uid: UUID
    recorded_at: datetime
    effective_at: datetime
    kind: str
    use_case: str
    use_case_slug: str
    envelope: str
    envelope_public: str
    model: str
    venue: str
    offer: str
    amount: Nanos
    held: Nanos
    unsettled: Nanos
    reserved: Nanos
    calls: int
    tok_in: int
    tok_cache_read: int
    tok_cache_write: int
    tok_cache_write_1h: int
    tok_out: int
    tok_reasoning: int
    latency_ms: int
    price_version: int
    policy_version: int
    attempt: int
    env_version: int
    marks: tuple[str, ...]
    basis: str
    purpose: str
    finish: str
    reason: str
    decision: str
    reservation: str
    reverses: UUID | None
    actor: str
    ref: str
    doc: str
    leaf: str
    chain: str

    @property
    def tokens(self) -> int:
        """How many tokens of all six classes?"""
        read = self.tok_in + self.tok_cache_read + self.tok_cache_write
        return read + self.tok_cache_write_1h + self.tok_out + self.tok_reasoning


@dataclass(frozen=True, slots=True)
class LinePage:
    """Which lines are on this page, what do all that match add up to, where does it go on?

    Units: nanos for `amount`, of all that match. `matches` is at most COUNT_MOST + 1, which
    means more; `amount` is None then.
    """

    items: tuple[EntryLine, ...]
    next: str | None
    matches: int
    amount: Nanos | None


def list_entry_lines(
    *,
    where: LineFilter,
    cursor: str | None = None,
    limit: int = 50,
    ledger_id: int = COMPANY_LEDGER,
) -> LinePage:
    """Which entries match, newest first, with their names?

    Raises: ValidationFailed (`validation_failed`) for a cursor that is none of ours.
    """
    resolved = _resolve(where, ledger_id)
    if resolved is None:
        return LinePage((), None, 0, 0)
    page = list_entries(ledger_id=ledger_id, where=resolved, cursor=cursor, limit=limit)
    matches, amount = _count(resolved, ledger_id)
    lines = lines_of(page.items, ledger_id=ledger_id)
    return LinePage(tuple(lines), page.next, matches, amount)


def lines_of(
    entries: Sequence[StoredEntry], *, ledger_id: int = COMPANY_LEDGER
) -> list[EntryLine]:
    """What do these entries say, with names instead of numbers?"""
    names = _Names.read(entries, ledger_id)
    return [names.line(stored) for stored in entries]


def documents_of(hashes: Iterable[bytes]) -> dict[bytes, dict[str, Any]]:
    """What do the documents of these hashes say? Missing ones are left out."""
    wanted = [value for value in set(hashes) if value]
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT hash, body FROM ledger_document WHERE hash = ANY(%s)", [wanted])
        return {bytes(row[0]): json.loads(bytes(row[1])) for row in cursor.fetchall()}


def list_line_choices(*, ledger_id: int = COMPANY_LEDGER) -> dict[str, list[tuple[str, str]]]:
    """By which use cases, models, venues, kinds and components can the list be filtered?

    Shape: filter key to (value, label), by label.
    """
    found = {
        domain: sorted(
            {
                (str(body.get("slug", "")), str(body.get("name") or body.get("slug", "")))
                for body in list_meanings(domain=domain, ledger_id=ledger_id).values()
            },
            key=lambda each: each[1].casefold(),
        )
        for domain in ("use_case", "model", "venue")
    }
    kinds = [(word, word.replace("_", " ")) for word in sorted(KIND_WORDS.values())]
    components = [(word, word.replace("_", " ")) for word in COMPONENTS]
    return {**found, "kind": kinds, "component": components}


@dataclass(frozen=True, slots=True)
class _Names:
    meanings: Mapping[str, Mapping[int, Mapping[str, Any]]]
    documents: Mapping[bytes, Mapping[str, Any]]

    @classmethod
    def read(cls, entries: Sequence[StoredEntry], ledger_id: int) -> "_Names":
        columns = {
            "use_case": {each.entry.use_case_id for each in entries},
            "envelope": {each.entry.envelope_id for each in entries},
            "model": {each.entry.model_id for each in entries},
            "venue": {each.entry.venue_id for each in entries},
            "offer": {each.entry.offer_id for each in entries},
            "actor": {each.entry.actor_id for each in entries},
        }
        meanings = {
            domain: meanings_of(domain=domain, numbers=numbers - {0}, ledger_id=ledger_id)
            for domain, numbers in columns.items()
        }
        denials = [each.entry.doc for each in entries if each.entry.kind == Kind.DENY]
        return cls(meanings, documents_of(denials))

    def line(self, stored: StoredEntry) -> EntryLine:
        entry = stored.entry
        parts = unpack_flags(entry.flags)
        use_case = self._of("use_case", entry.use_case_id)
        envelope = self._of("envelope", entry.envelope_id)
        return EntryLine(
            seq=stored.seq,
            public=ids.id_of("ent", entry.uid),
            uid=entry.uid,
            recorded_at=entry.recorded_at,
            effective_at=entry.effective_at,
            kind=KIND_WORDS.get(Kind(entry.kind), str(entry.kind)),
            use_case=_text(use_case, "name") or _text(use_case, "slug"),
            use_case_slug=_text(use_case, "slug"),
            envelope=_text(envelope, "name"),
            envelope_public=_text(envelope, "id"),
            model=_text(self._of("model", entry.model_id), "slug"),
            venue=_text(self._of("venue", entry.venue_id), "slug"),
            offer=_text(self._of("offer", entry.offer_id), "slug"),
            amount=entry.amount_nanos,
            held=entry.held_nanos,
            unsettled=entry.unsettled_nanos,
            reserved=entry.reserved_nanos,
            calls=entry.n,
            tok_in=entry.tok_in,
            tok_cache_read=entry.tok_cache_read,
            tok_cache_write=entry.tok_cache_write,
            tok_cache_write_1h=entry.tok_cache_write_1h,
            tok_out=entry.tok_out,
            tok_reasoning=entry.tok_reasoning,
            latency_ms=entry.latency_ms,
            price_version=entry.price_version,
            policy_version=entry.policy_version,
            attempt=entry.attempt,
            env_version=entry.env_version,
            marks=tuple(flag.name or "" for flag in Flag if flag in parts.marks),
            basis=parts.basis.name.lower(),
            purpose=parts.purpose.name.lower(),
            finish=parts.finish.name.lower(),
            reason=_first_reason(self.documents.get(entry.doc)),
            decision="" if entry.decision == ZERO_UUID else entry.decision.hex,
            reservation=(
                "" if entry.reservation == ZERO_UUID else ids.id_of("rsv", entry.reservation)
            ),
            reverses=None if entry.reverses == ZERO_UUID else entry.reverses,
            actor=_text(self._of("actor", entry.actor_id), "id"),
            ref=entry.ref,
            doc=entry.doc.hex(),
            leaf=stored.leaf.hex(),
            chain="" if stored.chain is None else stored.chain.hex(),
        )

    def _of(self, domain: str, number: int) -> Mapping[str, Any]:
        return self.meanings[domain].get(number, {})


def _text(body: Mapping[str, Any], name: str) -> str:
    return str(body.get(name) or "")


def _first_reason(document: Mapping[str, Any] | None) -> str:
    reasons = (document or {}).get("reasons") or ()
    first = reasons[0] if reasons else ""
    return str(first.get("code", "")) if isinstance(first, Mapping) else str(first)


def _resolve(where: LineFilter, ledger_id: int) -> EntryFilter | None:
    """The same filter in numbers; None when a name is unknown, so that nothing can match."""
    found: dict[str, tuple[int, ...]] = {}
    for name, domain in (("use_cases", "use_case"), ("models", "model"), ("venues", "venue")):
        values = getattr(where, name)
        numbers = numbers_of(domain=domain, field="slug", values=values, ledger_id=ledger_id)
        if values and not numbers:
            return None
        found[domain] = tuple(numbers.values())
    envelopes = _with_descendants(where.envelopes, ledger_id)
    kinds = tuple(int(kind) for kind, word in KIND_WORDS.items() if word in where.kinds)
    if (where.envelopes and not envelopes) or (where.kinds and not kinds):
        return None
    plain = EntryFilter(
        use_case_ids=found["use_case"],
        model_ids=found["model"],
        venue_ids=found["venue"],
        envelope_ids=envelopes,
        kinds=kinds,
        component=where.component,
        effective_from=where.effective_from,
        effective_to=where.effective_to,
        seq_to=where.seq_to,
    )
    if not where.reservation:
        return plain
    return replace(plain, reservation=ids.uuid_of(where.reservation, "rsv"))


def _with_descendants(envelopes: Sequence[str], ledger_id: int) -> tuple[int, ...]:
    """Entries name the deepest envelope: those of a parent are those of all below it too."""
    if not envelopes:
        return ()
    bound = list_meanings(domain="envelope", ledger_id=ledger_id)
    number_of = {str(body.get("id")): number for number, body in bound.items()}
    below: dict[str, list[str]] = {}
    for body in bound.values():
        below.setdefault(str(body.get("parent") or ""), []).append(str(body.get("id")))
    waiting = [each for each in envelopes if each in number_of]
    found: dict[str, int] = {}
    while waiting:
        public = waiting.pop()
        if public not in found:
            found[public] = number_of[public]
            waiting += below.get(public, ())
    return tuple(found.values())


def _count(where: EntryFilter, ledger_id: int) -> tuple[int, Nanos | None]:
    """How many match and what do they add up to, as far as is worth counting for a page?"""
    clauses, values = ["e.ledger_id = %s"], [ledger_id]
    for column, numbers in (
        ("use_case_id", where.use_case_ids),
        ("envelope_id", where.envelope_ids),
        ("kind", where.kinds),
        ("model_id", where.model_ids),
        ("venue_id", where.venue_ids),
    ):
        if numbers:
            clauses.append(f"e.{column} = ANY(%s)")
            values.append(list(numbers))  # type: ignore[arg-type]
    for clause, value in (
        ("e.effective_at >= %s", where.effective_from),
        ("e.effective_at < %s", where.effective_to),
        ("e.reservation = %s", where.reservation),
        ("s.seq < %s", where.seq_to),
    ):
        if value is not None:
            clauses.append(clause)
            values.append(value)  # type: ignore[arg-type]
    if where.component:
        clause, of_component = component_clause(where.component)
        clauses.append(f"({clause})")
        values += of_component  # type: ignore[arg-type]
    seal = (
        "JOIN ledger_seal s ON s.entry_id = e.id AND s.recorded_at = e.recorded_at"
        " AND s.ledger_id = e.ledger_id"
        if where.seq_to is not None
        else ""
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(sum(amount_nanos), 0)::bigint FROM ("
            f" SELECT e.amount_nanos FROM ledger_entry e {seal}"
            f" WHERE {' AND '.join(clauses)} LIMIT {COUNT_MOST + 1}) found",
            values,
        )
        count, amount = cursor.fetchone()
    return count, amount if count <= COUNT_MOST else None
