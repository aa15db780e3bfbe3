"""To what is an attempt attributed when its settle states another prompt version?

Attribution is said at authorize; a settle may say the prompt version later, or another one (a
fallback with a prompt of its own). The entry carries what the settle said.
"""

from datetime import datetime

from ledger import facade as ledger
from o10.wire.requests import Settle
from policies.operations.reservations import Hold


def dims_of_attempt(*, hold: Hold, request: Settle, actor: int, now: datetime) -> int:
    """Which attribution set has the entry of this attempt? Mostly that of its hold.

    Interns: call it before any lock.
    """
    stated = request.prompt_version
    if stated is None or stated == hold.shape.get("prompt_version"):
        return hold.dims_id
    found = ledger.meanings_of(domain=ledger.Domain.DIMS, numbers=[hold.dims_id])
    return ledger.intern(
        ledger.Domain.DIMS,
        {**found.get(hold.dims_id, {}), "prompt_version": stated},
        ledger_id=ledger.COMPANY_LEDGER,
        actor=actor,
        now=now,
    )
