"""How is a message sent once more? By hand, under the id it had, by which it is known."""

from datetime import datetime

from django.db import transaction

from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel.errors import Conflict, NotFound
from policies.models import AlertDelivery


class OnItsWay(Conflict):
    """Is the message being sent, or due anyway? Fields: `delivery`."""

    code = "conflict"


def redeliver(*, delivery: str, actor: Caller, now: datetime) -> None:
    """Sends it again, at once, with three more days of tries.

    Raises: Forbidden; NotFound; OnItsWay (`conflict`).
    Locks: the delivery.
    """
    check(caller=actor, action=Action.CHANGE_ALERT_RULES)
    with transaction.atomic():
        row = (
            AlertDelivery.objects.select_for_update(of=("self",))
            .filter(public=delivery)
            .first()
        )
        if row is None:
            raise NotFound(kind="delivery", id=delivery)
        if row.state == "claimed" or (row.state == "waiting" and not row.attempts):
            raise OnItsWay(delivery=delivery)
        row.state, row.due_at, row.ended_at = "waiting", now, None
        row.first_attempt_at = None
        row.message = row.message or row.public
        row.save()
