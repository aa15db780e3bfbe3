"""Do screens and API say what open calls hold and what is out on lease?"""

from typing import Any

import pytest

from policies import facade as policies

from .company import DOLLAR, FINANCE, NOW, ask, make_tree, pay
from .lender import call_in, lend
from .test_lease_detach import COST, WORST


@pytest.fixture
def lending(sound: None) -> dict[str, Any]:
    """One strict call, and a lease with one open and one settled call."""
    tree = make_tree()
    ask()
    lent = lend(10 * WORST)
    call_in(lent.lease, WORST)
    pay(call_in(lent.lease, WORST, sequence=200))
    return tree


def line(tree: dict[str, Any], name: str = "use_case") -> policies.EnvelopeLine:
    return policies.get_envelope_line(envelope=tree[name].id, now=NOW)


def test_held_is_what_open_calls_hold_and_lent_is_all(lending: dict[str, Any]) -> None:
    for name in lending:
        found = line(lending, name)
        assert (found.held, found.lent, found.out) == (
            2 * WORST,
            11 * WORST - COST,
            10 * WORST - COST,
        )


def test_left_is_deducted_by_all_that_is_lent(lending: dict[str, Any]) -> None:
    view = policies.get_envelope(envelope=lending["use_case"].id, now=NOW)
    assert int(view.held_nanos) == 2 * WORST
    assert int(view.leased_nanos) == 11 * WORST - COST
    assert int(view.available_nanos or 0) == DOLLAR - COST - int(view.leased_nanos)


def test_a_preview_counts_what_is_lent(lending: dict[str, Any]) -> None:
    screen = policies.get_envelope_screen(
        envelope=lending["use_case"].id, now=NOW, amount=20 * WORST
    )
    assert screen.preview is not None
    assert screen.preview.left == 20 * WORST - 11 * WORST


def test_the_tree_of_many_is_the_same_as_the_lines_of_few(
    lending: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from policies.queries import lent_figures

    few = policies.list_envelope_lines(now=NOW)
    monkeypatch.setattr(lent_figures, "FEW", 0)
    assert policies.list_envelope_lines(now=NOW) == few


def test_periods_tell_it_too(lending: dict[str, Any]) -> None:
    (period,) = policies.list_period_lines(envelope=lending["use_case"].id)
    assert (period.held, period.lent) == (2 * WORST, 11 * WORST - COST)


def cut(tree: dict[str, Any]) -> None:
    policies.change_envelope(
        envelope=tree["use_case"].id,
        change=policies.EnvelopeChange(amount_nanos=WORST, reason="less"),
        actor=FINANCE,
        now=NOW,
    )


def cards(tree: dict[str, Any]) -> dict[str, tuple[str, str]]:
    from policies.web.shown_envelope import _kpis

    return {
        each["label"]: (each["value"].text, each["note"])
        for each in _kpis(line(tree), "USD")
        if hasattr(each["value"], "text")
    }


def test_the_page_says_what_is_lent_and_after_a_cut_what_is_still_out(
    lending: dict[str, Any],
) -> None:
    before = cards(lending)
    assert before["Held"][0] == "$0.0300"
    assert before["Lent"] == ("$0.1574", "$0.1424 still out on lease")
    cut(lending)
    after = cards(lending)
    assert after["Still out on lease"] == ("$0.1424", "recalled; counts until it is back")
    assert "Lent" not in after


def test_money_of_open_calls_alone_is_not_out_on_lease(sound: None) -> None:
    tree = make_tree()
    ask()
    assert cards(tree)["Lent"] == ("$0.0150", "to open calls alone")
