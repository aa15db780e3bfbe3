"""Which jobs of the ledger run by the clock? Each only looks, and may run twice.

Sealing and the tail verifier are no jobs: `ledger_seal` is a process of its own. Unknown
keywords are tolerated: an older scheduler may still send what a newer worker forgot.
"""

import structlog
from celery import shared_task

from ledger import facade
from o10.kernel import clock

LAG_ALARM_S = 5.0
_log = structlog.get_logger("ledger.watch")


@shared_task(name="ledger.watch_seal")
def watch_seal(**_: object) -> float:
    """How old is the oldest entry without a position? An alarm names who holds it back."""
    now = clock.now()
    status = facade.seal_state(now=now)
    if status.lag_seconds > LAG_ALARM_S:
        holder = facade.find_horizon_holder()
        _log.error(
            "seal lag",
            lag_seconds=status.lag_seconds,
            waiting=status.waiting,
            held_back_by_pid=holder[0] if holder else None,
            for_seconds=holder[1] if holder else None,
        )
    return status.lag_seconds


@shared_task(name="ledger.sweep_strays")
def sweep_strays(**_: object) -> int:
    """Which entries of the whole ledger carry a recorded instant that cannot be right?"""
    found = facade.sweep_strays(now=clock.now())
    count = found.among_neighbours + found.in_future
    if count or found.misplaced:
        _log.error(
            "strays in the ledger",
            looked=found.looked,
            among_neighbours=found.among_neighbours,
            in_future=found.in_future,
            misplaced=found.misplaced,
            first=[
                {
                    "seq": stray.seq,
                    "uid": str(stray.uid),
                    "recorded_at": stray.recorded_at.isoformat(),
                }
                for stray in found.named
            ],
        )
    else:
        _log.info("no strays in the ledger", looked=found.looked)
    return count
