"""Which jobs of reports run by the clock? Each does what is due, and may run twice.

Unknown keywords are tolerated: an older scheduler may still send what a newer worker forgot.
"""

from celery import shared_task

from o10.kernel import clock
from reports import facade


@shared_task(name="reports.count_costs")
def count_costs(**_: object) -> int:
    """Up to which position are costs counted, and cost per outcome stated?"""
    now = clock.now()
    reached = facade.count_costs(now=now)
    facade.assess_units(now=now)
    return reached
