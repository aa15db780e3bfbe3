"""Which servers does a client meet? The real door in a thread, and one that misbehaves."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec
import pytest
from django.conf import settings

from o10.access import keys, operations
from o10.access.roles import Role
from o10.client import AsyncClient, Client
from o10.client.exchange import Patience
from o10.kernel import clock as kernel_clock
from policies import facade as policies
from tests.company import Company, committed_company
from tests.plane.conftest import make_app

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
MODEL = "openai/gpt-4o"
QUICK = Patience(total_s=1.0, connect_s=0.3)


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def company(
    database_urls: Any, django_db_setup: None, django_db_blocker: Any
) -> Iterator[Company]:
    # Another database numbers its holders from 1 again: their journals are not ours.
    for journal in (Path(settings.O10_HOME) / "plane").glob("journal-*"):
        journal.unlink()
    yield from committed_company(database_urls, django_db_blocker, NOW)


@pytest.fixture(scope="module")
def plane(company: Company) -> Iterator[str]:
    """The decision plane's WSGI application on a port of its own; its URL."""
    from django.db import connections

    app = make_app(hot=True)

    def closing(environ: Any, start_response: Any) -> Any:
        try:
            return app(environ, start_response)
        finally:
            connections.close_all()

    with make_server("127.0.0.1", 0, closing, Threaded, Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def books(company: Any) -> Iterator[None]:
    """The bookkeeper of this host, in a thread."""
    stop = threading.Event()
    home = Path(settings.O10_HOME)
    thread = threading.Thread(
        target=policies.run_books,
        kwargs={"home": home, "now": lambda: kernel_clock.now(), "stop": stop},
        daemon=True,
    )
    thread.start()
    yield
    stop.set()
    thread.join(10)


@pytest.fixture
def secret(company: Company) -> str:
    """A router key for every use case."""
    keys.forget()
    made = operations.create_key(
        name="router",
        role=Role.ROUTER,
        use_cases=None,
        actor=operations.COMMAND_LINE,
        now=NOW,
    )
    return made.secret.text


@dataclass
class Fake:
    """A server that answers as it is told. `seen` are the requests: path and body."""

    url: str = ""
    script: list[Any] = field(default_factory=list)
    otherwise: Any = (200, {}, b"{}")
    seen: list[tuple[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, path: str, body: bytes) -> Any:
        with self.lock:
            self.seen.append((path, msgspec.json.decode(body) if body else None))
            return self.script.pop(0) if self.script else self.otherwise

    def bodies(self, path: str) -> list[Any]:
        with self.lock:
            return [body for seen, body in self.seen if seen.endswith(path)]


class FakeServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3)
    handler.close_connection = True


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
    )
    handler.close_connection = True


def speak_nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SMTP ready\r\n\r\n")
    handler.close_connection = True


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then: no single wait is long, all of them are."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    try:
        for _ in range(30):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass
    handler.close_connection = True


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A server whose answers a test writes down beforehand."""
    told = Fake()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            what = told.next(self.path, self.rfile.read(size))
            if callable(what):
                what(self)
                return
            status, headers, body = what
            body = body if isinstance(body, bytes) else msgspec.json.encode(body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET = answer

        def log_message(self, *_: Any) -> None:
            pass

    with FakeServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield told
        server.shutdown()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def make_client(fake: Fake, state: Path) -> Iterator[Callable[..., Client]]:
    """Makes clients of the fake server, and closes them."""
    made: list[Client] = []

    def make(**settings: Any) -> Client:
        wanted = {"base_url": fake.url, "key": "o10_x", "patience": QUICK, "state_dir": state}
        made.append(Client(**(wanted | settings)))
        return made[-1]

    yield make
    for client in made:
        client.close(timeout_s=0.1)


def make_async(fake: Fake, state: Path, **settings: Any) -> AsyncClient:
    wanted = {"base_url": fake.url, "key": "o10_x", "patience": QUICK, "state_dir": state}
    return AsyncClient(**(wanted | settings))


def decision(**changes: Any) -> dict[str, Any]:
    """An allowed call as the plane tells it."""
    return {
        "decision": "allow",
        "would_decision": "allow",
        "mode": "enforce",
        "decision_id": "dec_1",
        "reasons": [{"code": "OK_WITHIN_ENVELOPE", "detail": "It fits."}],
        "route": None,
        "caps": {"max_output_tokens": 800},
        "reservation": {
            "id": "rsv_1",
            "token": "token-1",
            "amount": "0.01",
            "amount_nanos": "10000000",
            "currency": "USD",
            "expires_at": "2026-11-20T09:40:00Z",
        },
        "envelopes": [],
        "counterfactual": None,
        "policy": {"version": 1, "hash": "aa"},
    } | changes


def denied(code: str = "ENVELOPE_HARD_LIMIT", **changes: Any) -> dict[str, Any]:
    return (
        decision(
            decision="deny",
            would_decision="deny",
            reasons=[{"code": code, "detail": "No room."}],
            caps=None,
            reservation=None,
        )
        | changes
    )


MONEY = {"amount": "0.005", "amount_nanos": "5000000", "currency": "USD"}
SETTLED = {
    "entry_id": "ent_1",
    "cost": MONEY,
    "refunded": MONEY,
    "overrun": MONEY | {"amount": "0.00", "amount_nanos": "0"},
    "late": False,
    "flags": [],
}
RELEASED = {"entry_id": "ent_2", "refunded": MONEY}
AWAY = (
    503,
    {"Retry-After": "0", "Content-Type": "application/problem+json"},
    {"code": "unavailable", "detail": "The database cannot be reached.", "retry": "same"},
)


def wait_for(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("did not come about")
