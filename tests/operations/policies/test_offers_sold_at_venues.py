"""Does a call that names no venue go to the cheapest that sells its model, and settle there?"""

import json
import random
from datetime import timedelta
from typing import Any

import pytest

from ledger import facade as ledger
from policies.core import estimate
from policies.queries.prices import Priced, PriceView, find_price, newest_book, price_view

from .company import NOW, ask, entries, make_tree, make_use_case, pay, reason_of

pytestmark = pytest.mark.usefixtures("sound")
LLAMA = "llama-9"
CARDS = {
    # Cheap input at one, cheap output at the other; the third is dearer than both.
    "groq/llama-9": {"input_cost_per_token": 1e-06, "output_cost_per_token": 9e-06},
    "cerebras/llama-9": {
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 4e-06,
        "cache_read_input_token_cost": 1e-06,
    },
    "deepinfra/llama-9": {"input_cost_per_token": 4e-06, "output_cost_per_token": 9e-06},
}


@pytest.fixture(autouse=True)
def sold(tmp_path: Any, sound: None) -> None:
    table = {
        name: {"litellm_provider": name.partition("/")[0], "mode": "chat", **card}
        for name, card in CARDS.items()
    }
    path = tmp_path / "venues.json"
    path.write_text(json.dumps(table))
    catalogue = ledger.read_catalogue(source=str(path))
    ledger.load_catalogue(catalogue=catalogue, actor="system", now=NOW - timedelta(days=1))


def route(**fields: Any) -> tuple[str, str]:
    answer = ask(model=LLAMA, **fields)
    return answer["route"]["offer"], reason_of(answer)


def test_the_cheapest_worst_case_for_the_tokens_at_hand_is_the_route():
    make_tree()
    assert route(input_tokens=1_000, max_output_tokens=100) == (
        "groq/llama-9",
        "OK_WITHIN_ENVELOPE",
    )
    assert route(input_tokens=100, max_output_tokens=1_000)[0] == "cerebras/llama-9"
    # Two answers cost twice the output.
    assert route(input_tokens=1_000, max_output_tokens=300)[0] == "groq/llama-9"
    assert route(input_tokens=1_000, max_output_tokens=300, n=2)[0] == "cerebras/llama-9"
    # Without a bound the granted one counts: 1,024 tokens.
    assert route(input_tokens=1_000, max_output_tokens=None)[0] == "cerebras/llama-9"


def test_a_venue_that_does_not_price_what_the_call_uses_is_passed_over():
    make_tree()
    cached = {"input_tokens": 1_000, "max_output_tokens": 100, "cached_input_tokens": 10}
    assert route(**cached)[0] == "cerebras/llama-9"


def test_a_venue_that_is_named_stays_and_an_unknown_one_has_no_price():
    make_tree()
    assert route(venue="deepinfra")[0] == "deepinfra/llama-9"
    assert ask(model="deepinfra/llama-9")["route"]["offer"] == "deepinfra/llama-9"
    for asked in ({"venue": "openai"}, {"model": "llama-10"}):
        answer = ask(**{"model": LLAMA, **asked})
        assert (answer["decision"], reason_of(answer)) == ("deny", "PRICE_UNKNOWN")


def test_the_same_question_gets_the_same_route():
    make_tree()
    # 10 in at 1 + 10 out at 9 = 10 in at 3 + 10 out at 7 would tie; here the price of 0 tokens.
    routes = {route(input_tokens=0, max_output_tokens=0) for _ in range(5)}
    assert routes == {("groq/llama-9", "OK_WITHIN_ENVELOPE")}


def test_the_call_is_held_and_settled_at_the_prices_of_its_route():
    make_tree()
    answer = ask(model=LLAMA, input_tokens=100, max_output_tokens=1_000)
    assert answer["route"]["venue"] == "cerebras"
    assert int(answer["reservation"]["amount_nanos"]) == 100 * 3_000 + 1_000 * 4_000
    # Usage that would have been cheaper elsewhere is paid where it was used.
    paid = pay(answer, usage=(100, 10), model=LLAMA)
    assert int(paid["cost"]["amount_nanos"]) == 100 * 3_000 + 10 * 4_000
    assert paid["flags"] == []


def test_a_use_case_that_writes_caches_is_held_at_the_write_price():
    make_use_case(slug="agents", may_write_cache=True)
    rule_price = find_price(
        venue=None,
        model=LLAMA,
        region=None,
        tier=None,
        at=NOW,
        max_input_tokens=1_000,
        max_output_tokens=100,
        may_write_cache=True,
        currency="USD",
    )
    assert rule_price is not None
    assert rule_price.price.offer == "groq/llama-9"


