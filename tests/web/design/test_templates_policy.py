"""Do templates keep the content policy and the house's rules of inclusion?"""

import re
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).resolve().parents[3] / "templates"
SCRIPTS = TEMPLATES.parent / "static/js"
HTML = sorted(TEMPLATES.rglob("*.html"))
# These hand their whole context on to a template named by the caller.
PASSES_ALL = {"_components/_dialog.html": "{% include body %}"}


def name_of(file: Path) -> str:
    return str(file.relative_to(TEMPLATES))


@pytest.mark.parametrize("file", HTML, ids=name_of)
def test_template_has_no_inline_style_script_or_handler(file: Path) -> None:
    text = re.sub(r"{% comment %}.*?{% endcomment %}|{#.*?#}", "", file.read_text(), flags=re.S)
    assert not re.search(r"\sstyle\s*=", text), "style attribute"
    assert not re.search(r"<style", text), "style element"
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text), "event attribute"
    assert not re.search(r"hx-on|javascript:|hx-vals=.js:", text), "evaluated attribute"
    for opening in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in opening, opening
    assert "|safe" not in text and "autoescape off" not in text
    assert not re.search(r"(src|href)=[\"'](https?:)?//", text), "another origin"


@pytest.mark.parametrize("file", HTML, ids=name_of)
def test_template_hands_on_only_what_it_names(file: Path) -> None:
    for include in re.findall(r"{% include .*?%}", file.read_text(), flags=re.S):
        if PASSES_ALL.get(name_of(file)) == include or "_dialog.html" in include:
            continue
        # A page and its own fragment share their values: the fragment is also answered alone.
        if f'"{file.parent.name}/_' in include and file.parent.name != "_components":
            continue
        assert include.rstrip(" %}").endswith("only"), include


@pytest.mark.parametrize(
    "file", sorted(TEMPLATES.glob("_components/*.html")), ids=lambda file: file.name
)
def test_component_opens_with_its_question(file: Path) -> None:
    opening = re.match(r"{% comment %}(.+?){% endcomment %}", file.read_text(), flags=re.S)
    assert opening, "no opening comment"
    assert "?" in opening[1] or opening[1].startswith("The ")


@pytest.mark.parametrize("file", sorted(SCRIPTS.glob("*.js")), ids=lambda file: file.name)
def test_script_needs_no_evaluation_and_no_other_origin(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("// "), "opens with its question"
    assert not re.search(r"\beval\(|new Function|innerHTML|document\.write|https?://", text)


@pytest.mark.parametrize("file", HTML, ids=name_of)
def test_tables_inside_pages_can_scroll_on_their_own(file: Path) -> None:
    text = re.sub(r"{% comment %}.*?{% endcomment %}", "", file.read_text(), flags=re.S)
    if file.name in {"_envelope_tree.html", "_tree_table.html"}:  # wrapped by their pages
        return
    assert text.count("<table") <= text.count("table-wrap"), "a table without .table-wrap"
