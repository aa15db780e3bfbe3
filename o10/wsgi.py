"""How do web requests enter? The spend verbs are answered before Django's handler."""

import os
from functools import partial

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "o10.settings")

from django.core.wsgi import get_wsgi_application  # noqa: E402

django_application = get_wsgi_application()

from ledger import facade as ledger  # noqa: E402
from o10.kernel import clock  # noqa: E402
from o10.problems import render_problem  # noqa: E402
from policies.plane.app import PlaneApp  # noqa: E402

keep_clock = partial(clock.keep, ledger.measure_clock_offset)
application = PlaneApp(django_application, render_problem, keep_clock)
