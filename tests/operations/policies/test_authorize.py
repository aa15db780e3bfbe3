"""Does an authorize hold exactly its worst case, and say why when it does not?"""

from datetime import timedelta

import pytest

from o10.kernel.errors import IdempotencyMismatch
from o10.wire.requests import Authorize
from policies import facade as policies
from policies.models import DecisionLog, Reservation

from .company import (
    CHEAP,
    DOLLAR,
    FINANCE,
    NOW,
    ROUTER,
    ask,
    decoded,
    entries,
    make_caller,
    make_envelope,
    make_tree,
    make_use_case,
    money_of,
    pay,
    reason_of,
)

pytestmark = pytest.mark.usefixtures("sound")
RESERVE, DENY = 2, 15


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
        money = money_of(envelope)
        assert (money["settled"], money["held"]) == (7_650_000, 0)
    assert policies.check_conservation() == []


def test_the_answer_has_the_shape_of_the_contract():
    make_tree()
    answer = ask(request_id="c0ffee-1", tags={"feature": "triage"}, customer="acme")
    assert answer["route"] == {
        "offer": "openai/gpt-x",
        "model": "gpt-x",
        "venue": "openai",
        "region": "global",
        "price_version": 1,
    }
    assert answer["caps"] == {"max_output_tokens": 800}
    assert answer["reservation"]["expires_at"] == "2026-11-20T09:40:00Z"
    assert [each["name"] for each in answer["envelopes"]] == [
        "Company / Nov 2026",
        "Service / Nov 2026",
        "Support / Nov 2026",
    ]
    own = answer["envelopes"][-1]
    assert (own["cap"], own["held"], own["available"]) == ("1.00", "0.015", "0.985")
    assert [each["binding"] for each in answer["envelopes"]] == [False, False, True]
    assert answer["policy"]["version"] == 4
    assert len(answer["policy"]["hash"]) == 64


def test_a_repeated_request_gets_the_same_bytes_and_holds_once():
    tree = make_tree()
    request = Authorize(
        use_case="support",
        request_id="again",
        model="gpt-x",
        input_tokens=1_200,
        max_output_tokens=800,
    )
    first = policies.authorize(request=request, caller=ROUTER, now=NOW)
    later = policies.authorize(request=request, caller=ROUTER, now=NOW + timedelta(minutes=1))
    assert first == later
    assert money_of(tree["use_case"])["held"] == 15_000_000
    assert len(entries(kind=RESERVE)) == 1


def test_the_same_request_id_with_another_body_is_a_conflict_and_writes_nothing():
    tree = make_tree()
    ask(request_id="again")
    before = money_of(tree["use_case"])
    with pytest.raises(IdempotencyMismatch):
        ask(request_id="again", max_output_tokens=801)
    assert money_of(tree["use_case"]) == before


def test_two_keys_may_use_the_same_request_id():
    tree = make_tree()
    ask(request_id="one")
    ask(request_id="one", caller=make_caller(key="key_other"))
    assert money_of(tree["use_case"])["held"] == 30_000_000


def test_a_denial_is_recorded_with_its_record_and_holds_nothing():
    tree = make_tree(use_case=14_999_999)
    answer = ask(request_id="no")
    assert (answer["decision"], answer["reservation"]) == ("deny", None)
    assert reason_of(answer) == "ENVELOPE_HARD_LIMIT"
    assert money_of(tree["use_case"])["held"] == 0
    denied = entries(kind=DENY)
    assert [(each.n, each.held_nanos, each.env_version) for each in denied] == [(1, 0, 0)]
    row = DecisionLog.objects.get()
    assert row.entry_uid == denied[0].uid
    assert row.record["reasons"][0]["code"] == "ENVELOPE_HARD_LIMIT"
    assert row.record["worst"]["nanos"] == 15_000_000
    assert ask(request_id="no") == answer


def test_p13_a_cap_of_zero_denies_the_first_call_and_no_cap_is_bounded_by_the_parent():
    make_use_case()
    make_use_case(slug="search")
    make_envelope(kind="company", slug="", amount=30_000_000)
    make_envelope(amount=0)
    make_envelope(slug="search", amount=None)
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"
    assert reason_of(ask(use_case="search")) == "OK_WITHIN_ENVELOPE"
    assert reason_of(ask(use_case="search")) == "OK_WITHIN_ENVELOPE"
    assert reason_of(ask(use_case="search")) == "PARENT_ENVELOPE_EXHAUSTED"


def test_p05_an_unpriced_model_is_never_admitted():
    tree = make_tree()
    answers = [ask(model="nobody/knows") for _ in range(50)]
    assert {reason_of(answer) for answer in answers} == {"PRICE_UNKNOWN"}
    assert money_of(tree["use_case"])["held"] == 0


def test_g16_a_call_four_times_the_cap_is_denied():
    make_tree(use_case=3_750_000)
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"


def test_a_key_outside_its_scope_is_denied_and_that_is_recorded():
    make_tree()
    other = make_caller(use_cases=frozenset({"search"}))
    assert reason_of(ask(caller=other)) == "KEY_NOT_SCOPED"
    assert reason_of(ask(caller=FINANCE)) == "KEY_NOT_SCOPED"
    assert len(entries(kind=DENY)) == 2


