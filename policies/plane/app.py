"""How is a spend verb answered before Django's handler is reached?

A WSGI application around Django's: a POST to a verb with a key is answered here, without
middleware, session, URL resolver or DRF; everything else goes on to Django, also a verb asked
by a signed-in person.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import structlog
from django.conf import settings
from django.db import close_old_connections

from o10.access.keys import authenticate, recognise
from o10.kernel import clock
from o10.kernel.errors import Unauthorized
from policies.plane.keeper import Keeper
from policies.plane.verbs import VERBS, Verb, leased_verbs

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_HEADERS = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]
_log = structlog.get_logger("policies.plane")


class Problem(Protocol):
    """How does the wiring write a failure? (o10.problems.Rendered)"""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class RenderProblem(Protocol):
    """Injected, since sentences and HTTP codes stand above this app."""

    def __call__(self, failure: Exception, *, path: str) -> Problem:
        """Which problem+json tells this failure?"""
        ...


class PlaneApp:
    """Which requests are answered here, and which go on to Django?"""

    def __init__(
        self,
        django_app: Wsgi,
        render_problem: RenderProblem,
        keep_clock: Callable[[], None] = lambda: None,
        keeper: Keeper | None = None,
    ) -> None:
        """`keep_clock` compares the clock with the database's when it is time to.

        Injected, since the database's clock is asked by the ledger; it never raises. With a
        `keeper` the verbs are answered from its till, and keys from what it knows.
        """
        self._keeper = keeper
        self._keep_clock = keep_clock
        self._minded = threading.local()
        self._django_app = django_app
        self._render_problem = render_problem
        verbs = VERBS if keeper is None else leased_verbs(lambda: keeper.teller)
        self._verbs = verbs if settings.O10_HOT_PATH else {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request (PEP 3333)."""
        verb = self._verbs.get(environ.get("PATH_INFO", ""))
        if verb is None or environ.get("REQUEST_METHOD") != "POST" or _by_session(environ):
            return self._django_app(environ, start_response)
        self._keep_clock()
        self._mind_connection()
        try:
            body = self._answer(environ, verb)
        except Exception as failure:  # noqa: BLE001 - the edge: every failure gets an answer
            close_old_connections()
            return self._fail(environ, start_response, failure)
        headers = [*_HEADERS, ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    def _answer(self, environ: Environ, verb: Verb) -> bytes:
        now = clock.now()
        header = environ.get("HTTP_AUTHORIZATION")
        if not header:
            raise Unauthorized(reason="missing")
        known = self._keeper.keys if self._keeper is not None else None
        if known is None:
            return verb.run(environ, authenticate(header=header, now=now), now)
        try:
            caller = recognise(header=header, known=known, now=now)
        except Unauthorized as refusal:
            if refusal.fields.get("reason") != "unknown":
                raise
            # Made a moment ago, perhaps: the database knows it before our keeper does.
            caller = authenticate(header=header, now=now)
        return verb.run(environ, caller, now)

    def _mind_connection(self) -> None:
        """Old or broken connections are closed before a call that needs one.

        From a till few calls do: there once a second and thread is often enough.
        """
        at = time.monotonic()
        if self._keeper is None or at - getattr(self._minded, "at", 0.0) > 1.0:
            self._minded.at = at
            close_old_connections()

    def _fail(
        self, environ: Environ, start_response: StartResponse, failure: Exception
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        problem = self._render_problem(failure, path=path)
        if problem.status >= 500:
            _log.warning("verb_failed", path=path, status=problem.status)
        headers = [*problem.headers, ("X-Content-Type-Options", "nosniff")]
        headers.append(("Content-Length", str(len(problem.body))))
        start_response(f"{problem.status} {_REASONS.get(problem.status, 'Error')}", headers)
        return [problem.body]


def _by_session(environ: Environ) -> bool:
    """A person at a browser: Django knows sessions and CSRF, this door does not."""
    if "HTTP_AUTHORIZATION" in environ:
        return False
    return f"{settings.SESSION_COOKIE_NAME}=" in environ.get("HTTP_COOKIE", "")
