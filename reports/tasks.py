"""Which jobs of reports run by the clock? Each does what is due, and may run twice.

Unknown keywords are tolerated: an older scheduler may still send what a newer worker forgot.
"""

from datetime import timedelta

import structlog
from celery import shared_task

from o10.kernel import clock
from o10.kernel.errors import O10Error
from reports import facade

_log = structlog.get_logger("reports.jobs")


RECENT_MONTHS = 2
"""Months whose cost per outcome is stated soon; older ones are looked at less often."""
BUSY = timedelta(minutes=10)
"""A month that changes with every call is stated so often and no more."""


@shared_task(name="reports.count_costs")
def count_costs(**_: object) -> int:
    """Up to which position are costs counted? Recent months are stated anew with it."""
    now = clock.now()
    reached = facade.count_costs(now=now)
    facade.assess_units(now=now, months=RECENT_MONTHS, at_most_every=BUSY)
    return reached


@shared_task(name="reports.assess_units")
def assess_units(**_: object) -> int:
    """How many months of cost per outcome were stated anew, old ones too?"""
    return facade.assess_units(now=clock.now(), at_most_every=BUSY)


@shared_task(name="reports.run_imports")
def run_imports(**_: object) -> int:
    """How many confirmed imports were booked to their end?"""
    done = 0
    for public in facade.due_imports(now=clock.now()):
        try:
            row = facade.run_import(public=public, clock=clock.now)
        except O10Error as failure:
            facade.fail_import(public=public, problem=str(failure), now=clock.now())
            _log.error("import failed", id=public, code=failure.code)
        else:
            done += row.state == "done"
    return done
