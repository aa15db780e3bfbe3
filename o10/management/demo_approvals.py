"""Which changes wait for a second person in the demo company, and which were decided?

One raise waits with an open question, one limit holds and is confirmed afterwards, one change
of the approval policy waits for the CFO; one raise was approved for a time, one was declined.
"""

from datetime import datetime, timedelta

from o10.access import operations as access
from o10.access.keys import Caller
from o10.kernel.money import NANOS_PER_UNIT
from policies import facade as policies


def lay_down_policy(*, now: datetime) -> None:
    """From the start service keys may approve here, so that scripts can be tried. Once."""
    if policies.approval_policy().version == 0:
        policies.found_approval_policy(
            policy=policies.ApprovalPolicy(keys_may_approve=True),
            actor=access.COMMAND_LINE,
            now=now,
        )


def ask_for_changes(
    *, owner: Caller, finops: Caller, controller: Caller, cfo: Caller, now: datetime
) -> int:
    """How many requests are open now, in the story of this company?"""
    lines = {
        line.slug: line
        for line in policies.list_envelope_lines(now=now)
        if line.scope_kind == "use_case"
    }
    support, drafts = lines["support-assistant"], lines["marketing-drafts"]
    earlier = _raise(lines["call-summaries"], 500, owner, now, "a second branch office")
    policies.approve(
        approval=earlier.id,
        actor=controller,
        now=now,
        reason="for the campaign only",
        until=now + timedelta(days=12),
        key="demo/approve",
    )
    refused = _raise(lines["agent-collections"], 900, owner, now, "more cases at year end")
    policies.decline(
        approval=refused.id,
        actor=controller,
        now=now,
        reason="cost per case is above its target; first the shorter prompt",
        key="demo/decline",
    )
    asked = _raise(support, 1_500, owner, now, "card migration: addresses double until 30 Nov")
    policies.ask(
        approval=asked.id,
        actor=cfo,
        now=now,
        reason="Is December affected, too?",
        key="demo/ask",
    )
    policies.ask_envelope_change(
        envelope=drafts.public,
        change=policies.EnvelopeChange(
            amount_nanos=(drafts.amount or 0) - 200 * NANOS_PER_UNIT,
            reason="drafts are written by the smaller model now",
        ),
        actor=finops,
        now=now,
        key="demo/lower",
    )
    policies.ask_approval_policy(
        policy=policies.ApprovalPolicy(
            keys_may_approve=True,
            materiality_nanos=15_000 * NANOS_PER_UNIT,
            tiers=(policies.Tier(above_nanos=50_000 * NANOS_PER_UNIT, people=3),),
        ),
        actor=controller,
        now=now,
        reason="the company has grown; three people above 50,000",
        key="demo/policy",
    )
    return len(policies.list_approvals(now=now, state="open").items)


def _raise(
    line: policies.EnvelopeLine, more: int, maker: Caller, now: datetime, why: str
) -> policies.ApprovalView:
    asked = policies.ask_envelope_change(
        envelope=line.public,
        change=policies.EnvelopeChange(
            amount_nanos=(line.amount or 0) + more * NANOS_PER_UNIT, reason=why
        ),
        actor=maker,
        now=now,
        key=f"demo/raise/{line.slug}",
    )
    if not isinstance(asked, policies.ApprovalView):
        raise LookupError(f"a raise of {line.slug} waits for a second person")
    return asked
