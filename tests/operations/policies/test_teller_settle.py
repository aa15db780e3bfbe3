"""Is a settle that takes the short way billed and answered like one that takes the long?"""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from o10.kernel.errors import IdempotencyMismatch, ReservationUnknown
from o10.lease import journal as journals
from o10.lease import records
from o10.wire.decisions import encode
from o10.wire.reasons import SettleFlag
from o10.wire.requests import CacheHit, ProviderCost, Settle, UsageCounts
from policies.operations.answers import settled_answer
from policies.operations.booked_call import hold_of, settle_uid
from policies.operations.price_attempt import price_attempt
from policies.operations.settle import attempt_hash
from policies.operations.teller import bills, ending
from policies.operations.teller.teller import Teller

from .company import CHEAP, DEAR, DOLLAR, MODEL, NOW, ROUTER, make_caller, make_tree
from .test_teller import Clock, at_counter, check_books, make_teller, row_of, settle_at, written

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teller(tmp_path: Path, clock: Clock) -> Iterator[Teller]:
    make_tree(company=1_000 * DOLLAR, department=500 * DOLLAR, use_case=200 * DOLLAR)
    found = make_teller(tmp_path, clock)
    yield found
    found.journal.close()


def some_usage(chance: random.Random) -> UsageCounts | None:
    if not chance.randrange(12):
        return None
    total, output = chance.choice([0, 1, 1_200, chance.randrange(9_000)]), chance.randrange(900)
    return UsageCounts(
        input_tokens=total,
        output_tokens=chance.choice([0, output, 800, 801]),
        cached_input_tokens=chance.choice([0, 0, 0, min(7, total), total, total + 1]),
        reasoning_tokens=chance.choice([0, 0, 0, 3]),
        cache_write_tokens=chance.choice([0] * 9 + [4]),
        audio_input_tokens=chance.choice([0] * 9 + [2]),
        requests=chance.choice([1] * 9 + [0, 2]),
    )


