"""Which caller stands behind this Django request, and how does a person sign in?

A person's session is Django's; its writes need a CSRF token, a key's do not. Failed sign-ins
slow down by address and by network, counted in the database so that every process knows.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.crypto import salted_hmac

from o10.access import keys, operations, queries
from o10.access.models import Person
from o10.kernel.errors import Forbidden, RateLimited, Unauthorized

WINDOW = timedelta(minutes=15)
"""How far back failed sign-ins count."""
MOST_FAILURES = 5
"""For one address from one network; then wait."""
MOST_FAILURES_OF_ADDRESS = 30
MOST_FAILURES_OF_NETWORK = 100


def find_caller(request: HttpRequest, *, now: datetime) -> keys.Caller | None:
    """Who is calling: the key in the Authorization header, else the session's person?

    None for a stranger. A request with a key needs no CSRF token: a browser never adds that
    header by itself.
    Raises: Unauthorized; Forbidden when a session's write has no CSRF token.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if header:
        return keys.authenticate(header=header, now=now)
    person = getattr(request, "user", None)
    if not isinstance(person, Person):
        return None
    _check_csrf(request)
    return keys.caller_of_person(person)


def get_caller(request: HttpRequest, *, now: datetime) -> keys.Caller:
    """Who is calling? Raises: as `find_caller`; Unauthorized for a stranger."""
    caller = find_caller(request, now=now)
    if caller is None:
        raise Unauthorized(reason="missing")
    return caller


def sign_in(request: HttpRequest, *, email: str, password: str, now: datetime) -> Person:
    """Which person has just signed in with this address and password?

    Raises: Unauthorized (`unauthorized`) without saying which of both was wrong; RateLimited
    (`rate_limited`) with `retry_after_s` after too many failures.
    """
    person = confirm_person(request, email=email, password=password, now=now)
    login(request, person)
    return person


def confirm_person(request: HttpRequest, *, email: str, password: str, now: datetime) -> Person:
    """Who confirms with this address and password, without a session of their own?

    For a second pair of eyes at one screen, with the same slowing down as a sign-in.
    Raises: Unauthorized; RateLimited.
    """
    email_hash = _pseudonym("email", email.strip().casefold())
    network_hash = _pseudonym("network", request.META.get("REMOTE_ADDR", ""))
    _check_may_try(email_hash=email_hash, network_hash=network_hash, now=now)
    # PostgreSQL takes no NUL in a text; such an address belongs to nobody.
    plain = email if email.isprintable() else ""
    person = authenticate(request, username=plain, password=password)
    if not isinstance(person, Person):
        operations.note_failure(email_hash=email_hash, network_hash=network_hash, now=now)
        raise Unauthorized(reason="credentials")
    operations.forget_failures(email_hash=email_hash, network_hash=network_hash)
    return person


def sign_out(request: HttpRequest) -> None:
    """Ends the session of this browser."""
    logout(request)


def _check_may_try(*, email_hash: bytes, network_hash: bytes, now: datetime) -> None:
    failures = queries.count_failures(
        email_hash=email_hash, network_hash=network_hash, since=now - WINDOW
    )
    if (
        failures.both >= MOST_FAILURES
        or failures.email >= MOST_FAILURES_OF_ADDRESS
        or failures.network >= MOST_FAILURES_OF_NETWORK
    ):
        raise RateLimited(retry_after_s=int(WINDOW.total_seconds()))


def _pseudonym(kind: str, text: str) -> bytes:
    salt = f"o10.access.sign-in.{kind}"
    return salted_hmac(salt, text, secret=settings.SECRET_KEY, algorithm="sha256").digest()


def _check_csrf(request: HttpRequest) -> None:
    check = _CsrfCheck(lambda _: HttpResponse())
    check.process_request(request)
    if check.process_view(request, lambda _: HttpResponse(), (), {}):
        raise Forbidden(reason="csrf")


class _CsrfCheck(CsrfViewMiddleware):
    """The middleware's rule, for views that are exempt from the middleware itself."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return HttpResponse(reason, status=403)
