"""What does the offline verifier say about the entries of this test's database?"""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import connection

from ledger.core import canonical, verify
from ledger.core.entry import COLUMNS_V1, Entry

COLUMNS = ", ".join(column.name for column in COLUMNS_V1)


def findings_of_entries() -> list[Any]:
    """Every rule (I1-I5) that the entries break, replayed in the order they were committed."""
    images = list(_images())
    replay = verify.Replay(documents=_documents())
    replay.feed(enumerate(images, start=1))
    replay.finish(originals=_originals(images))
    return list(replay.findings)


def balances_of_entries() -> Mapping[tuple[int, int], Any]:
    """What the entries add up to, by envelope and start of its period (microseconds)."""
    images = list(_images())
    replay = verify.Replay(documents=_documents())
    replay.feed(enumerate(images, start=1))
    replay.finish(originals=_originals(images))
    return replay.balances()


def _images() -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM ledger_entry ORDER BY xid, id")
        rows = cursor.fetchall()
    names = [column.name for column in COLUMNS_V1]
    entries = (Entry(**dict(zip(names, row, strict=True))) for row in rows)
    return [canonical.encode(_plain(entry)) for entry in entries]


def _plain(entry: Entry) -> Entry:
    from dataclasses import replace

    return replace(entry, doc=bytes(entry.doc))


def _documents() -> dict[bytes, bytes]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT hash, body FROM ledger_document")
        return {bytes(digest): bytes(body) for digest, body in cursor.fetchall()}


def _originals(images: list[bytes]) -> Any:
    known = {image[26:42]: (seq, image) for seq, image in enumerate(images, start=1)}

    def find(uids: Collection[bytes]) -> Mapping[bytes, tuple[int, bytes]]:
        return {uid: known[uid] for uid in uids if uid in known}

    return find
