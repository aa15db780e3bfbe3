"""Do balances follow what the ledger's own doors book?"""

from datetime import timedelta

import msgspec
import pytest

from ledger import facade as ledger
from o10.wire.facts import UsageRecord
from policies import facade as policies

from .company import (
    DOLLAR,
    NOW,
    ROUTER,
    ask,
    entries,
    make_tree,
    money_of,
    pay,
    reason_of,
)

pytestmark = pytest.mark.usefixtures("books")


def record(*, key="u1", at=NOW, use_case="support", output=310):
    return msgspec.convert(
        {
            "id": key,
            "source": "router",
            "at": at,
            "use_case": use_case,
            "model": "gpt-x",
            "usage": {"input_tokens": 1_200, "output_tokens": output},
        },
        UsageRecord,
    )


def report(*records, now=NOW):
    return ledger.record_usage(records=list(records), caller=ROUTER, now=now)


def test_usage_reported_afterwards_is_unguarded_on_the_whole_path():
    tree = make_tree()
    report(record())
    for envelope in tree.values():
        money = money_of(envelope)
        assert (money["settled"], money["unguarded"]) == (7_650_000, 7_650_000)
    assert policies.check_conservation() == []


def test_usage_may_pass_the_cap_and_then_nothing_is_granted():
    tree = make_tree(use_case=20_000_000)
    report(record(output=10_000))
    assert money_of(tree["use_case"])["available"] < 0
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"
    assert policies.check_conservation() == []


def test_past_usage_begins_its_own_period():
    tree = make_tree()
    before = NOW - timedelta(days=60)
    report(record(at=before), record(key="u2", at=before - timedelta(days=300)))
    assert money_of(tree["use_case"], now=before)["settled"] == 7_650_000
    assert money_of(tree["use_case"])["settled"] == 0
    assert policies.check_conservation() == []


def test_usage_of_nobody_is_counted_in_no_envelope():
    tree = make_tree()
    report(record(use_case="unknown"))
    assert money_of(tree["company"])["settled"] == 0
    assert policies.check_conservation() == []


def test_many_records_of_one_request_move_a_tree_once():
    tree = make_tree(use_case=DOLLAR)
    report(*[record(key=f"u{number}") for number in range(40)])
    assert money_of(tree["use_case"])["settled"] == 40 * 7_650_000
    pay(ask())
    assert policies.check_conservation() == []


def settled_entry():
    return entries(kind=4)[-1]


def take_back(entry, **replacement):
    return ledger.reverse(
        uid=entry.uid,
        key="k",
        reason="wrong price",
        requested_by="usr_maker",
        approved_by="usr_checker",
        actor_id=0,
        now=NOW + timedelta(days=2),
        replacement=replacement or None,
    )


def test_p10_a_settle_taken_back_gives_its_money_back_at_once():
    tree = make_tree(use_case=20_000_000)
    pay(ask(), usage=(1_200, 800))
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"
    take_back(settled_entry(), amount_nanos=15_000)
    money = money_of(tree["use_case"])
    assert (money["settled"], money["unguarded"]) == (15_000, 15_000)
    assert ask()["decision"] == "allow"


def test_a_late_settle_taken_back_is_unsettled_until_the_write_off():
    tree = make_tree()
    answer = ask()
    policies.expire_due(now=NOW + timedelta(minutes=11))
    pay(answer, now=NOW + timedelta(hours=1))
    take_back(settled_entry())
    assert money_of(tree["use_case"])["unsettled"] == 15_000_000
    assert policies.check_conservation() == []
    assert policies.write_off_due(now=NOW + timedelta(days=2)) == 1
    assert money_of(tree["use_case"])["unsettled"] == 0
    assert policies.check_conservation() == []
