"""Which changes of the plan wait for a second person, and who may ask for one?"""

from datetime import datetime

from o10.access.keys import Caller
from policies import facade as policies

SUBJECT = "plan"


def plans_waiting(*, now: datetime) -> tuple[policies.ApprovalView, ...]:
    """Which requests for the plan are open? Oldest first."""
    return policies.find_open(subject=SUBJECT, now=now)


def can_ask_plan(*, actor: Caller) -> bool:
    """May this caller ask for a change of the plan? For the form."""
    return policies.can_ask(actor=actor, kind="plan.set")
