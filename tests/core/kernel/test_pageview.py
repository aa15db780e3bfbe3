"""Does every link of a page differ from it in one thing, in canonical form?"""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.pageview import Column, PageView, link_with
from o10.kernel.viewquery import Direction, PageGrammar, Sort, ViewQuery, parse

GRAMMAR = PageGrammar(
    columns=("name", "spent"),
    by=(),
    filters=("use_case", "department"),
    default_sort=Sort("spent", Direction.DESCENDING),
)
COLUMNS = (Column("Use case", "name"), Column("Spent", "spent", num=True), Column("Mode"))


def view(text=""):
    pairs = [tuple(part.split("=", 1)) for part in text.split("&") if part]
    return PageView("/use-cases/", parse(pairs, page=GRAMMAR).query, GRAMMAR)


def test_the_default_view_has_the_bare_address():
    assert view().url == "/use-cases/"


def test_a_figure_sorts_from_the_largest_and_turns():
    name, spent, mode = view().columns(COLUMNS)
    assert spent.sort.state == "descending"
    assert spent.sort.url == "/use-cases/?sort=spent"
    assert (name.sort.state, name.sort.url) == ("", "/use-cases/?sort=name")
    assert mode.sort is None
    turned = view("sort=name").columns(COLUMNS)[0]
    assert (turned.sort.state, turned.sort.url) == ("ascending", "/use-cases/?sort=-name")


def test_a_changed_view_starts_at_its_first_page():
    assert view("page=4").url_with(sort=Sort("name")) == "/use-cases/?sort=name"


def test_a_chip_takes_its_own_filter_off():
    chips = view("f=use_case:a&f=use_case:b&f=department:!x").chips(
        labels={"use_case": "Use case"}, names={"use_case": {"a": "Assistant"}}
    )
    assert [(chip.label, chip.value) for chip in chips] == [
        ("Use case", "Assistant"),
        ("Use case", "b"),
        ("Department", "not x"),
    ]
    assert chips[0].remove_url == "/use-cases/?f=department:!x&f=use_case:b"


def test_the_form_keeps_what_is_on():
    form = view("f=use_case:a%20b&sort=name").add_filter(
        labels={}, choices={"department": [("x", "X")], "owner": []}
    )
    assert ("sort", "name") in form.hidden
    assert [choice.label for choice in form.choices] == ["Department"]
    assert form.choices[0].options[0].value == "department:x"
    assert view().add_filter(labels={}, choices={}).hidden == ()


def test_months_offer_this_one_without_a_key_and_a_year_to_date():
    menu = view("p=2026-10").months(shown="Oct 2026", detail="", today=date(2026, 11, 20))
    assert menu.choices[0].url == "/use-cases/"
    assert [link.current for link in menu.choices].count(True) == 1
    assert menu.choices[1].current
    assert menu.choices[-1].url == "/use-cases/?p=2026-01..2026-11"


def test_a_copied_link_is_live_or_frozen():
    copy = view("as_of=4").copy_links(seq=4)
    assert (copy.live_url, copy.frozen_url) == ("/use-cases/", "/use-cases/?as_of=4")
    assert view().copy_links(seq=0).frozen_url == ""


def test_files_stand_on_the_same_path():
    urls = [link.url for link in view("f=use_case:a&page=3").exports()]
    assert urls == [f"/use-cases.{form}?f=use_case:a" for form in ("csv", "xlsx", "json")]


filters = st.lists(
    st.tuples(st.sampled_from(GRAMMAR.filters), st.text(min_size=1, max_size=12)), max_size=4
)


@given(filters)
def test_a_link_is_read_back_as_the_view_it_was_made_of(pairs):
    from urllib.parse import parse_qsl, urlsplit

    start = PageView("/use-cases/", ViewQuery(), GRAMMAR)
    for key, value in pairs:
        url = start.url_filtered(key, value)
        read = parse(parse_qsl(urlsplit(url).query), page=GRAMMAR)
        if not read.messages:
            assert PageView("/use-cases/", read.query, GRAMMAR).url == url


def test_a_link_to_entries_is_escaped():
    assert link_with("/ledger/", ("model", "a b&c"), ("kind", "settle")) == (
        "/ledger/?f=kind:settle&f=model:a%20b%26c"
    )
