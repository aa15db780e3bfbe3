"""What does it cost, and who says so? `/prices`, `/price-proposals`, `/price-quarantine`."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, PAGED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, answer, awaits, key_of, limit_of, query_of
from o10.kernel import clock
from o10.kernel.errors import FieldError, NotFound, ValidationFailed
from policies import facade
from policies.web.price_answers import price_view, proposal_view, quarantine_view, rule_view
from policies.web.price_bodies import (
    DismissalBody,
    HistoryView,
    NothingNew,
    PriceBody,
    PriceEndBody,
    PricePage,
    ProposalAnswer,
    ProposalsAnswer,
    QuarantineAnswer,
    QuarantineView,
    RefreshBody,
    ReleaseBody,
    RevaluationBody,
    instant,
    price_draft,
)

_FILTERS = {
    **PAGED,
    "venue": "Prices of this venue.",
    "source": "override, contract, list or none.",
    "text": "Part of an offer's name.",
}


_STATES = ("waiting", "released", "dismissed")


class Prices(Door):
    """The venue price table."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: PricePage}, query=_FILTERS),
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: PriceBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page, by offer; each with its price in force and its list price."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        now = clock.now()
        lines = facade.list_price_lines(
            at=now,
            venue=query.get("venue", ""),
            source=query.get("source", ""),
            text=query.get("text", ""),
        )
        after, limit = query.get("cursor", ""), limit_of(query)
        rest = [line for line in lines if line.key.slug > after]
        currency = facade.organisation().currency
        page = PricePage(
            items=tuple(price_view(line, currency) for line in rest[:limit]),
            next=rest[limit - 1].key.slug if len(rest) > limit else None,
            as_of=facade.AsOf(ledger_seq=facade.ledger_position()),
            price_version=facade.price_book().version,
        )
        return answer(page)

    def post(self, request: Request) -> HttpResponse:
        """Asks for a contract or an override; it holds once a second person approved."""
        body = self.parse(request, PriceBody)
        view = facade.propose_price(
            draft=price_draft(body),
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        return awaits(view.id, view.needs)


class PriceHistory(Door):
    """One offer's rules, all of them."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND,
            gives={JSON: HistoryView},
            query={"offer": "Its name, such as openai/gpt-5.4."},
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The newest word first; what held when, by whose word, on which evidence."""
        slug = query_of(request, allowed=frozenset({"offer"})).get("offer", "")
        if not slug:
            message = "Name the offer: ?offer=openai/gpt-5.4."
            raise ValidationFailed(errors=[FieldError("/offer", "missing", message)])
        now = clock.now()
        line = facade.get_price_line(slug=slug, at=now)
        return answer(
            HistoryView(
                price=price_view(line, facade.organisation().currency),
                rules=tuple(rule_view(r) for r in facade.list_rule_lines(slug=slug, at=now)),
            )
        )


class PriceEnds(Door):
    """The end of a contract or override."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: PriceEndBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request) -> HttpResponse:
        """Asks that an own price ends, now or later."""
        body = self.parse(request, PriceEndBody)
        now = clock.now()
        view = facade.propose_price_end(
            rule_id=body.rule,
            slug=body.offer,
            ended_at=now if body.ended_at is None else instant(body.ended_at, "/ended_at"),
            reason=body.reason,
            actor=caller_of(request),
            now=now,
            key=key_of(request, body),
        )
        return awaits(view.id, view.needs)


class PriceRevaluations(Door):
    """Differences for what was booked at a price that was corrected."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: RevaluationBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request) -> HttpResponse:
        """Asks that entries follow today's prices; the originals stay as they are."""
        body = self.parse(request, RevaluationBody)
        view = facade.propose_revaluation(
            offers=body.offers,
            start=instant(body.start, "/start"),
            end=instant(body.end, "/end"),
            reason=body.reason,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return awaits(view.id, view.needs)


class PriceProposals(Door):
    """Catalogue refreshes: what was proposed, and what became of it."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: ProposalsAnswer}),
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: RefreshBody},
            gives={JSON: NothingNew},
            headers=KEYED,
            waits=Awaits,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The newest first, without their lines."""
        query_of(request, allowed=frozenset())
        currency = facade.organisation().currency
        found = facade.list_proposals()
        return answer(
            ProposalsAnswer(items=tuple(proposal_view(view, currency) for view in found))
        )

    def post(self, request: Request) -> HttpResponse:
        """Looks at the installed catalogue; 202 with the request that waits, 200 if nothing."""
        body = self.parse(request, RefreshBody)
        if body.catalogue != facade.GENAI_PRICES:
            message = f"Here only {facade.GENAI_PRICES}; a file goes by manage.py prices_sync."
            raise ValidationFailed(errors=[FieldError("/catalogue", "unknown", message)])
        asked = facade.propose_price_refresh(
            catalogue=facade.read_catalogue(source=facade.GENAI_PRICES),
            actor=caller_of(request),
            now=clock.now(),
        )
        if asked.approval is None:
            return answer(NothingNew(proposal=asked.id or None, confirmed=asked.confirmed))
        return awaits(asked.approval.id, asked.approval.needs)


class OnePriceProposal(Door):
    """One refresh, line by line, with its money effect."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: ProposalAnswer}),
    }

    def get(self, request: Request, proposal: str) -> HttpResponse:
        """By its id."""
        query_of(request, allowed=frozenset())
        view = facade.get_proposal(proposal=proposal)
        waiting = facade.find_open(subject=proposal, now=clock.now())
        return answer(
            proposal_view(
                view,
                facade.organisation().currency,
                approvals=[each.id for each in waiting],
                whole=1,
            )
        )


class PriceQuarantine(Door):
    """Rows of catalogues that are not believed."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND,
            gives={JSON: QuarantineAnswer},
            query={"state": "waiting (as without it), released or dismissed."},
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """Those that wait for a person, the newest first; or those people decided."""
        state = query_of(request, allowed=frozenset({"state"})).get("state", "waiting")
        if state not in _STATES:
            message = f"One of {', '.join(_STATES)}."
            raise ValidationFailed(errors=[FieldError("/state", "unknown", message)])
        rows = facade.list_quarantine()
        if state != "waiting":
            decided = facade.list_decided_quarantine()
            rows = tuple(row for row in decided if row.state == state)
        return answer(QuarantineAnswer(items=tuple(quarantine_view(row) for row in rows)))


class PriceRelease(Door):
    """The release of one doubted row."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: ReleaseBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, row: str) -> HttpResponse:
        """Asks that this row becomes a price, with the reason why it is believed."""
        body = self.parse(request, ReleaseBody)
        view = facade.propose_release(
            row_id=_row(row),
            reason=body.reason,
            free=body.free,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return awaits(view.id, view.needs)


class PriceDismissal(Door):
    """The dismissal of one doubted row."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: DismissalBody},
            gives={JSON: QuarantineView},
            headers=KEYED,
        ),
    }

    def post(self, request: Request, row: str) -> HttpResponse:
        """Says why this row is not believed; it stays out of the book and off the list."""
        body = self.parse(request, DismissalBody)
        key_of(request, body)
        view = facade.dismiss_price_row(
            row_id=_row(row),
            reason=body.reason,
            actor=caller_of(request),
            now=clock.now(),
        )
        return answer(quarantine_view(view))


def _row(said: str) -> int:
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise NotFound(kind="quarantined_price", id=said[:40])
    return int(said)
