"""How does the ordinary API know its caller and check the role?

Views state one operation for each method they answer (o10.access.doors); the action to check
is read from there. Stands apart from the views: DRF imports it while it loads its own.
"""

from collections.abc import Mapping

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from o10.access import checks, keys
from o10.access.doors import Operation
from o10.access.models import Person
from o10.access.sessions import find_caller
from o10.kernel import clock
from o10.kernel.errors import Unauthorized


class KeyOrSession(BaseAuthentication):
    """Who is calling: the key in the Authorization header, else the person of the session?

    A request with a key needs no CSRF token: a browser never adds that header by itself.
    """

    def authenticate(self, request: Request) -> tuple[Person | None, keys.Caller] | None:
        """Returns the person (None for a key) and the caller; None for a stranger.

        Raises: Unauthorized; Forbidden when a session's write has no CSRF token.
        """
        caller = find_caller(request._request, now=clock.now())
        if caller is None:
            return None
        person = getattr(request._request, "user", None)
        return (person if isinstance(person, Person) else None), caller

    def authenticate_header(self, request: Request) -> str:
        """What does WWW-Authenticate say?"""
        return 'Bearer realm="o10"'


class Authenticated(BasePermission):
    """May the caller use this method of this view?"""

    def has_permission(self, request: Request, view: object) -> bool:
        """Raises with the reason instead of returning false.

        Raises: Unauthorized; Forbidden; MethodNotAllowed for a method without an action.
        """
        method = request.method or "GET"
        if method == "OPTIONS":
            return True
        operations: Mapping[str, Operation] = getattr(view, "operations", {})
        operation = operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            caller_of(request)
            raise MethodNotAllowed(method)
        if operation.action is not None:
            checks.check(caller=caller_of(request), action=operation.action)
        return True


def caller_of(request: Request) -> keys.Caller:
    """Which caller has been authenticated?

    Raises: Unauthorized (`unauthorized`).
    """
    if not isinstance(request.auth, keys.Caller):
        raise Unauthorized(reason="missing")
    return request.auth
