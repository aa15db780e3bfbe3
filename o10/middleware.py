"""What is added to every answer, and to every request that enters through Django?

Security headers with a content policy that knows no other origin; a request id; a clock that
agrees with the database's; problems for errors that a page or a plain view raises.
"""

import re
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from ledger import facade as ledger
from o10.kernel import clock
from o10.kernel.errors import O10Error
from o10.kernel.ids import new_uuid
from o10.problems import answer_failure, is_api, is_away

CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""No third party, no inline script or style, no frame around us."""

PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.A)
_TRACE_PARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.A)

Answering = Callable[[HttpRequest], HttpResponse]


class SecurityHeaders:
    """Which headers keep the browser on our side? Set unless a view set its own."""

    def __init__(self, get_response: Answering) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Adds the headers to the answer."""
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers.setdefault("X-Frame-Options", "DENY")
        if is_api(request.path):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class RequestId:
    """Under which id is this request found in the log? The caller's, if it is a plain one.

    A W3C `traceparent` is accepted: its trace id goes into the log line too.
    """

    def __init__(self, get_response: Answering) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Binds the ids for the log and returns the request id to the caller."""
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_uuid().hex
        trace = _TRACE_PARENT.fullmatch(request.headers.get("traceparent", ""))
        bound = {"request_id": request_id} | ({"trace_id": trace[1]} if trace else {})
        with structlog.contextvars.bound_contextvars(**bound):
            response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        return response


class KeptClock:
    """Does what this request writes carry the time of the database's clock?

    Only asks when it is time to, and not for /healthz, which touches no database.
    """

    def __init__(self, get_response: Answering) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Compares the clocks, then passes on; a database that is away changes nothing."""
        if request.path != "/healthz":
            clock.keep(ledger.measure_clock_offset)
        return self.get_response(request)


class Problems:
    """What is answered when a view raises one of our errors, or the database is away?"""

    def __init__(self, get_response: Answering) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Passes on."""
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Tells our errors as they are; everything else goes on to handler500."""
        if isinstance(exception, O10Error) or is_away(exception):
            return answer_failure(request, exception)
        return None
