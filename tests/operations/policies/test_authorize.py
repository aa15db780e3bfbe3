"""Does an authorize hold exactly its worst case, and say why when it does not?"""

import pytest

from .company import (
    CHEAP,
    DOLLAR,
    MODEL,
    ROUTER,
    ask,
    entries,
    make_envelope,
    make_tree,
    money_of,
    pay,
    reason_of,
)

pytestmark = pytest.mark.usefixtures("books")


def test_g15_reserves_the_worst_case_and_refunds_what_was_not_used():
    tree = make_tree()
    answer = ask()
    assert answer["decision"] == "allow"
    assert reason_of(answer) == "OK_WITHIN_ENVELOPE"
    assert answer["reservation"]["amount"] == "0.015"
    for envelope in tree.values():
        assert money_of(envelope)["held"] == 15_000_000
    settled = pay(answer)
    assert settled["cost"]["amount"] == "0.00765"
    assert settled["refunded"]["amount"] == "0.00735"
    for envelope in tree.values():
        assert money_of(envelope) | {"available": 0} == {
            "settled": 7_650_000,
            "held": 0,
            "unsettled": 0,
            "unguarded": 0,
            "available": 0,
        }
