"""How fast is the server when the application does nothing? The ceiling of the load driver."""

from collections.abc import Callable, Iterable
from typing import Any

BODY = b'{"decision":"allow"}'
_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads the request and says the same to everybody (PEP 3333)."""
    environ["wsgi.input"].read()
    start_response("200 OK", _HEADERS)
    return [BODY]
