"""Which entries are there? `GET /ledger/entries` and `GET /ledger/entries/{id}`."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from ledger import facade
from ledger.web.scope import check_in_scope, numbers_in_scope
from ledger.web.serializers import AsOf, EntryList, EntryView, entry_views
from o10.access.doors import JSON, PAGED, Operation
from o10.access.keys import Caller
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, limit_of, query_of
from o10.kernel import clock
from o10.kernel.errors import FieldError, NotFound, Rejected, ValidationFailed
from o10.kernel.ids import uuid_of

_INSTANTS = ("effective_from", "effective_to", "recorded_from", "recorded_to")
_POSITIONS = ("seq_from", "seq_to")
PARAMETERS = {
    **PAGED,
    "use_case": "Slug.",
    "envelope": "env_…",
    "kind": "Names separated by commas, as settle,overrun.",
    "reservation": "rsv_…",
    "ref": "The provider's request id or invoice line.",
    "effective_from": "It happened at or after this instant.",
    "effective_to": "It happened before this instant.",
    "recorded_from": "It was written at or after this instant.",
    "recorded_to": "It was written before this instant.",
    "seq_from": "First position.",
    "seq_to": "Position after the last.",
}
_KINDS = {kind.name.lower(): kind.value for kind in facade.Kind}


class EntriesList(Door):
    """Entries, newest first, by use case, envelope, kind, reservation, time and position."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_LEDGER, gives={JSON: EntryList}, query=PARAMETERS)
    }

    def get(self, request: Request) -> HttpResponse:
        """One page; `next` is the cursor of the one after it."""
        query = query_of(request, allowed=frozenset(PARAMETERS))
        page = facade.list_entries(
            ledger_id=facade.COMPANY_LEDGER,
            where=_filter(query, caller_of(request)),
            cursor=query.get("cursor"),
            limit=limit_of(query),
        )
        seq = facade.seal_state(now=clock.now()).seq
        return answer(
            EntryList(items=entry_views(page.items), next=page.next, as_of=AsOf(ledger_seq=seq))
        )


class EntryRead(Door):
    """One entry with its position, leaf and chain hash."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_LEDGER, gives={JSON: EntryView})
    }

    def get(self, request: Request, entry: str) -> HttpResponse:
        """By its public id."""
        query_of(request, allowed=frozenset())
        stored = get_entry(entry, caller_of(request))
        return answer(entry_views((stored,))[0])


def get_entry(public_id: str, caller: Caller) -> facade.StoredEntry:
    """Which entry has this public id, as far as the caller may see?

    Raises: NotFound (`not_found`), for an id that is none of ours too.
    """
    try:
        uid = uuid_of(public_id, "ent")
    except Rejected as error:
        raise NotFound(kind="entry", id=public_id) from error
    stored = facade.get_by_uid(ledger_id=facade.COMPANY_LEDGER, uid=uid)
    check_in_scope(caller, stored)
    return stored


def _filter(query: Mapping[str, str], caller: Caller) -> facade.EntryFilter:
    wrong: list[FieldError] = []
    instants = {name: _instant(query, name, wrong) for name in _INSTANTS}
    positions = {name: _position(query, name, wrong) for name in _POSITIONS}
    reservation = _reservation(query, wrong)
    kinds = _kinds(query, wrong)
    if wrong:
        raise ValidationFailed(errors=wrong)
    return facade.EntryFilter(
        use_case_ids=_use_cases(query, caller),
        envelope_ids=_envelopes(query),
        kinds=kinds,
        reservation=reservation,
        ref=query.get("ref"),
        **instants,
        **positions,
    )


def _instant(query: Mapping[str, str], name: str, wrong: list[FieldError]) -> datetime | None:
    if name not in query:
        return None
    try:
        at = datetime.fromisoformat(query[name])
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        message = "An instant as in 2026-11-01T00:00:00Z."
        wrong.append(FieldError(f"/{name}", "bad_time", message))
    return at


def _position(query: Mapping[str, str], name: str, wrong: list[FieldError]) -> int | None:
    if name not in query:
        return None
    stated = query[name]
    if stated.isascii() and stated.isdigit() and len(stated) <= 18:
        return int(stated)
    wrong.append(FieldError(f"/{name}", "out_of_range", "A position is a whole number."))
    return None


def _reservation(query: Mapping[str, str], wrong: list[FieldError]) -> UUID | None:
    if "reservation" not in query:
        return None
    try:
        return uuid_of(query["reservation"], "rsv")
    except Rejected as error:
        message = error.errors[0].message
        wrong.append(FieldError("/reservation", "id_malformed", message))
        return None


def _kinds(query: Mapping[str, str], wrong: list[FieldError]) -> tuple[int, ...]:
    names = query["kind"].split(",") if "kind" in query else []
    unknown = [name for name in names if name not in _KINDS]
    if unknown:
        message = f"One or more of {', '.join(_KINDS)}, separated by commas."
        wrong.append(FieldError("/kind", "not_a_choice", message))
    return tuple(_KINDS[name] for name in names if name in _KINDS)


def _use_cases(query: Mapping[str, str], caller: Caller) -> tuple[int, ...]:
    scope = numbers_in_scope(caller)
    if "use_case" not in query:
        return scope
    number = _number(facade.Domain.USE_CASE, "slug", query["use_case"], at="/use_case")
    if scope and number not in scope:
        raise _unknown("/use_case")
    return (number,)


def _envelopes(query: Mapping[str, str]) -> tuple[int, ...]:
    if "envelope" not in query:
        return ()
    return (_number(facade.Domain.ENVELOPE, "id", query["envelope"], at="/envelope"),)


def _number(domain: facade.Domain, field: str, value: str, *, at: str) -> int:
    known = facade.numbers_of(domain=domain, field=field, values=(value,))
    if value not in known:
        raise _unknown(at)
    return known[value]


def _unknown(at: str) -> ValidationFailed:
    message = "Not in the ledger, or not for this caller."
    return ValidationFailed(errors=[FieldError(at, "unknown", message)])
