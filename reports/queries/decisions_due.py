"""Which requests wait for this person's decision? For the overview."""

from datetime import datetime

from o10.access.keys import Caller
from policies import facade as policies


def requests_for(*, caller: Caller, now: datetime) -> tuple[policies.ApprovalView, ...]:
    """Which requests may this caller decide now? Nothing for who can decide none."""
    if not policies.count_waiting(caller=caller, now=now):
        return ()
    return policies.inbox(caller=caller, now=now, done_most=1).mine