def test_an_unknown_use_case_is_denied_and_recorded_without_a_number():
    make_tree()
    assert reason_of(ask(use_case="nobody")) == "USE_CASE_UNKNOWN"
    assert [each.use_case_id for each in entries(kind=DENY)] == [0]


def test_a_prompt_is_estimated_with_its_margin_and_not_kept():
    make_tree()
    answer = ask(input_tokens=None, prompt="a confidential question " * 10)
    # 240 bytes are 80 tokens, with ten per cent 88.
    assert answer["reservation"]["amount_nanos"] == str(88 * 2_500 + 800 * 15_000)
    stored = str(DecisionLog.objects.values().get()) + str(Reservation.objects.values().get())
    assert "confidential" not in stored


def test_without_max_output_tokens_the_answer_sets_one_and_holds_for_it():
    make_tree()
    answer = ask(max_output_tokens=None)
    assert answer["decision"] == "allow_with_caps"
    assert answer["caps"] == {"max_output_tokens": 1_024}
    assert answer["reservation"]["amount_nanos"] == str(1_200 * 2_500 + 1_024 * 15_000)


def test_dry_run_answers_the_same_and_writes_nothing():
    tree = make_tree()
    request = Authorize(
        use_case="support", model="gpt-x", input_tokens=1_200, max_output_tokens=800
    )
    before = (len(entries()), DecisionLog.objects.count())
    tried = decoded(policies.dry_run(request=request, caller=ROUTER, now=NOW))
    assert (len(entries()), DecisionLog.objects.count()) == before
    assert tried["reservation"] is None
    real = ask()
    for name in ("decision", "reasons", "route", "caps", "envelopes", "policy"):
        assert tried[name] == real[name]
    assert money_of(tree["use_case"])["held"] == 15_000_000


def test_a_run_may_not_cost_more_than_its_limit():
    make_tree(per_run_nanos=40_000_000)
    assert ask(run_id="r1")["decision"] == "allow"
    first = ask(run_id="r1")
    assert reason_of(ask(run_id="r1")) == "PER_RUN_LIMIT"
    assert ask(run_id="r2")["decision"] == "allow"
    pay(first)
    # The run has settled 7,650,000 and holds 15,000,000: 17,350,000 are left.
    assert ask(run_id="r1")["decision"] == "allow"


def test_a_soft_threshold_is_told_and_does_not_deny():
    make_tree(use_case=20_000_000, soft_thresholds_ppm=(500_000, 800_000))
    answer = ask()
    assert answer["decision"] == "allow"
    codes = [reason["code"] for reason in answer["reasons"]]
    assert codes == ["ENVELOPE_SOFT_LIMIT", "OK_WITHIN_ENVELOPE"]


def test_shadow_decides_holds_nothing_and_books_the_cost_as_unguarded():
    make_use_case(mode="shadow")
    envelope = make_envelope(amount=0)
    answer = ask()
    assert (answer["decision"], answer["would_decision"]) == ("allow", "deny")
    assert answer["reservation"]["amount_nanos"] == "0"
    settled = pay(answer)
    assert settled["cost"]["amount_nanos"] == "7650000"
    money = money_of(envelope)
    assert (money["settled"], money["unguarded"], money["held"]) == (7_650_000, 7_650_000, 0)
    kinds = [each.kind for each in entries(use_case_id__gt=0) if each.kind in (2, 4, 13, 15)]
    assert kinds == [DENY, 13]
    assert policies.check_conservation() == []


def test_observe_books_without_any_envelope():
    make_use_case(mode="observe")
    settled = pay(ask())
    assert settled["flags"] == []
    usage = entries(kind=13)
    assert [(each.envelope_id, each.amount_nanos) for each in usage] == [(0, 7_650_000)]


def test_a_cheaper_model_holds_less():
    make_tree()
    answer = ask(model=CHEAP, input_tokens=1_320)
    assert answer["reservation"]["amount_nanos"] == "4590000"


def test_the_next_period_begins_with_the_first_call_that_needs_it():
    tree = make_tree(use_case=15_000_000)
    december = NOW.replace(month=12, day=1, hour=0, minute=0)
    pay(ask())
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"
    late = december - timedelta(microseconds=1)
    assert reason_of(ask(now=late)) == "ENVELOPE_HARD_LIMIT"
    assert ask(now=december)["decision"] == "allow"
    assert money_of(tree["use_case"], now=late)["settled"] == 7_650_000
    assert money_of(tree["use_case"], now=december)["held"] == 15_000_000
    assert policies.check_conservation() == []


def test_a_call_settled_in_the_next_period_debits_its_own():
    tree = make_tree()
    late = NOW.replace(day=30, hour=23, minute=59)
    answer = ask(now=late)
    pay(answer, now=late + timedelta(minutes=5))
    assert money_of(tree["use_case"], now=late)["settled"] == 7_650_000
    assert money_of(tree["use_case"], now=late + timedelta(minutes=5))["settled"] == 0
    assert policies.check_conservation() == []


def test_the_versions_of_a_tree_count_without_a_gap():
    make_tree(use_case=40_000_000, department=DOLLAR)
    answers = [ask() for _ in range(4)]
    for answer in answers[:2]:
        pay(answer, usage=(1_200, 800))
    versions = sorted(each.env_version for each in entries() if each.env_version)
    assert versions == list(range(1, len(versions) + 1))
