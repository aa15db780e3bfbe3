"""How are the spend verbs answered under Django? By the same functions as the hot door.

Used with O10_HOT_PATH=0, by people with a session, and for methods the verbs don't take.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from o10.access.body import MethodNotAllowed
from o10.access.sessions import get_caller
from o10.kernel import clock
from policies.plane.verbs import VERBS, Verb


def _view(verb: Verb) -> Callable[[HttpRequest], HttpResponse]:
    # Exempt from the middleware's CSRF check: get_caller makes it for sessions alone.
    @csrf_exempt
    def answer(request: HttpRequest) -> HttpResponse:
        """Parse, one facade call, render."""
        if request.method != "POST":
            raise MethodNotAllowed(method=request.method, allowed="POST")
        now = clock.now()
        caller = get_caller(request, now=now)
        body = verb.run(request.META, caller, now)
        return HttpResponse(body, content_type="application/json")

    answer.__name__ = verb.name
    answer.operations = {"POST": verb.operation}  # type: ignore[attr-defined]
    answer.summary = (verb.run.__doc__ or "").partition("\n")[0]  # type: ignore[attr-defined]
    return answer


urlpatterns = [
    path(verb.name, _view(verb), name=f"api-{verb.name}".replace(":", "-"))
    for verb in VERBS.values()
]
