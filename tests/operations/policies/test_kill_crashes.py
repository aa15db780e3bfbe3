"""Is a trip whole or not there, at whichever statement its process dies?"""

from django.db import connections

from ledger import facade as ledger
from policies.models import Alert, KillReview
from policies.queries.kill_rows import get_criterion
from tests.machines.crash import dies_at

from .company import NOW, entries, make_tree
from .test_kill_criteria import MINUTE, look, loop, make_criterion

POINTS = 400
EACH = 6
"""The point after a statement is the one before the next; every third statement is enough."""


def test_a_trip_with_its_alert_and_review_is_whole_or_not_there(committed_books):
    make_tree()
    public = make_criterion(board_review=True)
    loop(10)
    deaths = 0
    for point in range(1, POINTS, EACH):
        with dies_at(point) as death:
            look(public, at=NOW + MINUTE)
        if death.happened:
            connections["default"].close()
            deaths += 1
        tripped = get_criterion(public).state == "tripped"
        found = (
            len(entries(kind=int(ledger.Kind.TRIP))),
            Alert.objects.filter(kind="kill_tripped").count(),
            KillReview.objects.count(),
        )
        assert found == ((1, 1, 1) if tripped else (0, 0, 0)), point
        if tripped:
            break
    assert tripped and deaths >= 5