def some_settle(chance: random.Random, token: str) -> Settle:
    if chance.randrange(2):
        total, output = chance.randrange(9_000), chance.randrange(802)
        cached = chance.choice([0, chance.randrange(total + 1)])
        usage = UsageCounts(
            input_tokens=total, output_tokens=output, cached_input_tokens=cached
        )
        return Settle(reservation=token, usage=usage, latency_ms=chance.choice([None, 250]))
    return Settle(
        reservation=token,
        usage=some_usage(chance),
        model=chance.choice([None, None, MODEL, f"openai/{MODEL}", CHEAP, "nobody"]),
        venue=chance.choice([None] * 5 + ["openai", "elsewhere"]),
        service_tier=chance.choice([None] * 9 + ["default", "batch"]),
        cache=chance.choice([None] * 9 + [CacheHit.EDGE]),
        provider_cost=chance.choice(
            [None] * 5 + [ProviderCost(amount="0.0077", currency="USD")]
        ),
        latency_ms=chance.choice([None, 250]),
        attempt=chance.choice([1, 1, 2]),
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_short_way_bills_what_the_long_way_bills_and_answers_its_bytes(teller, seed):
    chance = random.Random(seed)
    short = 0
    for number in range(150):
        now = NOW + timedelta(seconds=number)
        model = chance.choice([MODEL, CHEAP, DEAR])
        token = at_counter(teller, now=now, model=model)["reservation"]["token"]
        leased = ending._leased(teller, token, ROUTER, now)
        request = some_settle(chance, token)
        cost = teller.bills.cost_of(
            grounds=leased.grounds,
            granted=leased.record.max_output_tokens,
            request=request,
            at=now,
            currency="USD",
        )
        bill = price_attempt(hold=leased.hold, request=request, currency="USD")
        if cost is not None:
            short += 1
            assert (cost, frozenset()) == (bill.cost, bill.flags)
        cost = leased.hold.at_most if bill.cost is None else bill.cost
        answer = ending.settle(teller, request=request, caller=ROUTER, now=now)
        overrun = msgspec.json.decode(answer)["overrun"]["amount_nanos"]
        flags = bill.flags | ({SettleFlag.OVERRUN} if overrun != "0" else set())
        assert answer == encode(
            settled_answer(
                uid=settle_uid(leased.reservation, request.attempt),
                currency="USD",
                cost=cost,
                refunded=max(0, leased.record.amount - cost),
                overrun=int(overrun),
                late=0,
                flags=flags,
            )
        )
    assert short > 30
    check_books(teller)


def test_rates_are_asked_for_once_and_again_for_calls_before_them(teller, monkeypatch):
    asked: list[Any] = []
    real = bills.find_rated

    def counted(**given: Any) -> Any:
        asked.append(given["at"])
        return real(**given)

    monkeypatch.setattr(bills, "find_rated", counted)
    for second in [*range(5, 25), 0, 30]:
        now = NOW + timedelta(seconds=second)
        settle_at(teller, at_counter(teller, now=now)["reservation"]["token"], now=now)
    assert asked == [NOW + timedelta(seconds=5), NOW]


def test_the_hash_of_the_books_is_the_one_a_repeat_is_compared_by(teller):
    token = at_counter(teller)["reservation"]["token"]
    first = settle_at(teller, token)
    settled = written(teller, records.Settled)[0]
    assert settled.request_hash == b""
    sequence = settled.sequence
    reserved = journals.read_at(teller.journal_of(teller.fence), sequence)
    grounds = journals.read_at(teller.journal_of(teller.fence), reserved.grounds)
    hold = hold_of(reserved=reserved, grounds=grounds, sequence=sequence)
    usage = UsageCounts(input_tokens=1_200, output_tokens=310)
    asked = Settle(reservation=token, usage=usage)
    again = msgspec.json.decode(settled.request, type=Settle)
    assert attempt_hash(again, hold) == attempt_hash(asked, hold)
    assert settle_at(teller, token) == first
    with pytest.raises(IdempotencyMismatch):
        settle_at(teller, token, output=311)


def test_a_neighbour_settles_by_the_bare_id_in_the_lease_once_it_is_booked(tmp_path, clock):
    make_tree()
    holder, neighbour = (make_teller(tmp_path, clock) for _ in range(2))
    reservation = at_counter(holder)["reservation"]
    lease, sequence = holder.named_in(reservation["id"])
    row_of(holder, lease, sequence, state="open", inside=lease, settled=0)
    stranger = make_caller(key="key_other", use_cases=frozenset({"sales"}))
    with pytest.raises(ReservationUnknown):
        ending.settle(
            neighbour,
            request=Settle(reservation=reservation["id"]),
            caller=stranger,
            now=NOW,
        )
    answer = settle_at(neighbour, reservation["id"])
    assert answer["refunded"]["amount_nanos"] == str(15_000_000 - 7_650_000)
    settled = written(neighbour, records.Settled)
    assert [(each.journal, each.sequence) for each in settled] == [(holder.fence, sequence)]
    assert settle_at(holder, reservation["token"]) == answer
    assert settle_at(neighbour, reservation["id"]) == answer
    for each in (holder, neighbour):
        each.journal.close()


def test_what_calls_free_in_a_replaced_lease_goes_back_together(teller, clock):
    answers = []
    while len(teller.books) < 3:
        answers.append(at_counter(teller, now=NOW + timedelta(milliseconds=len(answers))))
        clock.at += 0.01
    current = next(iter(teller.by_place.values())).book.lease
    old = [each for each in answers if lease_of(teller, each) != current][:12]
    before = len(written(teller, records.GivenBack))
    for each in old:
        settle_at(teller, each["reservation"]["token"])
    exact = {book.lease for _, book in teller.books.values() if book.granted == 15_000_000}
    at_once = sum(lease_of(teller, each) in exact for each in old)
    assert len(written(teller, records.GivenBack)) == before + at_once
    teller.settle_debts(now=NOW)
    given = written(teller, records.GivenBack)[before:]
    assert len({each.lease for each in given}) == len(given) < len(old)
    assert sum(each.amount for each in given) == len(old) * (15_000_000 - 7_650_000)
    assert not teller.owed
    check_books(teller)


def lease_of(teller: Teller, answer: dict[str, Any]) -> UUID:
    leased = ending._leased(teller, answer["reservation"]["token"], ROUTER, NOW)
    return leased.lease
