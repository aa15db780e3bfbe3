"""Does every component stand with nothing, with long and with hostile words?"""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from django import forms

from tests.web.design import samples as s
from tests.web.design.gallery import CapForm, pages, render

COMPONENTS = Path(__file__).resolve().parents[3] / "templates/_components"


def values(word: str) -> dict[str, dict]:
    """Every component's values, with `word` wherever a text may stand."""
    link = {"label": word, "url": "/x/?a=" + word, "current": True, "keys": "g o", "count": 3}
    head = {
        "headline": word,
        "subline": word,
        "crumbs": [link, link],
        "tabs": [link],
        "status": {"word": word, "tone": ""},
        "primary": link,
        "actions": [link],
    }
    state = {"title": word, "text": word, "actions": [link], "code": word, "tone": "adverse"}
    column = {
        "label": word,
        "num": True,
        "hint": word,
        "sort": {"url": "?a=" + word, "state": "descending"},
    }
    seal = s.BROKEN | {"detail": word, "head": word, "age": word}
    table = {"columns": [column], "rows": [[word, word]]}
    chart = s.CHART | {
        "title": word,
        "subtitle": word,
        "summary": word,
        "table": table,
        "legend": [{"mark": "ac", "label": word}],
        "figure": {"data": [{"name": word}], "layout": {}},
        "notes": [{"number": 1, "at": s.AT, "author": word, "text": word}],
    }
    organisation = {"name": word, "detail": word, "links": [link]}
    person = {"name": word, "role": word, "sign_out_url": "/"}
    row = s.ENVELOPES[2] | {
        "name": word,
        "kind": word,
        "binding": word,
        "resets": word,
        "label": word,
        "action": link,
    }
    form = CapForm({"cap": word})
    return {
        "_bands": {
            "demo": True,
            "seal": seal,
            "as_of": {"seq": 1, "at": s.AT, "live_url": "/"},
        },
        "_banner": {
            "title": word,
            "text": word,
            "tone": "warn",
            "action": link,
            "live": "polite",
        },
        "_bullet": {"label": word, "bars": [], "track": {"x": "0", "width": "9"}},
        "_button": {"label": word, "kind": "quiet", "disabled_reason": word},
        "_card_head": {
            "title": word,
            "subtitle": word,
            "links": [link],
            "legend": [{"mark": "ac", "label": word}],
            "status": {"word": word, "tone": "warn"},
        },
        "_chain": {
            "links": [
                s.LINKS[0]
                | {"title": word, "kind": word, "amount": word, "leaf": word, "chain": word}
            ]
        },
        "_chart": {"chart": chart},
        "_chart_table": {"table": table, "name": word},
        "_code": {"text": word, "copy": True, "label": word},
        "_decision_card": {
            "card": {"title": word, "effect": word, "text": word, "actions": [link]}
        },
        "_definitions": {
            "items": [
                {"term": word, "text": word, "sub": word},
                {"term": word, "text": word, "href": "/" + word},
                {"term": word, "code": word},
                {"term": word, "hash": word},
                {"term": word, "reason": word},
                {"term": word, "status": word},
            ]
        },
        "_delta": {"text": word, "tone": "adverse", "up": True, "word": word},
        "_dialog": {"id": "d", "title": word, "body": "gallery_dialog_body.html"},
        "_diff": {"lines": [{"sign": "+", "text": word}, {"sign": "-", "text": word}]},
        "_envelope_tree": {"rows": [row], "currency": "USD", "total": row},
        "_field": {"field": form["cap"], "hint": word, "unit": word, "optional": True},
        "_filter_chip": {"filter": {"label": word, "value": word, "remove_url": "/" + word}},
        "_foot": {"stamp": {"seq": 4, "at": s.AT}},
        "_form_errors": {"form": form},
        "_hash": {"value": word, "whole": True, "copy": True},
        "_keys_help": {"nav": [link | {"group": word}]},
        "_legend": {"items": [{"mark": "pl", "label": word}]},
        "_limits": {"items": [s.LIMITS[0] | {"name": word, "text": word, "label": word}]},
        "_mark": {},
        "_nav": {"nav": [link | {"group": word, "icon": "ledger"}]},
        "_organisation": {"organisation": organisation, "person": person},
        "_page_head": {"head": head, "stamp": {"seq": 1, "at": s.AT}},
        "_kpis": {
            "kpis": [
                {
                    "label": word,
                    "value": word,
                    "unit": word,
                    "note": word,
                    "title": word,
                    "href": "/" + word,
                    "spark": [1, 2],
                    "spark_label": word,
                    "delta": {"text": word, "tone": "adverse", "up": True, "word": word},
                }
            ]
        },
        "_pages": {
            "pages": {"first": 1, "last": 2, "total": 9, "older_url": "?a=" + word},
            "noun": word,
            "target": "x",
        },
        "_progress": {"text": word, "rate": word, "left": word, "done": 1, "total": 2},
        "_proof": {
            "steps": [s.STEPS[0] | {"hash": word}],
            "result": {"ok": False, "root": word, "text": word},
        },
        "_reason": {"code": word, "tone": "warn"},
        "_seal": {"seal": seal, "poll_url": "/seal/"},
        "_stamp": {"stamp": {"seq": 1, "at": word, "state": "stale"}},
        "_state": {"state": state},
        "_status": {"word": word, "tone": "warn"},
        "_steps": {
            "steps": [{"label": word, "state": "done"}, {"label": word, "state": "now"}]
        },
        "_swatch": {"mark": "ac"},
        "_table_head": {"columns": [column, {"label": word, "hint": word}], "target": "x"},
        "_table_tools": {
            "exports": [link],
            "columns": [{"key": word, "label": word}],
            "hidden": [(word, word)],
            "density": True,
        },
        "_tabs": {"tabs": [link], "label": word},
        "_theme": {},
        "_timeline": {"events": [{"at": word, "strong": word, "text": word, "href": "/"}]},
        "_topbar": {
            "bar": {
                "period": {"label": word, "detail": word, "choices": [link]},
                "compare": [link],
                "filters": [{"label": word, "value": word}],
                "add_filter": {
                    "action": "",
                    "hidden": [(word, word)],
                    "choices": [{"label": word, "options": [{"value": word, "label": word}]}],
                },
                "copy": s.BAR["copy"],
                "exports": [link],
                "actions": [link],
            },
            "search_url": "/search/",
        },
    }


