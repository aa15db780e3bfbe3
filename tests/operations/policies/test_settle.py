"""Is the real cost booked whatever comes back, once, and never lost or refused for money?"""

from datetime import timedelta

import pytest

from o10.kernel.errors import (
    IdempotencyMismatch,
    ReservationFinalized,
    ReservationUnknown,
    TokenInvalid,
)
from o10.wire.requests import CacheHit, Finish, ProviderCost, Settle, UsageCounts
from policies import facade as policies
from policies.models import Reservation

from .company import (
    CHEAP,
    DEAR,
    NOW,
    ROUTER,
    ask,
    decoded,
    entries,
    let_go,
    make_caller,
    make_tree,
    money_of,
    pay,
    prolong,
    reason_of,
)

pytestmark = pytest.mark.usefixtures("sound")
SETTLE, RELEASE, EXPIRE, OVERRUN, WRITE_OFF = 4, 5, 6, 7, 12
EXPIRED = NOW + timedelta(minutes=10, seconds=5)
WRITTEN_OFF = NOW + timedelta(minutes=10, hours=24)


@pytest.fixture
def tree(sound):
    return make_tree()


def own(tree):
    return money_of(tree["use_case"])


def effects(entry):
    return entry.amount_nanos, entry.held_nanos, entry.unsettled_nanos


def test_a_settle_below_the_hold_gives_the_rest_back(tree):
    pay(ask())
    assert [effects(each) for each in entries(kind=SETTLE)] == [(7_650_000, -15_000_000, 0)]


def test_a_settle_of_exactly_the_hold_moves_no_exposure(tree):
    pay(ask(), usage=(1_200, 800))
    entry = entries(kind=SETTLE)[0]
    assert effects(entry) == (15_000_000, -15_000_000, 0)
    assert entry.env_version == 0


def test_an_overrun_is_booked_whole_in_an_entry_of_its_own(tree):
    settled = pay(ask(), usage=(1_200, 2_000))
    assert settled["overrun"]["amount_nanos"] == "18000000"
    assert settled["cost"]["amount_nanos"] == "33000000"
    assert settled["flags"] == ["OVERRUN", "CAPS_NOT_HONOURED"]
    assert [effects(each) for each in entries(kind=OVERRUN)] == [(18_000_000, 0, 0)]
    money = own(tree)
    assert (money["settled"], money["unguarded"]) == (33_000_000, 18_000_000)
    assert policies.check_conservation() == []


def test_an_overrun_above_the_cap_is_booked_and_stops_the_next_call():
    tree = make_tree(use_case=20_000_000)
    pay(ask(), usage=(1_200, 10_000))
    assert own(tree)["available"] == 20_000_000 - 153_000_000
    assert reason_of(ask()) == "ENVELOPE_HARD_LIMIT"


def test_the_same_attempt_again_gets_the_first_answer(tree):
    answer = ask()
    assert pay(answer) == pay(answer)
    by_token = Settle(
        reservation=answer["reservation"]["token"],
        usage=UsageCounts(input_tokens=1_200, output_tokens=310),
    )
    assert decoded(policies.settle(request=by_token, caller=ROUTER, now=NOW)) == pay(answer)
    assert len(entries(kind=SETTLE)) == 1


def test_the_same_attempt_with_another_usage_is_a_conflict(tree):
    answer = ask()
    pay(answer)
    with pytest.raises(IdempotencyMismatch):
        pay(answer, usage=(1_200, 311))


def test_another_attempt_after_the_final_one_is_refused(tree):
    answer = ask()
    pay(answer)
    with pytest.raises(ReservationFinalized):
        pay(answer, attempt=2)


def test_attempts_are_lines_of_one_hold(tree):
    answer = ask()
    first = pay(answer, usage=(1_200, 100), final=False)
    assert first["cost"]["amount_nanos"] == "4500000"
    assert first["refunded"]["amount_nanos"] == "0"
    assert (own(tree)["settled"], own(tree)["held"]) == (4_500_000, 10_500_000)
    second = pay(answer, usage=(1_200, 310), attempt=2)
    assert second["refunded"]["amount_nanos"] == str(10_500_000 - 7_650_000)
    assert (own(tree)["settled"], own(tree)["held"]) == (12_150_000, 0)
    assert policies.check_conservation() == []


def test_no_usage_is_the_worst_case_and_never_zero(tree):
    settled = pay(ask(), usage=None)
    assert settled["cost"]["amount_nanos"] == "15000000"
    assert settled["flags"] == ["USAGE_ESTIMATED"]
    assert entries(kind=SETTLE)[0].flags & 0b111 == 1


def test_zero_usage_is_kept_as_zero(tree):
    settled = pay(ask(), usage=(0, 0))
    assert settled["cost"]["amount_nanos"] == "0"
    assert settled["flags"] == ["ZERO_USAGE_CONFIRMED"]
    assert own(tree)["held"] == 0


