"""Which months are open or closed, and how is one closed? `/periods`: list, read, close."""

from datetime import datetime
from typing import ClassVar

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, answer, awaits, key_of, query_of
from o10.kernel import clock
from o10.kernel.money import amount_text
from o10.wire import fields as f
from reports import facade
from reports.web.api_imports import LedgerPosition, here


class PeriodBody(msgspec.Struct, frozen=True, kw_only=True):
    """How does a month stand? `later` is what came in for it after its close."""

    period: str
    status: str
    starts_at: datetime
    ends_at: datetime
    closed_at: datetime | None
    amount: str
    amount_nanos: str
    later_nanos: str | None


class ConditionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Does one condition of the close hold?"""

    key: str
    title: str
    ok: bool
    found: str


class PeriodDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the way of the close, or what was sealed?"""

    period: PeriodBody
    ready: bool
    conditions: list[ConditionBody]
    balances_root: str
    first_seq: int
    last_seq: int
    restated_nanos: str | None
    prior_lines: int
    as_of: LedgerPosition


class PeriodPage(msgspec.Struct, frozen=True, kw_only=True):
    """Which months are there, the newest first?"""

    items: list[PeriodBody]
    next: str | None
    as_of: LedgerPosition


class CloseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is passed over, for which reason? Condition to reason."""

    waivers: dict[f.Word, f.Sentence] = {}
    request_id: f.Name | None = None


class Periods(Door):
    """The months of the ledger."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: PeriodPage}),
    }

    def get(self, request: Request) -> HttpResponse:
        """Those with entries, 15 at most."""
        query_of(request, allowed=frozenset())
        items = [
            PeriodBody(
                period=line.period,
                status=line.status,
                starts_at=line.starts_at,
                ends_at=line.ends_at,
                closed_at=line.closed_at,
                amount=amount_text(line.amount_nanos),
                amount_nanos=str(line.amount_nanos),
                later_nanos=None if line.later_nanos is None else str(line.later_nanos),
            )
            for line in facade.list_period_states(now=clock.now())
        ]
        return answer(PeriodPage(items=items, next=None, as_of=here()))


class OnePeriod(Door):
    """One month: its checklist, or its seal and what came since."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: PeriodDetail}),
    }

    def get(self, request: Request, period: str) -> HttpResponse:
        """By its name, such as 2026-10."""
        query_of(request, allowed=frozenset())
        return answer(_detail(facade.read_checklist(period=period, now=clock.now())))


class ClosePeriod(Door):
    """Prepares the close of a month; the approval of a second person seals it."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CORRECT_LEDGER,
            takes={JSON: CloseBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, period: str) -> HttpResponse:
        """409 `close_blocked` names the conditions in the way."""
        query_of(request, allowed=frozenset())
        body = self.parse(request, CloseBody)
        prepared = facade.prepare_close(
            period=period,
            actor=caller_of(request),
            now=clock.now(),
            waivers=body.waivers,
            key=key_of(request, body),
        )
        if prepared.approval is None:
            missing = prepared.checklist.missing
            raise facade.CloseBlocked(
                period=period,
                conditions=[each.key for each in missing],
                found=" ".join(each.found for each in missing),
            )
        return awaits(prepared.approval.id, prepared.approval.needs)


def _detail(listed: facade.Checklist) -> PeriodDetail:
    row, restated = listed.period, listed.restated
    return PeriodDetail(
        period=PeriodBody(
            period=row.period,
            status=row.status,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            closed_at=row.closed_at,
            amount=amount_text(listed.sums.amount_nanos),
            amount_nanos=str(listed.sums.amount_nanos),
            later_nanos=str(restated.later_nanos) if restated else None,
        ),
        ready=listed.ready and restated is None,
        conditions=[
            ConditionBody(key=each.key, title=each.title, ok=each.ok, found=each.found)
            for each in listed.conditions
        ],
        balances_root=row.balances_root.hex(),
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        restated_nanos=str(restated.restated_nanos) if restated else None,
        prior_lines=len(restated.lines) if restated else 0,
        as_of=here(),
    )
