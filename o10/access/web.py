"""Where does a person sign in and out?"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from o10.access import sessions
from o10.kernel import clock
from o10.kernel.errors import RateLimited, Unauthorized

_LONGEST = 1024


@sensitive_post_parameters("password")
@csrf_protect
@never_cache
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page, and its answer: on to where the person was going, or why not."""
    onward = _onward(request)
    if request.method == "GET":
        return _page(request, onward=onward)
    email = request.POST.get("email", "")[:_LONGEST]
    password = request.POST.get("password", "")[:_LONGEST]
    try:
        sessions.sign_in(request, email=email, password=password, now=clock.now())
    except Unauthorized:
        wrong = ("Sign-in failed", "E-mail address and password do not match an account.")
        return _page(request, onward=onward, email=email, problem=wrong, status=401)
    except RateLimited as error:
        minutes = int(str(error.fields["retry_after_s"])) // 60
        wrong = ("Too many attempts", f"Try again in {minutes} minutes.")
        refused = _page(request, onward=onward, email=email, problem=wrong, status=429)
        refused.headers["Retry-After"] = str(error.fields["retry_after_s"])
        return refused
    return redirect(onward)


@csrf_protect
@require_http_methods(["POST"])
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends the session and shows the sign-in page."""
    sessions.sign_out(request)
    return redirect(settings.LOGIN_URL)


def _page(
    request: HttpRequest,
    *,
    onward: str,
    email: str = "",
    problem: tuple[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    told = None if problem is None else {"title": problem[0], "detail": problem[1]}
    shown = {"email": email, "next": onward, "problem": told}
    return render(request, "access/login.html", shown, status=status)


def _onward(request: HttpRequest) -> str:
    """Only to a page of ours: an address from outside would lend our name to a stranger."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else settings.LOGIN_REDIRECT_URL


urlpatterns = [
    path("sign-in/", sign_in, name="sign-in"),
    path("sign-out/", sign_out, name="sign-out"),
]
