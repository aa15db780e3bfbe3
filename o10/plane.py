"""How do decisions enter? Through the web entry's verbs, answered from a till of a worker."""

from django.conf import settings

from o10.wsgi import django_application, keep_clock, render_problem
from policies.plane.app import PlaneApp
from policies.plane.keeper import Keeper

_keeper = None
if settings.O10_HOT_PATH:
    _keeper = Keeper(keep_clock=keep_clock)
    _keeper.start()

application = PlaneApp(django_application, render_problem, keep_clock, keeper=_keeper)
