"""How does a test reach the verbs: through the hot door, or through Django?"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from django.test import override_settings

from o10.access import keys, operations
from o10.access.roles import Role
from tests.company import Company, committed_company

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def company(
    database_urls: Any, django_db_setup: None, django_db_blocker: Any
) -> Iterator[Company]:
    yield from committed_company(database_urls, django_db_blocker, NOW)


@dataclass(frozen=True)
class Answer:
    """What came back?"""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Way:
    """One way in: a WSGI application and a key."""

    app: Callable[..., Any]
    secret: str | None

    def post(self, verb: str, body: Any, **changes: Any) -> Answer:
        return self.send("POST", verb, body, **changes)

    def send(
        self,
        method: str,
        verb: str,
        body: Any = b"",
        *,
        content_type: str | None = "application/json",
        length: str | None = None,
        stream: Any = None,
        **headers: str,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": f"/api/v1/{verb}",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "8011",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": stream if stream is not None else io.BytesIO(raw),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(raw)) if length is None else length,
        }
        if content_type is not None:
            environ["CONTENT_TYPE"] = content_type
        if self.secret is not None:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self.secret}"
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        return call(self.app, environ)


def call(app: Callable[..., Any], environ: dict[str, Any]) -> Answer:
    """Runs one request through a WSGI application."""
    started: list[Any] = []
    chunks = app(
        environ, lambda status, headers, exc_info=None: started.append((status, headers))
    )
    try:
        body = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    status, headers = started[-1]
    return Answer(int(status[:3]), dict(headers), body)


def unreachable(environ: dict[str, Any], start_response: Any) -> Any:
    raise AssertionError(f"{environ['PATH_INFO']} reached Django")


@cache
def make_app(*, hot: bool) -> Callable[..., Any]:  # noqa: FBT001
    """Both ways in; made once, since Django's handler loads every static file."""
    from django.core.wsgi import get_wsgi_application

    from o10.problems import render_problem
    from policies.plane.app import PlaneApp

    with override_settings(O10_HOT_PATH=hot):
        return PlaneApp(get_wsgi_application(), render_problem)


@pytest.fixture(params=["hot", "django"])
def app(request: pytest.FixtureRequest, company: Company) -> Any:
    """Each test runs both ways."""
    return make_app(hot=request.param == "hot")


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    keys.forget()
    yield
    keys.forget()


@pytest.fixture
def secret(clock: Any) -> Callable[..., str]:
    """Makes a key and returns its secret."""

    def make(role: Role = Role.ROUTER, **changes: Any) -> str:
        wanted = {
            "name": "router",
            "role": role,
            "use_cases": None,
            "actor": operations.COMMAND_LINE,
            "now": clock.at,
        } | changes
        return operations.create_key(**wanted).secret.text

    return make


@pytest.fixture
def router(app: Any, secret: Callable[..., str]) -> Way:
    """A router with a key for every use case."""
    return Way(app, secret())
