"""Who may open this page, and which part of it is sent?

One decorator for every page of every app: a stranger goes to the sign-in page and comes back, a
person without the right gets the page that says who can grant it, and both whole page and
fragment carry `Vary: HX-Request`, since one address answers with either.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render, resolve_url
from django.utils.cache import patch_cache_control, patch_vary_headers
from django_htmx.middleware import HtmxDetails

from o10.access import sessions
from o10.access.checks import check
from o10.access.roles import Action
from o10.kernel import clock
from o10.kernel.errors import Forbidden

View = Callable[..., HttpResponseBase]

COMPANY_WIDE = Action.READ_SPEND
"""Spend and envelope pages add up the whole company: a key of some use cases reads the API."""


def page(action: Action) -> Callable[[View], View]:
    """Which view is a page that needs this right? It gets `caller` and `now` by name."""

    def guard(view: View) -> View:
        @wraps(view)
        def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            now = clock.now()
            caller = sessions.find_caller(request, now=now)
            if caller is None:
                return _to_sign_in(request)
            check(caller=caller, action=action)
            if action is COMPANY_WIDE and caller.use_case_slugs is not None:
                raise Forbidden(action=action.value)
            response = view(request, *args, caller=caller, now=now, **kwargs)
            patch_vary_headers(response, ["HX-Request", "Cookie"])
            patch_cache_control(response, private=True, no_store=True)
            return response

        return door

    return guard


def render_page(
    request: HttpRequest,
    *,
    template: str,
    part: str,
    context: Mapping[str, Any],
    status: int = 200,
) -> HttpResponse:
    """Which answer has this page? The fragment `part` for htmx, else all of `template`.

    A history restore is a navigation and gets the whole page.
    """
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    wants_part = bool(htmx) and not htmx.history_restore_request and not htmx.boosted
    return render(request, part if wants_part else template, dict(context), status=status)


def pairs_of(request: HttpRequest) -> list[tuple[str, str]]:
    """Which pairs has the address, repeated keys included, without those that say nothing?"""
    return [(key, value) for key in request.GET for value in request.GET.getlist(key) if value]


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]
        # A fragment can't hold the sign-in page: the browser goes there as a whole.
        response = HttpResponse(status=204)
        response.headers["HX-Redirect"] = resolve_url(settings.LOGIN_URL)
        return response
    return redirect_to_login(request.get_full_path(), resolve_url(settings.LOGIN_URL))
