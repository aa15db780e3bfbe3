"""How do all parts look together? Pages of invented values, as text or served under our policy.

`python -m tests.web.design.gallery PORT` serves them; the browser tests use the same pages.
"""

import http.server
import sys
import threading
from pathlib import Path

from django import forms
from django.template import Context, Engine
from django.template.loader import get_template

from tests.web.design import samples as s

ROOT = Path(__file__).resolve().parents[3]
POLICY = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:"
LEGEND = [
    {"mark": "spent", "label": "Spent"},
    {"mark": "held", "label": "Held"},
    {"mark": "demand", "label": "Demand"},
    {"mark": "cap", "label": "Cap"},
]
SEALED = {"word": "sealed 83 ms after recording", "tone": "favourable"}


class CapForm(forms.Form):
    cap = forms.DecimalField(label="New cap, USD", help_text="The company stays at $417,000.")
    until = forms.DateField(label="Until", required=False)
    reason = forms.CharField(label="Reason", widget=forms.Textarea, required=True)
    kind = forms.ChoiceField(label="Kind", choices=[("hard", "hard"), ("soft", "soft")])


def engine() -> Engine:
    return Engine(
        dirs=[ROOT / "templates", ROOT / "tests/web/design/templates"],
        libraries={
            "figures": "o10.templatetags.figures",
            "marks": "o10.templatetags.marks",
            "static": "django.templatetags.static",
            "django_htmx": "django_htmx.templatetags.django_htmx",
        },
    )


def render(name: str, values: dict) -> str:
    """The template's text; frame values of a signed-in CFO stand below the given ones."""
    return engine().get_template(name).render(Context(s.FRAME | values))


def pages() -> dict[str, str]:
    """Path to page: the screens this design was drawn for, in invented values."""
    links = [{"label": "Columns", "url": "#"}, {"label": "CSV", "url": "#"}]
    crumbs = [{"label": "Ledger", "url": "/"}, {"label": "Entry 4,812,304"}]
    rows = {"first": 1, "last": 6, "total": 9, "older_url": "?page=2"}
    overview = {
        "head": s.HEAD,
        "kpis": s.KPIS,
        "chart": s.CHART,
        "cards": s.DECISION_CARDS,
        "links": links,
        "legend": LEGEND,
        "columns": s.USE_CASE_COLUMNS,
        "rows": s.USE_CASES,
        "total": 236_760 * s.USD,
        "pages": rows,
        "limits": s.LIMITS,
    }
    entry = {
        "head": {
            "headline": "Entry 4,812,304 cost $0.028760000 and stands unchanged.",
            "subline": "RAG · policy search, rerouted from cedar-5-max to alder-4-large.",
            "crumbs": crumbs,
            "primary": {"label": "Download proof", "url": "#"},
        },
        "columns": s.ENTRY_COLUMNS,
        "rows": s.ENTRIES,
        "pages": rows,
        "chain": s.LINKS,
        "sealed": SEALED,
        "price": s.PRICE_LINES,
        "facts": s.FACTS,
        "steps": s.STEPS,
        "result": {"ok": True, "root": s.LEAF, "text": "They give the root of the checkpoint."},
        "links": links,
        "bar": s.BAR | {"compare": None},
    }
    envelopes = {
        "head": {
            "headline": "$113,520 is left for nine days; two use cases run out before 1 Dec.",
            "subline": "They leave $18,900 of demand unserved.",
        },
        "kpis": s.KPIS,
        "legend": LEGEND,
        "links": links,
        "rows": s.ENVELOPES,
        "total": s.ENVELOPES[0] | {"name": "Company, sum of leaves"},
    }
    form = CapForm({"cap": "abc"})
    parts = {
        "head": {
            "headline": "Parts and their states",
            "subline": "",
            "tabs": [
                {"label": "Summary", "url": "#", "current": True},
                {"label": "Log", "url": "#", "current": False, "count": 42},
            ],
            "status": {"word": "enforce", "tone": ""},
        },
        "words": ["observe", "enforce", "capped", "watch", "allow_with_caps", "deny", "closed"],
        "codes": ["OK_WITHIN_ENVELOPE", "CAPPED_TOKENS", "RIGHTSIZED", "ENVELOPE_HARD_LIMIT"],
        "flow": [
            {"label": "Upload", "state": "done"},
            {"label": "Dry run", "state": "now"},
            {"label": "Confirm", "state": ""},
        ],
        "diff": s.DIFF,
        "code": "ledger.northwind.example/production\n4812337\ntibXlvCI9ax8CPQ0k=\n",
        "form": form,
        "events": [
            {"at": s.AT, "strong": "Raised", "text": "by M. Okafor"},
            {"at": s.AT, "strong": "Approved", "text": "entry 4,681,950", "href": "#"},
        ],
        "empty": {
            "title": "No entries with these filters",
            "text": "The last filter removed all.",
            "actions": [{"label": "Clear the last filter", "url": "#"}],
        },
        "error": {
            "title": "The proof could not be built",
            "tone": "adverse",
            "icon": "warning",
            "text": "Entry 4,812,337 is not sealed yet. Nothing is lost; try in a second.",
            "code": "not_sealed_yet",
            "actions": [{"label": "Try again", "url": "#"}],
        },
        "demo": True,
        "as_of": {"seq": 4_812_337, "at": s.AT, "live_url": "/"},
    }
    problem = {
        "status": 404,
        "title": "Nothing here",
        "detail": "There is no envelope env_1.",
        "code": "not_found",
    }
    people = [
        {"name": "A. Lindqvist", "role": "cfo", "email": "cfo@demo", "password": "demo-demo"}
    ]
    return {
        "/": render("gallery_overview.html", overview),
        "/broken/": render(
            "gallery_overview.html", overview | {"seal": s.BROKEN, "demo": True}
        ),
        "/envelopes/": render("gallery_envelopes.html", envelopes),
        "/entry/": render("gallery_entry.html", entry),
        "/parts/": render("gallery_parts.html", parts),
        "/sign-in/": render("access/login.html", {"nav": None, "demo_people": people}),
        "/problem/": render("problem.html", {"nav": None, "problem": problem}),
    }


class Server(http.server.ThreadingHTTPServer):
    """Serves the gallery and the static files under the product's content policy."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.pages = pages()
        super().__init__(("127.0.0.1", port), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.shutdown()
        self.server_close()


KINDS = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
}


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        found = self.server.pages.get(path)
        body, kind = (
            (found.encode(), "text/html; charset=utf-8") if found else static_file(path)
        )
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: the test prints what matters."""


def static_file(path: str) -> tuple[bytes, str]:
    import django_htmx

    name = path.removeprefix("/static/")
    homes = (ROOT / "static", Path(django_htmx.__file__).parent / "static")
    for home in homes:
        file = (home / name).resolve()
        if file.is_relative_to(home) and file.is_file():
            return file.read_bytes(), KINDS.get(file.suffix, "text/plain")
    return b"", "text/plain"


def main() -> None:
    import django
    from django.conf import settings

    settings.configure(
        STATIC_URL="/static/",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [ROOT / "templates", ROOT / "tests/web/design/templates"],
                "OPTIONS": {"libraries": engine().libraries},
            }
        ],
        USE_I18N=False,
    )
    django.setup()
    get_template("base.html")
    with Server(int(sys.argv[1]) if len(sys.argv) > 1 else 8123) as server:
        print(server.url)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
