"""Which site and which browser do journeys have? The page company behind a real server."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

import pytest

from o10.access.roles import Role
from tests.waiting import wait_until
from tests.web.reports.pages_company import NOW, PagesCompany, pages_company

AXE = Path(__file__).resolve().parents[1] / "vendor/axe-core-4.14.1/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PASSWORD = "a password of the tests"


@dataclass(frozen=True)
class Site:
    """Where does the company answer, and who is it?"""

    url: str
    company: PagesCompany
    home: Path
    urls: Any


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Requests are no news."""


@pytest.fixture(scope="module")
def site(
    database_urls: Any,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """The company of the page tests behind a server; its clock stands on one morning."""
    home = tmp_path_factory.mktemp("journey")
    with pytest.MonkeyPatch.context() as patch:
        from o10.kernel import clock

        patch.setattr(clock, "now", lambda: NOW)
        company = pages_company(database_urls, django_db_blocker, home)
        made = next(company)
        try:
            with _serving() as url:
                yield Site(url, made, home, database_urls)
        finally:
            next(company, None)


class _serving:
    """A threaded server of the Django application on a free port of this machine."""

    def __enter__(self) -> str:
        from socketserver import ThreadingMixIn
        from wsgiref.simple_server import WSGIServer, make_server

        from django.core.wsgi import get_wsgi_application

        class Threaded(ThreadingMixIn, WSGIServer):
            # Closing waits for the answers that are on their way: they read the database.
            daemon_threads = False

        self.server = make_server(
            "127.0.0.1", 0, _closing(get_wsgi_application()), Threaded, _Quiet
        )
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *failure: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def _closing(application: Any) -> Any:
    """Each request has a thread and so a database connection of its own: closed after it.

    The answer is made whole and closed in its thread: one that nobody waited for would be
    collected by whichever thread comes by, and close the connection of that one.
    """

    def answer(environ: Any, start: Any) -> list[bytes]:
        from django.db import connections

        response = application(environ, start)
        try:
            return [b"".join(response)]
        finally:
            response.close()
            connections.close_all()

    return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, for one module: its driver keeps an event loop in this thread."""
    if CHROMIUM is None:
        pytest.skip("needs: apt-get install -y chromium")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs: pip install playwright"
    )
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def signed_in(site: Site, browser: Any) -> Callable[[Role], Any]:
    """Signs a person of this role in by the form, once; the state of its browser."""
    known: dict[Role, Any] = {}

    def state(role: Role) -> Any:
        if role not in known:
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{site.url}/sign-in/")
            page.locator('main input[type="email"], main input[name="email"]').fill(
                f"{role.value}@acme.example"
            )
            page.locator('main input[type="password"]').fill(PASSWORD)
            page.locator('main button[type="submit"]').click()
            page.wait_for_url(f"{site.url}/")
            known[role] = context.storage_state()
            context.close()
        return known[role]

    return state


@pytest.fixture
def visit(site: Site, browser: Any, signed_in: Callable[[Role], Any]) -> Iterator[Any]:
    """visit(path, role=…, width=…, **context) opens a page; it remembers errors and origins."""
    contexts = []

    def open_page(
        path: str, *, role: Role = Role.FINOPS, width: int = 1280, **options: Any
    ) -> Any:
        # Colours in mid-transition are nobody's colours.
        options.setdefault("reduced_motion", "reduce")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, storage_state=signed_in(role), **options
        )
        contexts.append(context)
        page = context.new_page()
        page.errors, page.origins = [], set()
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.origins.add(request.url.split("/")[2]))
        page.goto(site.url + path, wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()


def axe_findings(page: Any) -> list[tuple[str, str]]:
    """What does axe say about this page? Rule and first place of each violation."""
    # A form that waits for its answer is dimmed and takes no click, and a colour on its way to
    # another is nobody's: the page is judged when it rests.
    wait_until(
        page,
        "() => !document.querySelector('.htmx-request') && !document.getAnimations().length",
    )
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    return [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
