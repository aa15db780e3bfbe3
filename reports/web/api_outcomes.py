"""Which business results came of the calls? `/outcomes`: tell one to 10,000, list them."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from o10.access.checks import check_see_use_case
from o10.access.doors import JSON, PAGED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, limit_of, query_of
from o10.kernel import clock
from reports import facade
from reports.web.serializers import (
    OUTCOME_BYTES,
    OutcomeBody,
    OutcomesAnswer,
    OutcomesRead,
    as_of,
    outcome_read,
    outcomes_answer,
    problem_of,
    read_outcomes,
)

_FILTERS = {**PAGED, "use_case": "Slug.", "type": "Type of outcome."}


class Outcomes(Door):
    """Business results; their type and id are their key for ever."""

    max_bytes: ClassVar = OUTCOME_BYTES
    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: OutcomesRead}, query=_FILTERS),
        "POST": Operation(
            action=Action.RECORD_USAGE,
            takes={JSON: OutcomeBody | list[OutcomeBody]},
            gives={JSON: OutcomesAnswer},
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page, newest first."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        caller = caller_of(request)
        if "use_case" in query:
            check_see_use_case(caller=caller, slug=query["use_case"])
        rows, more = facade.list_outcomes(
            use_case=query.get("use_case", ""),
            kind=query.get("type", ""),
            among=caller.use_case_slugs,
            cursor=query.get("cursor", ""),
            limit=limit_of(query),
        )
        return answer(
            OutcomesRead(items=[outcome_read(row) for row in rows], next=more, as_of=as_of())
        )

    def post(self, request: Request) -> HttpResponse:
        """Records what is right; a wrong item of many is told in its place."""
        drafts, wrong, alone = read_outcomes(self.read(request))
        if alone and wrong:
            raise problem_of(wrong[0])
        report = facade.record_outcomes(
            drafts=drafts, actor=caller_of(request), now=clock.now()
        )
        told = outcomes_answer(report, wrong)
        if alone and told.items[0].error is not None:
            raise problem_of(told.items[0].error)
        return answer(told)
