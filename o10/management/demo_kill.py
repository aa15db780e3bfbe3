"""Which rules stop what fails in the demo company, and which of them has tripped?

Written by finance, armed by the controller. A parser in the sandbox never gets the answer it
wants and asks again and again: its criterion trips by that, as it would for anybody.
"""

from datetime import datetime, timedelta

import msgspec

from o10.access.keys import Caller
from o10.management import demo_company as company
from o10.wire.requests import Authorize, Finish, Settle, UsageCounts
from policies import facade as policies

ARMED = (
    ("envelope-spent", "support-assistant"),
    ("envelope-spent", "policy-search"),
    ("served-against-compliance", "kyc-extraction"),
    ("retry-waste", "agent-collections"),
    ("outcome-cost-up", "support-assistant"),
    ("spend-jump", "marketing-drafts"),
    ("dearer-model", "policy-search"),
    ("forgotten-schedule", "meeting-summaries"),
    ("nobody-owns-it", ""),
)
DRAFTS = (("review-heavy", "agent-collections"), ("kyi-low", "sandbox"))
LOOPING = "sandbox"
LOOPS = 24
LIMIT = 20
FINGERPRINT = "parse-invoice-json"


def write_rules(*, maker: Caller, checker: Caller, router: Caller, now: datetime) -> int:
    """How many criteria are there now? One of them has tripped, and its lift is asked for."""
    begun = now - timedelta(seconds=LOOPS)
    for slug, use_case in ARMED:
        _arm(_draft(slug, use_case, maker, begun), maker, checker, begun)
    for slug, use_case in DRAFTS:
        _draft(slug, use_case, maker, begun)
    loop = _draft_loop(maker, begun)
    _arm(loop, maker, checker, begun)
    _run_in_circles(router, begun)
    policies.look_at_all(now=now)
    policies.ask_to_restore(
        criterion=loop,
        actor=maker,
        now=now,
        reason="the parser accepts the answer since build 112",
        key="demo/lift",
    )
    return len(ARMED) + len(DRAFTS) + 1


def _draft(slug: str, use_case: str, maker: Caller, now: datetime) -> str:
    offered = policies.find_offered(slug)
    if offered is None:
        raise LookupError(f"the pack has no {slug}")
    return policies.create_criterion(
        draft=policies.CriterionDraft(
            name=offered.name,
            scope_kind=offered.scope_kind,
            scope_slug=use_case,
            spec=msgspec.structs.replace(offered.spec, owner=_owner(use_case)),
        ),
        actor=maker,
        now=now,
        key=f"demo/{slug}/{use_case}",
    )


def _draft_loop(maker: Caller, now: datetime) -> str:
    offered = policies.find_offered("retry-loop")
    if offered is None:
        raise LookupError("the pack has no retry-loop")
    spec = msgspec.structs.replace(
        offered.spec,
        threshold=str(LIMIT),
        lever="freeze",
        execution="auto",
        owner=_owner(LOOPING),
    )
    return policies.create_criterion(
        draft=policies.CriterionDraft(
            name=offered.name, scope_kind="use_case", scope_slug=LOOPING, spec=spec
        ),
        actor=maker,
        now=now,
        key="demo/retry-loop",
    )


def _arm(criterion: str, maker: Caller, checker: Caller, now: datetime) -> None:
    if policies.get_kill_view(criterion=criterion).state != "draft":
        return
    asked = policies.ask_to_arm(
        criterion=criterion,
        actor=maker,
        now=now,
        reason="default pack, agreed at onboarding",
        key=f"demo/{criterion}",
    )
    policies.approve(approval=asked.id, actor=checker, now=now, key=f"demo/{criterion}")


def _run_in_circles(router: Caller, now: datetime) -> None:
    case = next(each for each in company.USE_CASES if each.slug == LOOPING)
    for number in range(LOOPS):
        at = now + timedelta(seconds=number / 2)
        request = Authorize(
            request_id=f"demo-loop-{number}",
            use_case=LOOPING,
            model=case.supplies[0].model,
            input_tokens=case.input_tokens,
            max_output_tokens=case.output_tokens,
            run_id="demo-run-17",
            step=number + 1,
            step_fingerprint=FINGERPRINT,
        )
        answer = msgspec.json.decode(policies.authorize(request=request, caller=router, now=at))
        if not answer.get("reservation"):
            return
        policies.settle(
            request=Settle(
                reservation=answer["reservation"]["id"],
                usage=UsageCounts(
                    input_tokens=case.input_tokens, output_tokens=case.output_tokens // 2
                ),
                status=Finish.ERROR,
                latency_ms=700 + number,
            ),
            caller=router,
            now=at,
        )


def _owner(use_case: str) -> str:
    found = next((case for case in company.USE_CASES if case.slug == use_case), None)
    return "finance" if found is None else found.department
