"""Which changes wait for whom? `/approvals`: list, read, approve, decline, ask, delegate."""

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, PAGED, Operation
from o10.access.keys import Caller
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import (
    Awaits,
    Door,
    answer,
    awaits,
    key_of,
    limit_of,
    query_of,
    version_of,
)
from o10.kernel import clock
from o10.kernel.errors import FieldError, Forbidden, ValidationFailed
from o10.kernel.money import NANOS_PER_UNIT, amount_text, parse_nanos
from o10.wire import fields as f
from policies import facade
from policies.web.serializers import instant_of

STATES = ("open", "approved", "declined", "withdrawn", "expired", "void")
_FILTERS = {
    **PAGED,
    "state": f"One of {', '.join(STATES)}.",
    "subject": "Id or slug of what changes.",
    "kind": "A kind of change, such as envelope.raise.",
}
_EDIT = {**KEYED, "If-Match": "ETag of the version the answer is about; else 412."}
_Note = Annotated[str, Meta(max_length=400)]
_Said = Annotated[str, Meta(min_length=1, max_length=400)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do all bodies of decisions have in common?"""

    request_id: f.Name | None = None


class ApproveBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Yes, and why? `until` lets the change hold before that instant only."""

    reason: _Note = ""
    until: Annotated[str, Meta(max_length=40)] | None = None


class DeclineBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No, and why?"""

    reason: _Said


class WithdrawBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Taken back, and why?"""

    reason: _Note = ""


class AskBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked, or answered?"""

    reason: _Said


class DelegateBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom is the vote handed? `to` is a person's id."""

    to: f.Name
    reason: _Note = ""


class TierBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Above which amount do how many people have to agree?"""

    above: f.Decimal
    people: Annotated[int, Meta(ge=1, le=5)]


class PolicyBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which approval policy shall the company have? `share` is of the parent's cap."""

    materiality: f.Decimal
    materiality_share: Annotated[str, Meta(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")]
    expiry_days: Annotated[int, Meta(ge=1, le=90)]
    confirm_hours: Annotated[int, Meta(ge=1, le=168)] = 24
    keys_may_approve: bool = False
    compliance_approvers: Annotated[list[f.Name], Meta(max_length=50)] = []
    tiers: Annotated[list[TierBody], Meta(max_length=10)] = []
    reason: _Said


class PolicyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Which approval policy holds? Version 0 = the one a company has before it sets one."""

    version: int
    materiality: str
    materiality_nanos: str
    materiality_share: str
    expiry_days: int
    confirm_hours: int
    keys_may_approve: bool
    compliance_approvers: tuple[str, ...]
    tiers: tuple[dict[str, str | int], ...]
    since: datetime | None


class Approvals(Door):
    """The requests of the company, newest first."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND, gives={JSON: facade.ApprovalPage}, query=_FILTERS
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """One page; large changes are told whole by the request itself."""
        query = query_of(request, allowed=frozenset(_FILTERS))
        _check_whole_company(caller_of(request))
        state = query.get("state", "")
        if state and state not in STATES:
            message = f"One of {', '.join(STATES)}."
            raise ValidationFailed(errors=[FieldError("/state", "not_a_choice", message)])
        page = facade.list_approvals(
            now=clock.now(),
            state=state,
            subject=query.get("subject", ""),
            kind=query.get("kind", ""),
            cursor=query.get("cursor", ""),
            limit=limit_of(query),
        )
        return answer(page)


class OneApproval(Door):
    """One request: the exact change, its effect, who did what."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: facade.ApprovalView}),
    }

    def get(self, request: Request, approval: str) -> HttpResponse:
        """By its id; the ETag is its version, which rises with every step."""
        query_of(request, allowed=frozenset())
        _check_whole_company(caller_of(request))
        return _told(facade.get_approval(approval=approval, now=clock.now()))


class Approve(Door):
    """A second person's yes."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.COUNTERSIGN,
            takes={JSON: ApproveBody},
            gives={JSON: facade.ApprovalView},
            headers=_EDIT,
        ),
    }

    def post(self, request: Request, approval: str) -> HttpResponse:
        """The last yes carries the change out; the next call obeys it."""
        body = self.parse(request, ApproveBody)
        return _told(
            facade.approve(
                approval=approval,
                actor=caller_of(request),
                now=clock.now(),
                reason=body.reason,
                until=instant_of(body.until, at="/until"),
                key=key_of(request, body),
                expected_version=version_of(request),
            )
        )


class Decline(Door):
    """A second person's no."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.COUNTERSIGN,
            takes={JSON: DeclineBody},
            gives={JSON: facade.ApprovalView},
            headers=_EDIT,
        ),
    }

    def post(self, request: Request, approval: str) -> HttpResponse:
        """Ends the request with a reason; nothing changes."""
        body = self.parse(request, DeclineBody)
        return _told(
            facade.decline(
                approval=approval,
                actor=caller_of(request),
                now=clock.now(),
                reason=body.reason,
                key=key_of(request, body),
                expected_version=version_of(request),
            )
        )


class Withdraw(Door):
    """Who asked takes it back."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.READ_SPEND,
            takes={JSON: WithdrawBody},
            gives={JSON: facade.ApprovalView},
            headers=_EDIT,
        ),
    }

    def post(self, request: Request, approval: str) -> HttpResponse:
        """Ends the request; only who made it may."""
        body = self.parse(request, WithdrawBody)
        return _told(
            facade.withdraw(
                approval=approval,
                actor=caller_of(request),
                now=clock.now(),
                reason=body.reason,
                key=key_of(request, body),
                expected_version=version_of(request),
            )
        )


