"""Which capacity is committed, what is a currency worth? `/commitments`, `/fx-rates`."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, answer, awaits, key_of, query_of
from o10.kernel import clock
from policies import facade
from policies.web.price_answers import commitment_view, fx_view
from policies.web.price_bodies import (
    CommitmentAnswer,
    CommitmentBody,
    CommitmentsAnswer,
    FxAddedAnswer,
    FxAnswer,
    FxRatesBody,
    FxSettleBody,
    commitment_draft,
    instant,
)


class Commitments(Door):
    """Capacity that is paid whether used or not."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: CommitmentsAnswer}),
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: CommitmentBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The next to end first; drawdown, waste, break-even and advice of each."""
        query_of(request, allowed=frozenset())
        currency = facade.organisation().currency
        found = facade.list_commitments(now=clock.now())
        return answer(
            CommitmentsAnswer(items=tuple(commitment_view(view, currency) for view in found))
        )

    def post(self, request: Request) -> HttpResponse:
        """Asks for a new commitment; it is booked once a second person approved."""
        return _ask(self, request, "")


class OneCommitment(Door):
    """One commitment with the days it was charged."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: CommitmentAnswer}),
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: CommitmentBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def get(self, request: Request, commitment: str) -> HttpResponse:
        """By its id."""
        query_of(request, allowed=frozenset())
        view = facade.get_commitment(public=commitment, now=clock.now())
        return answer(commitment_view(view, facade.organisation().currency, whole=1))

    def post(self, request: Request, commitment: str) -> HttpResponse:
        """Asks for other terms from their own start on."""
        return _ask(self, request, commitment)


class FxRates(Door):
    """Dated rates of other currencies."""

    max_bytes: ClassVar = 1024 * 1024
    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND,
            gives={JSON: FxAnswer},
            query={"currency": "Of this currency alone."},
        ),
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: FxRatesBody},
            gives={JSON: FxAddedAnswer},
            headers=KEYED,
            status=201,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """By currency, the newest date first."""
        query = query_of(request, allowed=frozenset({"currency"}))
        lines = facade.list_fx_rates(now=clock.now(), currency=query.get("currency", ""))
        return answer(
            FxAnswer(
                items=tuple(fx_view(line) for line in lines),
                reporting_currency=facade.organisation().currency,
            )
        )

    def post(self, request: Request) -> HttpResponse:
        """Adds rates: facts of a named source, which change no booked entry."""
        body = self.parse(request, FxRatesBody)
        added = facade.add_fx_rates(
            rates=[
                facade.FxRate(
                    currency=each.currency,
                    rate=each.rate,
                    rate_date=each.date,
                    source=each.source,
                    evidence=each.evidence,
                )
                for each in body.rates
            ],
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        told = FxAddedAnswer(price_version=added.version, added=added.added, known=added.known)
        return answer(told, status=201)


class FxSettlements(Door):
    """Gain or loss between the rate booked and the rate paid."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CHANGE_PRICES,
            takes={JSON: FxSettleBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request) -> HttpResponse:
        """Asks that the difference is booked as a line of its own."""
        body = self.parse(request, FxSettleBody)
        view = facade.propose_fx_difference(
            currency=body.currency,
            rate=body.rate,
            paid_on=body.paid_on,
            start=instant(body.start, "/start"),
            end=instant(body.end, "/end"),
            reason=body.reason,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return awaits(view.id, view.needs)


def _ask(door: Door, request: Request, public: str) -> HttpResponse:
    body = door.parse(request, CommitmentBody)
    view = facade.propose_commitment(
        draft=commitment_draft(body, currency=facade.organisation().currency),
        public=public,
        actor=caller_of(request),
        now=clock.now(),
        reason=body.reason,
        key=key_of(request, body),
    )
    return awaits(view.id, view.needs)
