"""Which small integer stands for this meaning in entries?

Entries carry integers; what they mean is bound once in `ledger_registry` and, by its hash, in a
`registry` entry of the ledger itself. Use cases and envelopes bring their own numbers (`bind`);
the other domains get one (`intern`).

Intern before locking balances: two transactions that meet a new meaning wait for each other on
its unique key, and one that waits while it holds a balance could be waited for in turn.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from ledger.core.document import canonical_json, document_hash
from ledger.core.entry import Entry, Kind
from ledger.operations import append as rows
from ledger.operations.put_document import put_document, put_documents
from o10.kernel import ids

CACHE_MAX: Final = 100_000
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Domain(StrEnum):
    """Which column of an entry is the number for?"""

    USE_CASE = "use_case"
    ENVELOPE = "envelope"
    DIMS = "dims"
    OFFER = "offer"
    VENUE = "venue"
    MODEL = "model"
    ACTOR = "actor"


class NumberGiven(ValueError):
    """Does this domain give its own numbers, or none?"""


_BOUND: Final = frozenset({Domain.USE_CASE, Domain.ENVELOPE})
_numbers: dict[tuple[str, int, Domain, bytes], int] = {}


def intern(
    domain: Domain, meaning: Mapping[str, object], *, ledger_id: int, actor: int, now: datetime
) -> int:
    """Which number has this meaning? The same for ever; made the first time it is asked.

    Units: `actor` is an actor number, 0 for the system.
    Raises: DocumentInvalid (`document_invalid`); NumberGiven for use cases and envelopes.
    Locks: none when known; a new meaning waits for another transaction that makes the same one.
    """
    if domain in _BOUND:
        raise NumberGiven(f"{domain} numbers are given by their owner: use bind")
    body_hash = document_hash(canonical_json(meaning))
    key = (str(connection.settings_dict["NAME"]), ledger_id, domain, body_hash)
    known = _numbers.get(key)
    if known is not None:
        return known
    with transaction.atomic():
        number = _find(ledger_id, domain, body_hash)
        if number is None:
            number = _write(
                domain,
                None,
                meaning,
                body_hash=body_hash,
                ledger_id=ledger_id,
                actor=actor,
                now=now,
            )
    # Remembered once committed: a rollback would take the row away under the cache.
    transaction.on_commit(lambda: _remember(key, number))
    return number


def bind(
    domain: Domain,
    number: int,
    meaning: Mapping[str, object],
    *,
    ledger_id: int,
    actor: int,
    now: datetime,
) -> None:
    """Is it in the ledger what this number means from now on? Nothing happens if it was.

    A number may be bound again to a changed meaning; the newest binding holds.
    Raises: DocumentInvalid (`document_invalid`); NumberGiven for domains that intern.
    """
    if domain not in _BOUND:
        raise NumberGiven(f"{domain} numbers are made here: use intern")
    body = {"number": number, **meaning}
    body_hash = document_hash(canonical_json(body))
    with transaction.atomic():
        if _find(ledger_id, domain, body_hash) is None:
            _write(
                domain,
                number,
                body,
                body_hash=body_hash,
                ledger_id=ledger_id,
                actor=actor,
                now=now,
            )


def bind_fresh(
    domain: Domain,
    meanings: Mapping[int, Mapping[str, object]],
    *,
    ledger_id: int,
    actor: int,
    now: datetime,
) -> list[Entry]:
    """Which entries say what these numbers mean? For numbers that were never bound before.

    As `bind` for each of them, by three statements for all; the caller appends the entries.
    Raises: DocumentInvalid (`document_invalid`); NumberGiven for domains that intern.
    """
    if domain not in _BOUND:
        raise NumberGiven(f"{domain} numbers are made here: use intern")
    bodies = {number: {"number": number, **meaning} for number, meaning in meanings.items()}
    encoded = {number: canonical_json(body) for number, body in bodies.items()}
    hashes = {number: document_hash(text) for number, text in encoded.items()}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_registry"
            " (ledger_id, domain, number, body_hash, body, created_at)"
            " SELECT %s, %s, number, hash, body::jsonb, %s"
            " FROM unnest(%s::int[], %s::bytea[], %s::text[]) AS given (number, hash, body)",
            [
                ledger_id,
                domain,
                now,
                list(hashes),
                list(hashes.values()),
                [text.decode() for text in encoded.values()],
            ],
        )
    documents = {
        number: canonical_json(_document(domain, number, body))
        for number, body in bodies.items()
    }
    put_documents(list(documents.values()), now=now)
    return [
        _entry(domain, number, hashes[number], document_hash(text), ledger_id, actor, now)
        for number, text in documents.items()
    ]


def forget_numbers() -> None:
    """Which numbers are remembered? None from now on (a test has emptied the tables)."""
    _numbers.clear()


def _remember(key: tuple[str, int, Domain, bytes], number: int) -> None:
    if len(_numbers) >= CACHE_MAX:
        _numbers.clear()
    _numbers[key] = number


def _find(ledger_id: int, domain: Domain, body_hash: bytes) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT number FROM ledger_registry"
            " WHERE ledger_id = %s AND domain = %s AND body_hash = %s",
            [ledger_id, domain, body_hash],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _write(
    domain: Domain,
    number: int | None,
    body: Mapping[str, object],
    *,
    body_hash: bytes,
    ledger_id: int,
    actor: int,
    now: datetime,
) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_registry"
            " (ledger_id, domain, number, body_hash, body, created_at)"
            " VALUES (%s, %s, coalesce(%s, nextval('ledger_registry_number')), %s, %s, %s)"
            " ON CONFLICT (ledger_id, domain, body_hash) DO NOTHING RETURNING number",
            [ledger_id, domain, number, body_hash, canonical_json(body).decode(), now],
        )
        row = cursor.fetchone()
    if row is None:
        found = _find(ledger_id, domain, body_hash)
        if found is None:
            raise LookupError(f"{domain} registry row vanished between two statements")
        return found
    number = int(row[0])
    document = put_document(_document(domain, number, body), now=now)
    rows.append([_entry(domain, number, body_hash, document, ledger_id, actor, now)])
    return number


def _document(domain: Domain, number: int, body: Mapping[str, object]) -> dict[str, object]:
    # Domain and number too: the entry binds them, not only the body.
    return {"body": dict(body), "domain": domain.value, "number": number}


def _entry(
    domain: Domain,
    number: int,
    body_hash: bytes,
    document: bytes,
    ledger_id: int,
    actor: int,
    now: datetime,
) -> Entry:
    uid: UUID = ids.uid(
        scope="registry",
        key=f"{ledger_id}/{domain}/{number}/{body_hash.hex()}",
        origin_ms=(now - _UNIX_EPOCH) // timedelta(milliseconds=1),
    )
    return Entry(
        ledger_id=ledger_id,
        kind=Kind.REGISTRY,
        uid=uid,
        effective_at=now,
        recorded_at=now,
        actor_id=actor,
        doc=document,
    )
