"""Which files came in, and how does a script send one? `/imports`: list, send, confirm."""

from datetime import datetime
from typing import Any, ClassVar

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, PAGED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, limit_of, query_of
from o10.kernel import clock
from o10.kernel.money import amount_text
from reports import facade

UPLOAD_MOST = 16 * 1024 * 1024
CSV, NDJSON = "text/csv", "application/x-ndjson"
_SEND = {
    "source": f"required; one of {', '.join(facade.SOURCES)}.",
    "file": "Name of the file, kept with the import.",
    "use_case": "Slug for rows that name none.",
}


class ImportBody(msgspec.Struct, frozen=True, kw_only=True):
    """How far is an import? Rows; money as text with its nanos; `state` checked to done."""

    id: str
    source: str
    kind: str
    state: str
    file: str
    file_hash: str
    rows: int
    new: int
    known: int
    rejected: int
    done: int
    unpriced: int
    amount: str
    amount_nanos: str
    booked: str
    booked_nanos: str
    currency: str
    ledger_first_seq: int
    ledger_last_seq: int
    entries_hash: str
    problem: str
    made_at: datetime
    finished_at: datetime | None
    rejects: list["RejectBody"] = []


class RejectBody(msgspec.Struct, frozen=True, kw_only=True):
    """Which row was not taken, and why? The header of a CSV is row 1."""

    row: int
    code: str
    message: str


class LedgerPosition(msgspec.Struct, frozen=True, kw_only=True):
    """At which position of the ledger was it computed?"""

    ledger_seq: int


class ImportPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which imports are there, the newest first?"""

    items: list[ImportBody]
    next: str | None
    as_of: LedgerPosition


class Imports(Door):
    """Files of usage and bills. A file is looked at when it comes and booked when confirmed."""

    max_bytes: ClassVar = UPLOAD_MOST
    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND,
            gives={JSON: ImportPage},
            query={"limit": PAGED["limit"], "source": "One source alone."},
        ),
        "POST": Operation(
            action=Action.CORRECT_LEDGER,
            takes={CSV: None, JSON: None, NDJSON: None},
            gives={JSON: ImportBody},
            query=_SEND,
            status=201,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The newest ones."""
        query = query_of(request, allowed=frozenset({"limit", "source"}))
        rows = facade.list_imports(source=query.get("source", ""), limit=limit_of(query))
        return answer(ImportPage(items=[body_of(row) for row in rows], next=None, as_of=here()))

    def post(self, request: Request) -> HttpResponse:
        """Looks at the file; nothing is booked before it is confirmed."""
        query = query_of(request, allowed=frozenset(_SEND))
        row = facade.check_file(
            source=query.get("source", ""),
            file_name=query.get("file", "upload"),
            body=self.read(request),
            use_case=query.get("use_case", ""),
            actor=caller_of(request).actor,
            now=clock.now(),
        )
        return answer(_told(row.public), status=201)


class OneImport(Door):
    """One import, with the first of its rejected rows."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: ImportBody}),
    }

    def get(self, request: Request, public: str) -> HttpResponse:
        """By its id."""
        query_of(request, allowed=frozenset())
        return answer(_told(public))


class ConfirmImport(Door):
    """Books an import that was looked at; a worker does it within seconds."""

    operations: ClassVar = {
        "POST": Operation(action=Action.CORRECT_LEDGER, gives={JSON: ImportBody}, status=202),
    }

    def post(self, request: Request, public: str) -> HttpResponse:
        """Twice is once."""
        query_of(request, allowed=frozenset())
        facade.confirm_import(public=public, now=clock.now())
        return answer(_told(public), status=202)


def here() -> LedgerPosition:
    """Which position has the ledger now?"""
    company = facade.find_ledger()
    seq = facade.position_of(ledger_id=company.id).seq if company else 0
    return LedgerPosition(ledger_seq=seq)


def body_of(row: facade.ImportView, rejects: list[RejectBody] | None = None) -> ImportBody:
    """How does an import stand in an answer?"""
    fields: dict[str, Any] = {
        "id": row.id,
        "source": row.source,
        "kind": row.kind,
        "state": row.state,
        "file": row.file_name,
        "file_hash": row.file_hash,
        "rows": row.rows_total,
        "new": row.rows_new,
        "known": row.rows_known,
        "rejected": row.rows_rejected,
        "done": row.rows_done,
        "unpriced": row.unpriced,
        "amount": amount_text(row.amount_nanos),
        "amount_nanos": str(row.amount_nanos),
        "booked": amount_text(row.booked_nanos),
        "booked_nanos": str(row.booked_nanos),
        "currency": row.currency,
        "ledger_first_seq": row.first_seq,
        "ledger_last_seq": row.last_seq,
        "entries_hash": row.entries_hash,
        "problem": row.problem,
        "made_at": row.made_at,
        "finished_at": row.finished_at,
    }
    return ImportBody(**fields, rejects=rejects or [])


def _told(public: str) -> ImportBody:
    rejects = [
        RejectBody(row=each.row, code=each.code, message=each.message)
        for each in facade.list_rejects(public, limit=100)
    ]
    return body_of(facade.get_import(public), rejects)