def test_a_cancelled_stream_settles_what_it_used(tree):
    settled = pay(ask(), usage=(1_200, 40), status=Finish.CANCELLED)
    assert settled["cost"]["amount_nanos"] == str(1_200 * 2_500 + 40 * 15_000)
    assert entries(kind=SETTLE)[0].flags >> 21 == 2


def test_inconsistent_counts_are_booked_and_flagged(tree):
    counts = UsageCounts(input_tokens=10, output_tokens=5, reasoning_tokens=9)
    settled = pay(ask(), counts=counts)
    assert settled["flags"] == ["USAGE_INCONSISTENT"]


def test_the_model_that_served_is_priced_and_told(tree):
    settled = pay(ask(), model=CHEAP)
    assert settled["flags"] == ["MODEL_SERVED_DIFFERS"]
    assert settled["cost"]["amount_nanos"] == str(1_200 * 750 + 310 * 4_500)


def test_p05_served_but_unpriced_books_the_reserved_amount_as_estimated(tree):
    settled = pay(ask(), model="nobody/knows")
    assert settled["cost"]["amount_nanos"] == "15000000"
    assert settled["flags"] == ["USAGE_ESTIMATED", "MODEL_SERVED_DIFFERS"]


def test_cached_input_without_a_price_is_the_worst_case(tree):
    counts = UsageCounts(input_tokens=1_200, output_tokens=310, cached_input_tokens=800)
    settled = pay(ask(), counts=counts)
    assert settled["cost"]["amount_nanos"] == "15000000"


def test_cached_input_with_a_price_is_charged_once(tree):
    counts = UsageCounts(
        input_tokens=1_200, output_tokens=790, cached_input_tokens=800, reasoning_tokens=120
    )
    settled = pay(ask(model=CHEAP, input_tokens=1_320), counts=counts)
    assert settled["cost"]["amount_nanos"] == "3915000"
    assert settled["refunded"]["amount_nanos"] == "675000"


def test_an_edge_cache_hit_costs_nothing_and_is_a_row(tree):
    settled = pay(ask(), usage=None, cache=CacheHit.EDGE)
    assert settled["cost"]["amount_nanos"] == "0"
    assert entries(kind=SETTLE)[0].flags & 1 << 6


@pytest.mark.parametrize(
    ("amount", "currency", "flags"),
    [
        ("0.00765", "USD", []),
        ("0.0076", "USD", []),
        ("0.0075", "USD", ["PROVIDER_COST_DIFFERS"]),
        ("0.00765", "EUR", ["PROVIDER_COST_DIFFERS"]),
    ],
)
def test_p17_a_providers_figure_is_evidence_and_changes_no_amount(
    tree, amount, currency, flags
):
    settled = pay(ask(), provider_cost=ProviderCost(amount=amount, currency=currency))
    assert settled["cost"]["amount_nanos"] == "7650000"
    assert settled["flags"] == flags


def test_an_unknown_reservation_and_a_forged_token_are_refused(tree):
    answer = ask()
    token = answer["reservation"]["token"]
    forged = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    for reference, error in (
        ("rsv_00000000000000000000000000", ReservationUnknown),
        ("nonsense", ReservationUnknown),
        (forged, TokenInvalid),
    ):
        with pytest.raises(error):
            pay({"reservation": {"id": reference}})
    assert own(tree)["held"] == 15_000_000


def test_a_key_of_another_use_case_does_not_find_it(tree):
    answer = ask()
    with pytest.raises(ReservationUnknown):
        pay(answer, caller=make_caller(key="key_x", use_cases=frozenset({"search"})))


def test_a_release_gives_everything_back_once(tree):
    answer = ask()
    released = let_go(answer)
    assert released["refunded"]["amount_nanos"] == "15000000"
    assert let_go(answer) == released
    assert own(tree)["held"] == 0
    with pytest.raises(ReservationFinalized):
        pay(answer)
    assert policies.check_conservation() == []


def test_a_settled_reservation_cannot_be_released(tree):
    answer = ask()
    pay(answer)
    with pytest.raises(ReservationFinalized):
        let_go(answer)


def test_a_hold_expires_five_seconds_after_its_time_into_unsettled(tree):
    ask()
    early = EXPIRED - timedelta(microseconds=1)
    assert policies.expire_due(now=early) == 0
    assert policies.expire_due(now=EXPIRED) == 1
    assert policies.expire_due(now=EXPIRED) == 0
    money = own(tree)
    assert (money["held"], money["unsettled"]) == (0, 15_000_000)
    assert money["available"] == 10**9 - 15_000_000
    assert [effects(each) for each in entries(kind=EXPIRE)] == [(0, -15_000_000, 15_000_000)]
    assert policies.check_conservation() == []


def test_a_settle_in_the_five_seconds_is_not_late(tree):
    answer = ask()
    assert pay(answer, now=EXPIRED - timedelta(seconds=1))["late"] is False


