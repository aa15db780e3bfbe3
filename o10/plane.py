"""How do decisions enter? The web entry's verbs, answered from a till, in workers of their own."""

from functools import partial

from django.conf import settings

from ledger import facade as ledger
from o10.kernel import clock
from o10.problems import render_problem
from o10.wsgi import django_application
from policies.plane.app import PlaneApp
from policies.plane.keeper import Keeper

_keep_clock = partial(clock.keep, ledger.measure_clock_offset)
_keeper = None
if settings.O10_HOT_PATH:
    _keeper = Keeper(keep_clock=_keep_clock)
    _keeper.start()

application = PlaneApp(
    django_application, render_problem, keep_clock=_keep_clock, keeper=_keeper
)