class Ask(Door):
    """A question, or the answer of who made the request."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.READ_SPEND,
            takes={JSON: AskBody},
            gives={JSON: facade.ApprovalView},
            headers=KEYED,
        ),
    }

    def post(self, request: Request, approval: str) -> HttpResponse:
        """Kept with the request; it waits on."""
        body = self.parse(request, AskBody)
        return _told(
            facade.ask(
                approval=approval,
                actor=caller_of(request),
                now=clock.now(),
                reason=body.reason,
                key=key_of(request, body),
            )
        )


class Delegate(Door):
    """A vote handed to another person."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.COUNTERSIGN,
            takes={JSON: DelegateBody},
            gives={JSON: facade.ApprovalView},
            headers=KEYED,
        ),
    }

    def post(self, request: Request, approval: str) -> HttpResponse:
        """The two stay one voter."""
        body = self.parse(request, DelegateBody)
        return _told(
            facade.delegate(
                approval=approval,
                actor=caller_of(request),
                to=body.to,
                now=clock.now(),
                reason=body.reason,
                key=key_of(request, body),
            )
        )


class ApprovalPolicies(Door):
    """Who has to agree to what, as far as the company says so itself."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: PolicyAnswer}),
        "PUT": Operation(
            action=Action.COUNTERSIGN,
            takes={JSON: PolicyBody},
            gives={JSON: Awaits},
            status=202,
            headers=KEYED,
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """The policy in force."""
        query_of(request, allowed=frozenset())
        view = facade.approval_policy()
        policy = view.policy
        return answer(
            PolicyAnswer(
                version=view.version,
                materiality=amount_text(policy.materiality_nanos),
                materiality_nanos=str(policy.materiality_nanos),
                materiality_share=_share(policy.materiality_parent_ppm),
                expiry_days=policy.expiry_days,
                confirm_hours=policy.confirm_hours,
                keys_may_approve=policy.keys_may_approve,
                compliance_approvers=policy.compliance_approvers,
                tiers=tuple(
                    {"above": amount_text(tier.above_nanos), "people": tier.people}
                    for tier in policy.tiers
                ),
                since=view.at,
            )
        )

    def put(self, request: Request) -> HttpResponse:
        """Asks for another: a controller asks, a cfo agrees; running requests keep theirs."""
        body = self.parse(request, PolicyBody)
        asked = facade.ask_approval_policy(
            policy=facade.ApprovalPolicy(
                materiality_nanos=parse_nanos(body.materiality),
                materiality_parent_ppm=_ppm(body.materiality_share),
                expiry_days=body.expiry_days,
                confirm_hours=body.confirm_hours,
                keys_may_approve=body.keys_may_approve,
                compliance_approvers=tuple(body.compliance_approvers),
                tiers=tuple(
                    facade.Tier(above_nanos=parse_nanos(tier.above), people=tier.people)
                    for tier in body.tiers
                ),
            ),
            actor=caller_of(request),
            now=clock.now(),
            reason=body.reason,
            key=key_of(request, body),
        )
        return awaits(asked.id, asked.needs)


def _told(view: facade.ApprovalView) -> HttpResponse:
    return answer(view, headers={"ETag": f'"v{view.version}"'})


def _check_whole_company(caller: Caller) -> None:
    """A key of some use cases doesn't learn what the company plans elsewhere."""
    if caller.use_case_slugs is not None:
        raise Forbidden(action=Action.READ_SPEND.value, reason="use_case_scope")


def _ppm(share: str) -> int:
    whole, _, fraction = share.partition(".")
    return int(whole) * 1_000_000 + int(fraction.ljust(6, "0") or "0")


def _share(ppm: int) -> str:
    return amount_text(ppm * (NANOS_PER_UNIT // 1_000_000))
