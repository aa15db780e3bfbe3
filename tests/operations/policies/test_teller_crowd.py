"""Have many users below one envelope money before they call, and never more than is there?"""

import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from o10.lease import journal as journals
from o10.lease import records
from o10.lease.journal import RecordMissing
from o10.lease.places import Places
from policies import facade as policies
from policies.core.slices import fair_share, small_slice
from policies.models import Lease
from policies.operations.grant_lease import renew_leases
from policies.operations.teller import loans, stock
from policies.operations.teller.teller import Call, Teller
from policies.operations.teller.usual import answer_usual

from .company import CHEAP, DOLLAR, FINANCE, MODEL, NOW, ROUTER, make_tree, money_of
from .test_teller import (
    Clock,
    at_counter,
    check_books,
    in_full,
    learn,
    make_teller,
    request_of,
    settle_at,
    written,
)

pytestmark = pytest.mark.usefixtures("sound")

WORST = 15_000_000
CHEAP_WORST = 4_500_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_users(many: int, *, cap: int, use_case: int, name: str = "u") -> dict[str, Any]:
    tree = make_tree(
        company=1_000 * DOLLAR,
        department=900 * DOLLAR,
        use_case=use_case,
        allow_overallocation=True,
    )
    add_users(tree, many, cap=cap, name=name)
    return tree


def add_users(tree: dict[str, Any], many: int, *, cap: int, name: str) -> None:
    drafts = [
        policies.EnvelopeDraft(
            scope_kind="customer",
            scope_slug=f"{name}{number}",
            parent=tree["use_case"].id,
            amount_nanos=cap,
            soft_thresholds_ppm=(),
            allow_overallocation=True,
        )
        for number in range(many)
    ]
    policies.create_envelopes(drafts=drafts, actor=FINANCE, now=NOW)


def call(teller: Teller, user: str, **fields: Any) -> dict[str, Any]:
    return at_counter(teller, customer=user, **fields)


def warm(teller: Teller, names: list[str]) -> None:
    """Some users call, each of whom has to borrow."""
    for name in names:
        assert call(teller, name)["decision"] == "allow"


def stock_all(teller: Teller) -> None:
    before = -1
    while len(teller.books) != before:
        before = len(teller.books)
        stock.stock_up(teller, now=NOW)


def lent_by_user() -> dict[int, int]:
    """How much of each leaf is lent, to all workers?"""
    found: dict[int, int] = {}
    for path, granted, returned in Lease.objects.values_list(
        "path_ids", "granted_nanos", "returned_nanos"
    ):
        found[path[-1]] = found.get(path[-1], 0) + granted - returned
    return found


