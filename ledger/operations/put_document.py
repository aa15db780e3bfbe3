"""How does a document get its hash? Canonical bytes, stored once under their SHA-256."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection

from ledger.core.document import canonical_json, document_hash


def put_document(body: Mapping[str, object], *, now: datetime) -> bytes:
    """Which 32-byte hash names this document from now on? Equal bodies have one row.

    Never personal data, prompts or answers: a document stays as long as its proofs.
    Raises: DocumentInvalid (`document_invalid`) for what has no canonical form or is above 64
    KiB.
    """
    encoded = canonical_json(body)
    digest = document_hash(encoded)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_document (hash, body, created_at) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [digest, encoded, now],
        )
    return digest


def put_documents(encoded: Sequence[bytes], *, now: datetime) -> None:
    """Keeps many documents at once; `encoded` are their canonical bytes, each hashed here.

    In the order of their hashes, so that two callers cannot wait for each other.
    """
    bodies = {document_hash(each): each for each in encoded}
    order = sorted(bodies)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_document (hash, body, created_at)"
            " SELECT hash, body, %s FROM unnest(%s::bytea[], %s::bytea[]) AS d (hash, body)"
            " ON CONFLICT DO NOTHING",
            [now, order, [bodies[each] for each in order]],
        )