def test_a_late_settle_is_booked_against_the_unsettled_money(tree):
    answer = ask()
    policies.expire_due(now=EXPIRED)
    settled = pay(answer, now=EXPIRED + timedelta(hours=1))
    assert settled["late"] is True
    assert settled["flags"] == ["LATE_SETTLE"]
    money = own(tree)
    assert (money["settled"], money["unsettled"], money["unguarded"]) == (7_650_000, 0, 0)
    assert policies.check_conservation() == []


def test_a_late_overrun_is_unguarded_in_what_exceeds_the_hold(tree):
    answer = ask()
    policies.expire_due(now=EXPIRED)
    settled = pay(answer, usage=(1_200, 2_000), now=EXPIRED)
    assert settled["flags"] == ["LATE_SETTLE", "OVERRUN", "CAPS_NOT_HONOURED"]
    assert own(tree)["unguarded"] == 18_000_000
    assert policies.check_conservation() == []


def test_after_a_day_the_money_is_given_up_and_a_later_proof_is_still_booked(tree):
    answer = ask()
    policies.expire_due(now=EXPIRED)
    assert policies.write_off_due(now=WRITTEN_OFF - timedelta(microseconds=1)) == 0
    assert policies.write_off_due(now=WRITTEN_OFF) == 1
    assert own(tree)["unsettled"] == 0
    settled = pay(answer, now=WRITTEN_OFF + timedelta(days=40))
    assert settled["late"] is True
    money = own(tree)
    assert (money["settled"], money["unguarded"]) == (7_650_000, 7_650_000)
    assert policies.check_conservation() == []


def test_a_release_after_expiry_frees_the_unsettled_money(tree):
    answer = ask()
    policies.expire_due(now=EXPIRED)
    assert let_go(answer, now=EXPIRED)["refunded"]["amount_nanos"] == "15000000"
    assert own(tree)["unsettled"] == 0
    assert [effects(each) for each in entries(kind=WRITE_OFF)] == [(0, 0, -15_000_000)]
    assert policies.check_conservation() == []


def test_an_extend_lengthens_the_hold_and_never_shortens_it(tree):
    answer = ask()
    longer = prolong(answer, ttl_s=3_600)
    assert longer["decision"] == "allow"
    assert longer["reservation"]["expires_at"] == "2026-11-20T10:30:00Z"
    assert prolong(answer, ttl_s=1)["reservation"]["expires_at"] == "2026-11-20T10:30:00Z"
    assert policies.expire_due(now=EXPIRED) == 0
    assert own(tree)["held"] == 15_000_000


def test_an_extend_for_more_is_decided_like_a_new_call(tree):
    answer = ask()
    more = prolong(answer, max_output_tokens=2_000, request_id="x")
    assert more["caps"] == {"max_output_tokens": 2_000}
    assert more["reservation"]["amount_nanos"] == "33000000"
    assert own(tree)["held"] == 33_000_000
    assert prolong(answer, max_output_tokens=2_000, request_id="x") == more
    pay(answer, usage=(1_200, 2_000))
    assert own(tree)["unguarded"] == 0
    assert policies.check_conservation() == []


def test_an_extend_that_does_not_fit_leaves_the_hold_as_it_was():
    tree = make_tree(use_case=20_000_000)
    answer = ask()
    refused = prolong(answer, max_output_tokens=2_000)
    assert refused["decision"] == "deny"
    assert reason_of(refused) == "ENVELOPE_HARD_LIMIT"
    assert refused["reservation"]["amount_nanos"] == "15000000"
    assert own(tree)["held"] == 15_000_000
    assert len(entries(kind=15)) == 1
    assert policies.check_conservation() == []


def test_a_fallback_to_a_dearer_offer_takes_only_the_difference(tree):
    answer = ask(model=CHEAP)
    moved = prolong(answer, model=DEAR, attempt=2)
    assert moved["route"]["model"] == DEAR
    worst = 1_200 * 30_000 + 800 * 180_000
    assert own(tree)["held"] == worst
    settled = pay(answer, usage=(1_200, 800), attempt=2)
    assert settled["cost"]["amount_nanos"] == str(worst)
    assert policies.check_conservation() == []


def test_a_fallback_to_a_cheaper_offer_keeps_the_larger_hold(tree):
    answer = ask()
    moved = prolong(answer, model=CHEAP, attempt=2)
    assert moved["reservation"]["amount_nanos"] == "15000000"
    pay(answer, attempt=2)
    assert own(tree)["settled"] == 1_200 * 750 + 310 * 4_500


def test_an_ended_hold_cannot_be_extended(tree):
    answer = ask()
    let_go(answer)
    with pytest.raises(ReservationFinalized):
        prolong(answer, ttl_s=60)


def test_every_move_of_a_call_is_in_the_period_of_its_authorize(tree):
    answer = ask()
    policies.expire_due(now=EXPIRED)
    pay(answer, now=NOW + timedelta(days=40))
    reservation = Reservation.objects.get()
    moves = entries(reservation=reservation.id)
    assert {each.effective_at for each in moves} == {NOW}
    assert reservation.state == "settled"
