"""Where does a person sign in and out?"""

from django import forms
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


class SignInForm(forms.Form):
    """Who are you? Bound to what was sent; the password is never shown again."""

    username = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


@sensitive_post_parameters("password")
@csrf_protect
@never_cache
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page, and its answer: on to where the person was going, or why not."""
    onward = _onward(request)
    if request.method == "GET":
        return _page(request, SignInForm(), onward=onward)
    form = SignInForm(request.POST)
    if not form.is_valid():
        return _page(request, form, onward=onward, status=422)
    given = form.cleaned_data
    try:
        sessions.sign_in(
            request, email=given["username"], password=given["password"], now=clock.now()
        )
    except Unauthorized:
        form.add_error(None, "E-mail address and password do not match an account.")
        return _page(request, form, onward=onward, status=401)
    except RateLimited as error:
        seconds = int(str(error.fields["retry_after_s"]))
        form.add_error(None, f"Too many attempts. Try again in {seconds // 60} minutes.")
        refused = _page(request, form, onward=onward, status=429)
        refused.headers["Retry-After"] = str(seconds)
        return refused
    return redirect(onward)


@csrf_protect
@require_http_methods(["POST"])
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends the session and shows the sign-in page."""
    sessions.sign_out(request)
    return redirect(settings.LOGIN_URL)


def _page(
    request: HttpRequest, form: SignInForm, *, onward: str, status: int = 200
) -> HttpResponse:
    shown = {"form": form, "next": onward}
    return render(request, "access/sign_in.html", shown, status=status)


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
