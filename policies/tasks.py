"""Which jobs of spend control run by the clock? Each does what is due, and may run twice.

Unknown keywords are tolerated: an older scheduler may still send what a newer worker forgot.
"""

from celery import shared_task

from o10.kernel import clock
from policies import facade


@shared_task(name="policies.expire_reservations")
def expire_reservations(**_: object) -> int:
    """How many holds expired: those whose time ended five seconds ago or more?"""
    return facade.expire_due(now=clock.now())


@shared_task(name="policies.write_off_unsettled")
def write_off_unsettled(**_: object) -> int:
    """How many expired holds were given up, a day after their time?"""
    return facade.write_off_due(now=clock.now())


@shared_task(name="policies.reconcile_leases")
def reconcile_leases(**_: object) -> int:
    """How many leases expired whose holder is heard of no more?"""
    return facade.reconcile_leases(now=clock.now())


@shared_task(name="policies.fold_denials")
def fold_denials(**_: object) -> int:
    """How many denials beyond ten a second got into entries with their count?"""
    return facade.fold_denials(now=clock.now())


@shared_task(name="policies.evaluate_kill_criteria")
def evaluate_kill_criteria(**_: object) -> int:
    """How many kill criteria were looked at? All of them, once a minute."""
    now = clock.now()
    facade.wind_down(now=now)
    return facade.look_at_all(now=now)


@shared_task(name="policies.watch_balances")
def watch_balances(**_: object) -> int:
    """How many balances or reservations differ from their entries?"""
    return facade.watch_balances(now=clock.now())


@shared_task(name="policies.evaluate_alerts")
def evaluate_alerts(**_: object) -> int:
    """How many alerts were raised by the rules that are met now?"""
    return facade.evaluate_alerts(now=clock.now())


@shared_task(name="policies.deliver_alerts")
def deliver_alerts(**_: object) -> int:
    """How many messages of alerts were sent?"""
    return facade.deliver_due(now=clock.now())


@shared_task(name="policies.end_approvals")
def end_approvals(**_: object) -> int:
    """How many requests and temporary raises ended by themselves?"""
    now = clock.now()
    return facade.end_raises(now=now) + facade.end_due(now=now)


@shared_task(name="policies.book_commitments")
def book_commitments(**_: object) -> int:
    """How many days of committed capacity were booked or restated?"""
    return facade.book_commitments(now=clock.now())


@shared_task(name="policies.propose_prices")
def propose_prices(**_: object) -> str:
    """Which proposal stands for the catalogue as installed? Empty = it says the same."""
    now = clock.now()
    if facade.price_book().version == 0:
        return ""
    catalogue = facade.read_catalogue(source=facade.GENAI_PRICES)
    return facade.propose_price_refresh(catalogue=catalogue, actor=None, now=now).id


@shared_task(name="policies.find_changes")
def find_changes(**_: object) -> int:
    """How many prompt versions, models, retry settings and venues were seen first?"""
    return facade.find_changes(now=clock.now())


@shared_task(name="policies.weigh_changes")
def weigh_changes(**_: object) -> int:
    """How many unsigned changes were found to have moved the cost of a call?"""
    return facade.weigh_changes(now=clock.now())
