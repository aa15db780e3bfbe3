"""What was found, and what do people do about it? `/alerts`: list, read, handle, send again."""

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, PAGED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, answer, awaits, key_of, limit_of, query_of
from o10.kernel import clock
from o10.wire import fields as f
from policies import facade
from policies.web.serializers import Note

_FILTERS = {
    **PAGED,
    "state": "open, acknowledged, resolved or unresolved.",
    "kind": "Kind of alert.",
    "severity": "info, warning or critical.",
    "use_case": "Slug.",
}

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""With its offset: a local time without a zone names no instant."""


class AlertNoteBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why is this step taken?"""

    reason: Note = ""


class SnoozeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until when is nobody told, of this subject or (`whole_kind`) of the kind?"""

    until: Instant
    reason: Note
    whole_kind: bool = False


class SignBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which change of which use case shall be signed? `until` null = without an end."""

    use_case: f.Name
    dimension: f.Word
    value: f.Name
    reason: Note = ""
    until: Instant | None = None
    request_id: f.Name | None = None


class ChangesView(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes of use cases were first seen, newest first?"""

    items: tuple[facade.ChangeView, ...]
    next: str | None = None


class Alerts(Door):
    """All alerts, newest first."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND, gives={JSON: facade.AlertPage}, query=_FILTERS
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page; tests of channels are left out."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        page = facade.list_alerts(
            now=clock.now(),
            state=query.get("state", ""),
            kind=query.get("kind", ""),
            severity=query.get("severity", ""),
            use_case=query.get("use_case", ""),
            slugs=caller_of(request).use_case_slugs,
            cursor=query.get("cursor", ""),
            limit=limit_of(query),
        )
        return answer(page)


class OneAlert(Door):
    """One alert."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: facade.AlertView}),
    }

    def get(self, request: Request, alert: str) -> HttpResponse:
        """By its id."""
        query_of(request, allowed=frozenset())
        return _told(request, alert)


class AlertAcknowledge(Door):
    """Somebody looks after it."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.HANDLE_ALERTS,
            takes={JSON: AlertNoteBody},
            gives={JSON: facade.AlertView},
        ),
    }

    def post(self, request: Request, alert: str) -> HttpResponse:
        """Twice is once."""
        body = self.parse(request, AlertNoteBody)
        _check_seen(request, alert)
        facade.acknowledge_alert(
            alert=alert, reason=body.reason, actor=caller_of(request), now=clock.now()
        )
        return _told(request, alert)


class AlertResolve(Door):
    """It is dealt with."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.HANDLE_ALERTS,
            takes={JSON: AlertNoteBody},
            gives={JSON: facade.AlertView},
        ),
    }

    def post(self, request: Request, alert: str) -> HttpResponse:
        """With a reason; twice is once."""
        body = self.parse(request, AlertNoteBody)
        _check_seen(request, alert)
        facade.resolve_alert(
            alert=alert, reason=body.reason, actor=caller_of(request), now=clock.now()
        )
        return _told(request, alert)


class AlertSnoozes(Door):
    """Nobody is told until then."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.HANDLE_ALERTS,
            takes={JSON: SnoozeBody},
            gives={JSON: facade.AlertView},
        ),
    }

    def post(self, request: Request, alert: str) -> HttpResponse:
        """For at most 30 days."""
        body = self.parse(request, SnoozeBody)
        _check_seen(request, alert)
        facade.snooze_alert(
            alert=alert,
            until=body.until,
            whole_kind=body.whole_kind,
            reason=body.reason,
            actor=caller_of(request),
            now=clock.now(),
        )
        return _told(request, alert)


class AlertDeliveries(Door):
    """Who was told of this alert, and what did each try give?"""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND, gives={JSON: facade.Deliveries}, query=PAGED
        ),
    }

    def get(self, request: Request, alert: str) -> HttpResponse:
        """Newest first, with the log of each."""
        query = query_of(request, allowed=frozenset(PAGED))
        _check_seen(request, alert)
        page = facade.list_deliveries(
            alert=alert, cursor=query.get("cursor", ""), limit=limit_of(query)
        )
        return answer(page)


class Redelivery(Door):
    """Sends a message once more, under the id it had."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_ALERT_RULES, takes={JSON: AlertNoteBody}, status=202
        ),
    }

    def post(self, request: Request, delivery: str) -> HttpResponse:
        """At once, by the worker."""
        self.parse(request, AlertNoteBody)
        facade.redeliver(delivery=delivery, actor=caller_of(request), now=clock.now())
        return HttpResponse(status=202)


class Changes(Door):
    """Prompt versions, models, retry settings and venues when they were first seen."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND,
            gives={JSON: ChangesView},
            query={"use_case": "Slug.", "limit": PAGED["limit"]},
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """Newest first, with who signed each and what it did to the cost per call."""
        query = query_of(request, allowed=frozenset({"use_case", "limit"}))
        found = facade.list_changes(
            use_case=query.get("use_case", ""),
            slugs=caller_of(request).use_case_slugs,
            limit=limit_of(query),
        )
        return answer(ChangesView(items=found))


class ChangeSign(Door):
    """A change of a use case signed in advance, or late."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_USE_CASE,
            takes={JSON: SignBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request) -> HttpResponse:
        """Asks for it: another person agrees."""
        body = self.parse(request, SignBody)
        asked = facade.propose_change(
            kind="change.signed",
            subject=body.use_case,
            change={
                "use_case": body.use_case,
                "dimension": body.dimension,
                "value": body.value,
            },
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            until=body.until,
            key=key_of(request, body),
        )
        return awaits(asked.id, asked.needs)


def _check_seen(request: Request, alert: str) -> None:
    """Outside its use cases a key does not learn what exists."""
    facade.get_alert(alert=alert, now=clock.now(), slugs=caller_of(request).use_case_slugs)


def _told(request: Request, alert: str) -> HttpResponse:
    found = facade.get_alert(
        alert=alert, now=clock.now(), slugs=caller_of(request).use_case_slugs
    )
    return answer(found)