# Without a body, a figure or a field there is no such part.
NOTHING_WITHOUT = {"_dialog", "_chart", "_field"}


class Tree(HTMLParser):
    """Which elements, attributes and words does a browser see? Open elements must close."""

    VOID = {
        "input",
        "br",
        "hr",
        "meta",
        "link",
        "img",
        "path",
        "rect",
        "circle",
        "ellipse",
        "use",
    }

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words += data


def test_every_component_is_tried_here() -> None:
    assert {f"_{file.stem.lstrip('_')}" for file in COMPONENTS.glob("*.html")} == set(
        values("")
    )


@pytest.mark.parametrize("name", values(""))
def test_component_stands_without_any_value(name: str) -> None:
    if name in NOTHING_WITHOUT:
        return
    empty = {key: None for key in values("")[name]} | {"csrf_token": ""}
    tree = Tree(render(f"_components/{name}.html", dict.fromkeys(s.FRAME) | empty))
    assert tree.open == []


@pytest.mark.parametrize("name", values(""))
def test_component_shows_hostile_words_as_words(name: str) -> None:
    harmless = Tree(render(f"_components/{name}.html", values("harmless words")[name]))
    hostile = Tree(render(f"_components/{name}.html", values(s.HOSTILE)[name]))
    assert hostile.open == []
    assert hostile.tags == harmless.tags, "words became elements"
    assert hostile.attributes == harmless.attributes, "words became attributes"


@pytest.mark.parametrize("name", values(""))
def test_component_keeps_long_words_whole(name: str) -> None:
    text = render(f"_components/{name}.html", values(s.LONG)[name])
    if "harmless words" in render(f"_components/{name}.html", values("harmless words")[name]):
        assert s.LONG.strip()[:60] in text or name in {"_seal", "_chain", "_proof", "_reason"}
    assert Tree(text).open == []


@pytest.mark.parametrize(
    "path", ["/", "/broken/", "/envelopes/", "/entry/", "/parts/", "/sign-in/", "/problem/"]
)
def test_page_is_whole_and_has_one_heading_and_one_primary_button(path: str) -> None:
    page = pages()[path]
    tree = Tree(page)
    assert tree.open == []
    assert tree.tags.count("h1") == 1 and tree.tags.count("main") == 1
    assert "style" not in tree.attributes
    assert page.count('class="btn primary') <= 1 or path == "/parts/"
    assert 'href="#main"' in page


def test_navigation_shows_only_the_screens_it_is_given() -> None:
    text = render("_components/_nav.html", {"nav": s.NAV[:2]})
    assert "Overview" in text and "Ledger" not in text and text.count("<a ") == 2


def test_broken_ledger_speaks_on_the_page_and_in_the_seal() -> None:
    text = pages()["/broken/"]
    assert 'class="seal is-broken t-adverse"' in text
    assert 'class="band is-solid t-adverse" role="alert"' in text
    assert "signing is blocked" in text


def test_missing_value_is_read_out_as_not_measured() -> None:
    text = render("_components/_kpis.html", {"kpis": [{"label": "KYI", "value": None}]})
    assert '<span aria-hidden="true">—</span><span class="vh">not measured</span>' in text


def test_figure_data_cannot_leave_its_block() -> None:
    chart = s.CHART | {"figure": {"data": [{"name": "</script><script>alert(1)</script>"}]}}
    text = render("_components/_chart.html", {"chart": chart})
    assert text.count("<script") == 1 and "\\u003C/script\\u003E" in text


def test_problem_page_stands_without_frame_and_names_its_code() -> None:
    for status in (400, 403, 404, 409, 429, 500, 503):
        problem = {
            "status": status,
            "title": "T",
            "detail": "D",
            "code": "some_code",
            "errors": [{"pointer": "/cap", "message": s.HOSTILE}],
        }
        text = render("problem.html", {"nav": None, "problem": problem})
        assert "some_code" in text and "<script>" not in text and str(status) in text


def test_field_ties_label_hint_and_error_to_its_input() -> None:
    class Form(forms.Form):
        cap = forms.DecimalField(label="Cap", help_text="in USD")

    text = render("_components/_field.html", {"field": Form({"cap": "x"})["cap"]})
    assert 'for="id_cap"' in text and 'aria-invalid="true"' in text
    described = text.split('aria-describedby="')[1].split('"')[0].split()
    for identifier in described:
        assert f'id="{identifier}"' in text
