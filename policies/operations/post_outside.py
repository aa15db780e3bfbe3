"""What answers when this body is posted outside? One request, no redirects, nothing kept of it.

The name is resolved here, each address is looked at, and the connection is made to one that was
(see `policies.core.webhook_target`). Neither path nor body nor answer gets into a log.
"""

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.conf import settings

from o10.kernel.errors import ValidationFailed
from policies.core.webhook_target import (
    Allowed,
    Target,
    TargetForbidden,
    allowed_of,
    reachable,
    target_of,
)
from policies.queries.organisation import find_organisation

TIMEOUT_S: Final = 10
_READ_MOST: Final = 1_024


@dataclass(frozen=True, slots=True)
class Answer:
    """Which code came back, and what does it mean in a few words? `code` 0 = no answer."""

    code: int
    outcome: str
    retry_after_s: int = 0


def allowed_places() -> Allowed:
    """Which private places may be reached? This machine too, where the data is made up."""
    company = find_organisation()
    local = settings.DEBUG or bool(company and company.demo)
    return allowed_of(settings.O10_WEBHOOK_PRIVATE, local=local)


def post(url: str, body: bytes, *, headers: Mapping[str, str]) -> Answer:
    """What answered? Whatever goes wrong outside is an answer with code 0."""
    allowed = allowed_places()
    try:
        target = target_of(url, allowed=allowed)
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        names = [str(each[4][0]) for each in found]
        address = reachable(target, names, allowed=allowed)[0]
    except (ValidationFailed, TargetForbidden):
        return Answer(0, "the address is not allowed: private network, or no https")
    except (OSError, UnicodeError):
        return Answer(0, "the host name is not known")
    try:
        return _ask(target, address, body, headers)
    except ssl.SSLError:
        return Answer(0, "the certificate is not valid for this host")
    except TimeoutError:
        return Answer(0, f"no answer within {TIMEOUT_S} s")
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"the connection failed ({type(error).__name__})")


def _ask(target: Target, address: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    connection = _Secure(target, address) if target.secure else _Plain(target, address)
    try:
        connection.request(
            "POST",
            target.path,
            body=body,
            headers={
                "Content-Type": "application/json",
                "User-Agent": "o10-alerts/1",
                "Connection": "close",
                **headers,
            },
        )
        response = connection.getresponse()
        response.read(_READ_MOST)
        waits = response.headers.get("Retry-After", "")
        return Answer(
            response.status,
            http.client.responses.get(response.status, "unknown status"),
            int(waits) if waits.isdecimal() and len(waits) < 7 else 0,
        )
    finally:
        connection.close()


class _Plain(http.client.HTTPConnection):
    """To the address that was looked at, under the name that was asked for."""

    def __init__(self, target: Target, address: str) -> None:
        super().__init__(target.host, target.port, timeout=TIMEOUT_S)
        self._address = address

    def connect(self) -> None:
        """Connects; the name is not resolved a second time."""
        self.sock = socket.create_connection((self._address, self.port), TIMEOUT_S)


class _Secure(http.client.HTTPSConnection):
    """As `_Plain`, with the certificate checked against the name."""

    def __init__(self, target: Target, address: str) -> None:
        super().__init__(target.host, target.port, timeout=TIMEOUT_S, context=_context())
        self._address = address

    def connect(self) -> None:
        """Connects and shakes hands under the name."""
        plain = socket.create_connection((self._address, self.port), TIMEOUT_S)
        self.sock = _context().wrap_socket(plain, server_hostname=self.host)


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