def test_after_some_have_borrowed_all_have_money_and_a_first_call_asks_nobody(tmp_path, clock):
    tree = make_users(40, cap=DOLLAR, use_case=500 * DOLLAR)
    teller = make_teller(tmp_path, clock)
    warm(teller, [f"u{number}" for number in range(stock.BUSY - 1)])
    stock_all(teller)
    assert len(teller.books) == stock.BUSY - 1
    warm(teller, ["u39"])
    stock_all(teller)
    assert len(teller.books) == 40
    transactions = Lease.objects.values("granted_at").count()
    assert transactions == 40
    with CaptureQueriesContext(connection) as asked:
        answer = call(teller, "u20")
    assert answer["decision"] == "allow"
    assert len(asked) == 0
    assert len(teller.books) == 40
    # Half of each user's money is left for other workers.
    assert {sum_ for sum_ in lent_by_user().values()} <= {DOLLAR, DOLLAR // 2}
    assert money_of(tree["use_case"])["held"] == sum(lent_by_user().values())
    check_books(teller)
    teller.journal.close()


def test_two_workers_lay_up_the_same_share_and_leave_nobody_without(tmp_path, clock):
    make_users(20, cap=DOLLAR, use_case=500 * DOLLAR)
    tellers = [make_teller(tmp_path, clock) for _ in range(2)]
    names = [f"u{number}" for number in range(20)]
    for at, teller in enumerate(tellers):
        warm(teller, names[at * stock.BUSY :][: stock.BUSY])
        stock_all(teller)
    quiet = [till for till in tellers[1].by_place.values() if till.calls == 0 and till.book]
    # Those who called first at a worker that was alone have all of it there.
    assert len(quiet) == 20 - 2 * stock.BUSY
    assert {till.book.granted for till in quiet} == {DOLLAR // 2}
    assert max(lent_by_user().values()) <= DOLLAR
    for teller in tellers:
        check_books(teller)
        teller.journal.close()


def test_no_more_is_laid_up_than_a_quarter_of_what_the_parent_has_left(tmp_path, clock):
    # Forty users of a dollar each below a parent of twenty: a share is an eighth of a dollar.
    make_users(40, cap=DOLLAR, use_case=20 * DOLLAR)
    teller = make_teller(tmp_path, clock)
    warm(teller, [f"u{number}" for number in range(stock.BUSY)])
    before = sum(lent_by_user().values())
    # Who calls before anybody laid up takes no more than that, or eight calls.
    assert before <= stock.BUSY * max(DOLLAR // 8, 8 * WORST)
    left = 20 * DOLLAR - before
    stock_all(teller)
    laid_up = sum(lent_by_user().values()) - before
    assert 0 < laid_up <= left // 4
    # Fewer than four calls for each: nobody gets anything ahead.
    poor = make_teller(tmp_path, clock)
    poor.crowd_of(next(iter(teller.by_place.values())))
    assert (
        stock._size(next(iter(teller.crowds.values())), parent_left=40 * 4 * 3 * WORST, lent=0)(
            DOLLAR, 1
        )
        == 0
    )
    teller.journal.close()
    poor.journal.close()


def test_the_answer_of_a_user_who_took_anothers_words_is_the_one_written_in_full(
    tmp_path, clock
):
    names = ["u0", "s", "%s", "a", "id"]
    tree = make_users(1, cap=DOLLAR, use_case=500 * DOLLAR)
    for name in names[1:]:
        add_users(tree, 1, cap=2 * DOLLAR, name={"%s": "x-percent", "s": "s"}.get(name, name))
    users = ["u0", "s0", "x-percent0", "a0", "id0"]
    teller = make_teller(tmp_path, clock)
    for user in users:
        for model in (MODEL, CHEAP):
            call(teller, user, model=model)
    patterns = next(iter(teller.crowds.values())).patterns
    assert len(patterns) == 2
    usual = 0
    for number in range(60):
        chance = random.Random(number)
        request = request_of(
            customer=users[number % 5],
            model=chance.choice([MODEL, CHEAP]),
            input_tokens=chance.randrange(2_000),
        )
        now = NOW + timedelta(seconds=number)
        asked = Call(request, msgspec.json.encode(request), ROUTER, now, teller.monotonic())
        answered = answer_usual(teller, asked, teller.known)
        if answered is None:
            call(teller, users[number % 5], model=request.model)
            continue
        usual += 1
        till = teller.tills[teller.place_key(request)]
        assert answered.body == in_full(teller, request, answered.offset, now, till=till)
    assert usual > 40
    teller.journal.close()


def test_whoever_is_short_recalls_what_is_his_and_leaves_the_others_alone(tmp_path, clock):
    make_users(12, cap=DOLLAR, use_case=500 * DOLLAR)
    holder, other = (make_teller(tmp_path, clock) for _ in range(2))
    warm(holder, [f"u{number}" for number in range(stock.BUSY)])
    stock_all(holder)
    leaf = other.known.policy.snapshot
    user = next(rule.id for rule in leaf.envelopes.values() if rule.slug == "u5")
    root = next(iter(holder.by_place.values())).cells.root
    news = {"k": "short", "root": root, "envelope": user}
    policies.Rounds().tend(holder, told=[news], now=NOW)
    given = written(holder, records.GivenBack)
    assert len(given) == 1
    till = holder.below[user][0]
    assert given[0].lease == till.book.lease.bytes
    assert till.book.free == 0
    above = holder.by_place[till.cells.envelopes, till.cells.periods].cells.envelopes[-2]
    policies.Rounds().tend(
        holder, told=[{"k": "short", "root": root, "envelope": above}], now=NOW
    )
    assert all(not book.free for _, book in holder.books.values())
    for teller in (holder, other):
        check_books(teller)
        teller.journal.close()


@pytest.mark.parametrize("seed", range(3))
def test_no_cap_is_passed_at_any_level_whatever_is_called_settled_and_laid_up(
    tmp_path, clock, seed
):
    """Against a count of our own: each user, their parent, and what is lent."""
    chance = random.Random(seed)
    cap, parent, many = chance.choice([4, 20, 67]) * WORST, 90 * WORST, 15
    make_users(many, cap=cap, use_case=parent)
    tellers = [make_teller(tmp_path, clock) for _ in range(2)]
    held: dict[str, int] = {}
    spent: dict[str, int] = {}
    for number in range(160):
        teller = chance.choice(tellers)
        user = f"u{min(chance.randrange(many), chance.randrange(many))}"
        model = CHEAP if chance.random() < 0.3 else MODEL
        now = NOW + timedelta(seconds=number)
        answer = call(teller, user, model=model, now=now)
        worst = CHEAP_WORST if model == CHEAP else WORST
        mine = held.get(user, 0) + spent.get(user, 0)
        total = sum(held.values()) + sum(spent.values())
        if answer["decision"] == "allow":
            assert mine + worst <= cap
            assert total + worst <= parent
            held[user] = held.get(user, 0) + worst
            if chance.random() < 0.4:
                settled = settle_at(teller, answer["reservation"]["token"], now=now)
                held[user] -= worst
                spent[user] = spent.get(user, 0) + int(settled["cost"]["amount_nanos"])
        else:
            assert answer["reasons"][0]["code"] in {
                "ENVELOPE_HARD_LIMIT",
                "PARENT_ENVELOPE_EXHAUSTED",
            }
        if chance.random() < 0.3:
            stock.stock_up(teller, now=NOW)
        clock.at += 0.1
        for each in tellers:
            check_books(each)
        lent = lent_by_user()
        assert max(lent.values()) <= cap
        assert sum(lent.values()) <= parent
    assert sum(each.known is not None for each in tellers) == 2
    for each in tellers:
        each.journal.close()


def test_a_change_during_the_batch_costs_nothing_but_the_batch(tmp_path, clock):
    tree = make_users(20, cap=DOLLAR, use_case=500 * DOLLAR)
    teller = make_teller(tmp_path, clock)
    warm(teller, [f"u{number}" for number in range(stock.BUSY)])
    policies.change_envelope(
        envelope=tree["use_case"].id,
        change=policies.EnvelopeChange(amount_nanos=400 * DOLLAR, reason="less"),
        actor=FINANCE,
        now=NOW,
    )
    stock_all(teller)
    assert len(teller.books) == stock.BUSY
    assert teller.known.stale.is_set()
    learn(teller)
    # They lost their turn; who calls borrows.
    assert call(teller, "u19")["decision"] == "allow"
    assert all(not till.refill.locked() for till in teller.by_place.values())
    check_books(teller)
    teller.journal.close()


def test_leases_of_single_users_live_ten_minutes_and_are_renewed_for_ten(tmp_path, clock):
    make_users(3, cap=DOLLAR, use_case=500 * DOLLAR)
    teller = make_teller(tmp_path, clock)
    warm(teller, ["u0", "u1"])
    small = sorted(teller.books)
    later = NOW + timedelta(seconds=400)
    until = renew_leases(
        fence=teller.fence, ttl_s=30, now=later, small=small[:1], small_ttl_s=600
    )
    assert until[small[0]] == later + timedelta(seconds=600)
    first = {each: lease.expires_at for each, lease in Lease.objects.in_bulk(small).items()}
    assert until[small[1]] == first[small[1]] == NOW + timedelta(seconds=loans.SMALL_TTL_S)
    clock.at += 400
    policies.Rounds().tend(teller, told=(), now=later)
    ends = set(Lease.objects.filter(id__in=small).values_list("expires_at", flat=True))
    assert ends == {later + timedelta(seconds=600)}
    teller.journal.close()


def test_shares_are_those_of_the_worked_examples():
    assert (
        small_slice(remaining=DOLLAR, active_workers=2, w99=WORST, worst=WORST) == DOLLAR // 2
    )
    half = DOLLAR // 2
    assert (
        small_slice(remaining=half, active_workers=2, w99=WORST, worst=WORST, lent=half) == half
    )
    assert (
        small_slice(remaining=7 * WORST, active_workers=2, w99=WORST, worst=WORST, lent=half)
        == WORST
    )
    assert fair_share(1_000 * DOLLAR, users=10_000, active_workers=2) == 12_500_000


def test_a_journal_is_opened_once_and_closed_when_nobody_asks(tmp_path):
    path = tmp_path / "journal"
    journal = journals.Journal.create(path)
    journal.append(records.encode(records.Ended(at_us=7)))
    places = Places(lambda fence: path if fence == 1 else tmp_path / "none")
    assert places.read(1, 0) == records.Ended(at_us=7)
    assert places.is_held(1)
    with pytest.raises(RecordMissing):
        places.read(2, 0)
    with pytest.raises(RecordMissing):
        places.read(1, 3)
    path.unlink()
    places.close_idle()
    assert places.read(1, 0) == records.Ended(at_us=7)
    for _ in range(3):
        places.close_idle()
    with pytest.raises(RecordMissing):
        places.read(1, 0)
    journal.close()
    path.touch()
    assert not places.is_held(1)
    places.close()
