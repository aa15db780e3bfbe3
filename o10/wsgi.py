"""How do web requests enter? The spend verbs are answered before Django's handler."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "o10.settings")

from django.core.wsgi import get_wsgi_application  # noqa: E402

_django = get_wsgi_application()

from o10.problems import render_problem  # noqa: E402
from policies.plane.app import PlaneApp  # noqa: E402

application = PlaneApp(_django, render_problem)
