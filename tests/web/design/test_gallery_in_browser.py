"""Do the parts work in a browser: contrast, keyboard, narrow screens, no script, no errors?

Needs Chromium and playwright; skips with the command to install them.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tests.web.design.gallery import Server

AXE = Path(__file__).resolve().parents[2] / "vendor/axe-core-4.14.1/axe.min.js"
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
PATHS = ["/", "/broken/", "/envelopes/", "/entry/", "/parts/", "/sign-in/", "/problem/"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs: apt-get install -y chromium"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs: pip install playwright"
    )
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, site: Server) -> Iterator[object]:
    """visit(path, width=…, **context) opens a page and remembers console and requests."""
    contexts = []

    def open_page(path: str, *, width: int = 1280, wait: str = "load", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.origins = [], set()
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.origins.add(request.url.split("/")[2]))
        page.goto(site.url + path, wait_until=wait)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing(visit, path: str, theme: str) -> None:
    page = visit(path, color_scheme=theme)
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []


@pytest.mark.parametrize("width", [320, 390, 768, 1920])
@pytest.mark.parametrize("path", PATHS)
def test_page_never_scrolls_sideways(visit, path: str, width: int) -> None:
    page = visit(path, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("path", ["/", "/entry/", "/parts/"])
def test_targets_are_at_least_24_by_24(visit, path: str) -> None:
    page = visit(path, width=390)
    small = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, summary, input, select')]
        .filter(e => e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}))
        .filter(e => !e.closest('p, dd, td, th, li:not(.nav li), .skip') && !e.matches('.skip'))
        .map(e => [e, (e.type === 'checkbox' && e.closest('label')) || e])
        .map(([e, target]) => [e, target.getBoundingClientRect()])
        .filter(([, box]) => box.width && (box.width < 24 || box.height < 24))
        .map(([e, box]) => `${e.outerHTML.slice(0, 80)} ${box.width}x${box.height}`)"""
    )
    assert small == []


def test_chart_is_drawn_with_tokens_and_painted_again_in_dark(visit) -> None:
    page = visit("/", color_scheme="light")
    page.wait_for_selector(".chart .main-svg .bars path")
    fill = """() => getComputedStyle(
        document.querySelectorAll('.chart .trace.bars')[1].querySelector('path')).fill"""
    assert page.evaluate(fill) == "rgb(39, 54, 79)"
    page.evaluate("document.querySelector('[data-theme-choice=dark]').click()")
    wait_until(page, f"({fill})() === 'rgb(201, 211, 227)'")
    assert page.errors == [], "the content policy was hit"
    assert page.origins == {page.url.split("/")[2]}


def test_theme_choice_survives_a_reload(visit) -> None:
    page = visit("/entry/", color_scheme="light")
    page.evaluate("document.querySelector('[data-theme-choice=dark]').click()")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body.parentElement).colorScheme") == "dark"
    page.evaluate("document.querySelector('[data-theme-choice=system]').click()")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme ?? 'system'") == "system"


def test_keys_walk_rows_open_help_and_can_be_switched_off(visit) -> None:
    page = visit("/entry/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.locator("tr.is-cursor th").inner_text() == "4,812,305"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("j")
    assert page.locator("#search").input_value() == "j", "keys act while somebody types"
    page.locator("h1").click()
    page.keyboard.press("?")
    assert page.locator("#keys-help").is_visible()
    page.locator("[data-keys-switch]").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    assert page.locator("tr.is-cursor th").inner_text() == "4,812,305", "switched off, yet acts"


def test_go_to_keys_follow_the_navigation(visit) -> None:
    page = visit("/entry/")
    with page.expect_navigation():
        page.keyboard.press("g")
        page.keyboard.press("e")
    assert page.url.endswith("/envelopes/")


def test_skip_link_comes_first_is_large_enough_and_leads_to_the_content(visit) -> None:
    page = visit("/entry/")
    page.keyboard.press("Tab")
    box = page.locator(".skip").bounding_box()
    assert box["height"] >= 24 and box["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_focus_is_visible_and_never_under_the_bar(visit) -> None:
    page = visit("/entry/")
    for _ in range(40):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => { const e = document.activeElement; const r = e.getBoundingClientRect();
            const bar = document.querySelector('.bar').getBoundingClientRect();
            return {outline: getComputedStyle(e).outlineStyle,
                    inBar: !!e.closest('.bar, .side, .skip'),
                    top: r.top, bottom: r.bottom, bar: bar.bottom, tag: e.tagName}; }"""
        )
        if seen["tag"] == "BODY":
            break
        assert seen["outline"] != "none", seen
        assert seen["inBar"] or seen["bottom"] > seen["bar"], seen


def test_menus_and_tables_work_without_script(visit) -> None:
    page = visit("/", java_script_enabled=False, color_scheme="dark")
    page.locator("summary", has_text="Copy link").click()
    assert page.locator(".menu-list a", has_text="Frozen at entry").is_visible()
    assert page.locator("[data-theme-choice]").first.is_hidden()
    assert page.locator(".chart").is_hidden()
    page.locator(".chart-table summary").click()
    assert page.locator(".chart-table tbody tr").count() == 10


def test_dialog_keeps_the_focus_and_gives_it_back(visit) -> None:
    page = visit("/parts/")
    opener = page.locator("[data-dialog=cap-dialog]")
    opener.click()
    assert page.locator("#cap-dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#cap-dialog").is_hidden()
    assert page.evaluate("document.activeElement.dataset.dialog") == "cap-dialog"


def test_print_leaves_the_figures_and_drops_the_frame(visit) -> None:
    page = visit("/entry/", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".side").is_hidden() and page.locator(".bar").is_hidden()
    assert page.locator("h1").is_visible() and page.locator(".foot").is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_text_twice_as_large_stays_inside_the_page(visit) -> None:
    page = visit("/entry/", width=1280)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    wait_until(page, "document.documentElement.scrollWidth <= 1280", timeout=2000)


def test_head_of_a_table_that_fits_sticks_under_the_bar(visit) -> None:
    page = visit("/", width=1440)
    page.wait_for_selector(".is-sticky.is-fitting")
    page.evaluate("document.querySelector('tfoot').scrollIntoView({block: 'center'})")
    page.evaluate("scrollBy(0, 120)")
    tops = page.evaluate(
        """() => [document.querySelector('#use-cases thead th').getBoundingClientRect().top,
        document.querySelector('.bar').getBoundingClientRect().bottom,
        document.querySelector('#use-cases tbody tr').getBoundingClientRect().top]"""
    )
    head, bar, first_row = tops
    assert abs(head - bar) <= 1.5 or first_row > head, tops


def test_motion_stops_when_the_reader_asks_for_it(visit) -> None:
    page = visit("/parts/", reduced_motion="reduce")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.btn')).transitionDuration")
        == "0s"
    )


def test_marks_keep_their_colours_in_forced_colours(visit) -> None:
    page = visit("/envelopes/", forced_colors="active")
    adjust = "getComputedStyle(document.querySelector('.bullet')).forcedColorAdjust"
    assert page.evaluate(adjust) == "none"