def test_a_price_is_one_object_as_long_as_it_holds_and_needs_no_database(
    django_assert_num_queries,
):
    view = price_view(currency="USD")
    with django_assert_num_queries(0):
        first = priced(view, LLAMA)
        assert first is priced(view, LLAMA)
        assert first is not None
        assert first.reach.rivals == 2
        alone = priced(view, "gpt-x")
        assert alone is priced(view, "gpt-x")
        assert alone is not None
        assert (alone.reach.above, alone.reach.most, alone.reach.rivals) == (-1, None, 0)
        assert price_view(currency="USD", book=view.book) is view


def test_prices_turn_stale_in_memory_to_the_microsecond():
    view = price_view(currency="USD")
    last = ledger.stale_after(view.book)
    assert last is not None
    for at, stale in ((last, False), (last + timedelta(microseconds=1), True), (NOW, False)):
        found = priced(view, "gpt-x", at=at)
        assert found is not None
        assert found.price.stale is stale
        assert ledger.prices_stale(at=at, book=view.book) is stale


def test_names_that_callers_make_up_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("policies.queries.prices.NAMES_KEPT", 10)
    view = PriceView(book=newest_book(), currency="USD")
    for number in range(50):
        assert priced(view, f"made-up-{number}") is None
    assert priced(view, "gpt-x") is not None
    assert len(view._spells) <= 10


def priced(view: PriceView, model: str, **fields: Any) -> Priced | None:
    wanted = {
        "venue": None,
        "region": None,
        "input_bound": 1_000,
        "max_output": 100,
        "n": 1,
        "at": NOW,
    }
    return view.priced(model=model, **{**wanted, **fields})


def test_of_a_whole_catalogue_memory_gives_the_price_that_the_book_gives():
    """Thousands of calls on the installed catalogue, each compared with all its offers."""
    ledger.load_catalogue(
        catalogue=ledger.read_catalogue(source=ledger.GENAI_PRICES), actor="system", now=NOW
    )
    book = newest_book()
    view = PriceView(book=book, currency="USD")
    chance = random.Random(11)
    places = sorted(book.names.places)
    several = wrong = 0
    for _ in range(4_000):
        venue, region, model = chance.choice(places)
        named = {
            "model": model,
            "venue": chance.choice((None, None, None, venue)),
            "region": chance.choice((None, None, None, region)),
            "tier": chance.choice((None, None, None, "batch")),
        }
        call = {
            "input_bound": round(chance.lognormvariate(8, 2.5)),
            "max_output": round(chance.lognormvariate(6, 1.5)),
            "n": chance.choice((1, 1, 2)),
            "cached_input": chance.choice((0, 0, 5)),
            "may_write_cache": chance.random() < 0.3,
            "at": NOW + timedelta(hours=chance.randrange(-2, 48)),
        }
        expected = dearest_first(book, named, call)
        several += expected[1] > 1
        found = view.priced(**named, **call)
        wrong += (found.price.offer if found else None) != expected[0]
    assert wrong == 0
    assert several > 300


def dearest_first(
    book: ledger.PriceState, named: dict[str, Any], call: dict[str, Any]
) -> tuple[str | None, int]:
    """The offer of least worst case, by asking the book for each; and how many there were."""
    found = {}
    for key in ledger.offers_meant(**named, book=book):
        rated = ledger.ceiling_for(
            model=key.slug, at=call["at"], max_input_tokens=call["input_bound"], book=book
        )
        if rated is not None:
            found[rated.slug] = rated
    if not found:
        return None, 0
    windows = {
        slug: ledger.context_window_of(rated.key, book=book) for slug, rated in found.items()
    }
    taking = {
        slug for slug, most in windows.items() if most is None or call["input_bound"] <= most
    }
    if taking:
        whole = {
            slug
            for slug in taking
            if not estimate.unpriced(
                rates=found[slug].rates,
                cached_input_tokens=call["cached_input"],
                max_output_tokens=call["max_output"],
            )
        }
        taking = whole or taking
    else:
        most = max(windows.values())
        taking = {slug for slug, each in windows.items() if each == most}

    def rank(slug: str) -> tuple[Any, ...]:
        top = estimate.ceiling(rates=found[slug].rates, may_write_cache=call["may_write_cache"])
        worst = estimate.worst_case(
            ceiling=top,
            input_bound=call["input_bound"],
            max_output_tokens=call["max_output"],
            n=call["n"],
        )
        cached = found[slug].rates.price_of("cache_read")
        return (
            worst.nanos,
            top.fixed_nanos,
            top.input_price,
            top.output_price,
            1 << 62 if cached is None else cached,
            slug,
        )

    return min(taking, key=rank), len(found)


def test_a_decision_says_in_its_record_where_the_call_goes():
    make_tree()
    ask(model=LLAMA, input_tokens=100, max_output_tokens=1_000)
    from policies.models import DecisionLog

    record = DecisionLog.objects.latest("decided_at").record
    assert record["route"]["offer"] == "cerebras/llama-9"
    assert record["request"]["model"] == LLAMA
    assert "venue" not in record["request"]
    assert entries(kind=ledger.Kind.RESERVE)
