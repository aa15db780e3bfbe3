"""Do contracts, overrides, their end and coverage do what is promised?"""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from django.db import transaction

from ledger import facade
from ledger.models.price import PriceRule, PriceVersion
from ledger.operations.intern import forget_numbers
from ledger.operations.write_price_version import ZeroWithoutPolicy
from ledger.queries.price_integrity import find_altered_prices
from o10.kernel.errors import IdempotencyMismatch, NotFound, UnitMismatch, ValidationFailed
from o10.kernel.rates import UnknownPrice
from o10.kernel.usage import TokenClass, Usage

KEY = facade.OfferKey("openai", "gpt-x")
TABLE = {
    "gpt-x": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1.5e-05,
    }
}


def load(now: datetime, tmp_path, table: dict = TABLE) -> facade.Loaded:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(table))
    facade.create_ledger(
        origin="ledger.example.com/main", currency="USD", time_zone="UTC", now=now
    )
    catalogue = facade.read_catalogue(source=str(path))
    return facade.load_catalogue(catalogue=catalogue, actor="system", now=now)


@pytest.fixture
def listed(db, now, tmp_path) -> facade.Loaded:
    return load(now, tmp_path)


def make_price(now: datetime, **changes) -> facade.OwnPrice:
    terms = {
        "offer": KEY,
        "source": facade.PriceSource.CONTRACT,
        "meters": {"input": [facade.Bracket(0, 2_000_000_000)]},
        "valid_from": now,
        "evidence": "Order form 2026-114, section 3",
    }
    return facade.OwnPrice(**(terms | changes))


def rated_at(at: datetime) -> facade.RatedOffer:
    return facade.rates_for(model="gpt-x", at=at, total_input_tokens=100)


def test_a_contract_prices_its_meters_within_its_validity(listed, now):
    end = now + timedelta(days=365)
    added = facade.add_price(price=make_price(now, valid_to=end), actor="usr_ada", now=now)
    assert added.version == 2
    rated = rated_at(now)
    assert (rated.source, rated.rule_id, rated.price_version) == ("contract", added.rule_id, 2)
    assert rated.rates.per_million[TokenClass.INPUT] == 2_000_000_000
    assert rated.rates.per_million[TokenClass.OUTPUT] == 15_000_000_000
    assert rated_at(end).source == "list"
    assert rated_at(now - timedelta(microseconds=1)).source == "list"


def test_an_override_stands_above_the_contract_until_it_is_withdrawn(listed, now):
    facade.add_price(price=make_price(now), actor="usr_ada", now=now)
    override = make_price(
        now,
        source=facade.PriceSource.OVERRIDE,
        meters={"input": [facade.Bracket(0, 1_000_000_000)]},
    )
    added = facade.add_price(price=override, actor="usr_ada", now=now)
    assert rated_at(now).source == "override"
    ended = now + timedelta(days=2)
    version = facade.withdraw_price(
        rule_id=added.rule_id, ended_at=ended, reason="typed wrongly", actor="usr_ada", now=now
    )
    assert version == 4
    assert rated_at(ended - timedelta(microseconds=1)).source == "override"
    assert rated_at(ended).source == "contract"
    again = facade.withdraw_price(
        rule_id=added.rule_id, ended_at=ended, reason="typed wrongly", actor="usr_ada", now=now
    )
    assert again == 4
    assert find_altered_prices() is None


def test_the_same_price_sent_twice_is_one_rule(listed, now):
    first = facade.add_price(price=make_price(now), actor="usr_ada", now=now)
    again = facade.add_price(
        price=make_price(now), actor="usr_ada", now=now + timedelta(hours=1)
    )
    assert first == again
    assert PriceRule.objects.filter(source="contract").count() == 1


def test_a_key_used_for_another_price_is_refused(listed, now):
    facade.add_price(price=make_price(now), actor="usr_ada", now=now, key="k-1")
    other = make_price(now, meters={"input": [facade.Bracket(0, 1)]})
    with pytest.raises(IdempotencyMismatch):
        facade.add_price(price=other, actor="usr_ada", now=now, key="k-1")
    assert PriceVersion.objects.count() == 2


def test_a_price_of_zero_needs_somebody_to_call_it_free(listed, now):
    free = make_price(now, meters={"input": [facade.Bracket(0, 0)]})
    with pytest.raises(ZeroWithoutPolicy) as caught:
        facade.add_price(price=free, actor="usr_ada", now=now)
    assert caught.value.fields["meter"] == "input"
    assert PriceVersion.objects.count() == 1
    said = make_price(
        now, meters={"input": [facade.Bracket(0, 0)]}, free_meters=frozenset({"input"})
    )
    facade.add_price(price=said, actor="usr_ada", now=now)
    cost = facade.price_usage(Usage(input=1_000_000), rated_at(now))
    assert cost.total_nanos == 0


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"evidence": " "}, "/evidence"),
        ({"evidence": "x" * 501}, "/evidence"),
        ({"meters": {}}, "/meters"),
        ({"meters": {"minutes": [facade.Bracket(0, 1)]}}, "/meters/minutes"),
        ({"meters": {"input": []}}, "/meters/input"),
        ({"meters": {"input": [facade.Bracket(1, 1)]}}, "/meters/input"),
        ({"meters": {"input": [facade.Bracket(0, -1)]}}, "/meters/input"),
        ({"meters": {"input": [facade.Bracket(0, 10**30)]}}, "/meters/input"),
        ({"source": facade.PriceSource.LIST}, "/source"),
        ({"offer": facade.OfferKey("OpenAI", "gpt-x")}, "/offer"),
        ({"valid_to": datetime(2020, 1, 1, tzinfo=UTC)}, "/valid_to"),
    ],
)
def test_what_is_no_price_is_refused_with_the_field_named(listed, now, changes, pointer):
    with pytest.raises(ValidationFailed) as caught:
        facade.add_price(price=make_price(now, **changes), actor="usr_ada", now=now)
    assert pointer in {error.pointer for error in caught.value.errors}
    assert PriceVersion.objects.count() == 1


def test_a_price_in_another_currency_than_the_ledgers_is_refused(listed, now):
    with pytest.raises(UnitMismatch):
        facade.add_price(price=make_price(now, currency="EUR"), actor="usr_ada", now=now)


def test_a_list_price_cannot_be_withdrawn(listed, now):
    rule = PriceRule.objects.get()
    with pytest.raises(NotFound):
        facade.withdraw_price(
            rule_id=rule.id, ended_at=now, reason="wrong", actor="usr_ada", now=now
        )
    with pytest.raises(ValidationFailed):
        facade.withdraw_price(
            rule_id=rule.id,
            ended_at=now - timedelta(days=1),
            reason="",
            actor="usr_ada",
            now=now,
        )


def test_an_own_price_makes_an_offer_that_no_catalogue_has(listed, now):
    offer = facade.OfferKey("own-cluster", "llama-house", "eu")
    facade.add_price(
        price=make_price(now, offer=offer, source=facade.PriceSource.OVERRIDE),
        actor="usr_ada",
        now=now,
    )
    rated = facade.rates_for(model="own-cluster/eu/llama-house", at=now, total_input_tokens=1)
    assert rated.slug == "own-cluster/eu/llama-house"
    with pytest.raises(UnknownPrice):
        facade.price_usage(Usage(input=1, output=1), rated)


def test_a_tier_that_is_none_of_ours_has_no_price_and_not_the_standard_one(listed, now):
    assert facade.served_tier("Default") == "standard"
    assert facade.served_tier("fast") == "priority"
    assert facade.served_tier("overnight") is None
    with pytest.raises(facade.ModelUnknown):
        facade.rates_for(model="gpt-x", at=now, total_input_tokens=1, tier="overnight")
    assert facade.rates_for(model="gpt-x", at=now, total_input_tokens=1, tier="flex") is None


def book_usage(*, at: datetime, uid: int, tokens: int, price_version: int, offer_id: int):
    draft = facade.Draft(
        ledger_id=1,
        kind=facade.Kind.USAGE,
        uid=UUID(int=uid),
        effective_at=at,
        recorded_at=at,
        offer_id=offer_id,
        amount_nanos=tokens,
        n=1,
        tok_in=tokens,
        price_version=price_version,
        env_version=uid,
        flags=int(facade.Flag.UNGUARDED),
    )
    with transaction.atomic():
        facade.append([draft])


def test_coverage_splits_tokens_by_whose_price_they_had_at_their_own_instant(listed, now):
    forget_numbers()
    start, end = now - timedelta(days=5), now + timedelta(days=5)
    contract_from = now + timedelta(minutes=17)
    facade.add_price(price=make_price(contract_from), actor="usr_ada", now=now)
    numbers = facade.offer_numbers(key=KEY, actor=0, now=now)
    before, after = contract_from - timedelta(microseconds=1), contract_from
    book_usage(at=before, uid=1, tokens=400, price_version=2, offer_id=numbers.offer_id)
    book_usage(at=after, uid=2, tokens=500, price_version=2, offer_id=numbers.offer_id)
    # Priced when the contract was not there yet: it stays a list price.
    book_usage(at=after, uid=3, tokens=50, price_version=1, offer_id=numbers.offer_id)
    book_usage(at=after, uid=4, tokens=50, price_version=0, offer_id=numbers.offer_id)
    coverage = facade.price_coverage(start=start, end=end)
    assert {name: each.tokens for name, each in coverage.by_source.items()} == {
        "override": 0,
        "contract": 500,
        "list": 450,
        "none": 50,
    }
    assert coverage.priced_ppm == 950_000
    assert coverage.share_ppm("contract") == 500_000
    assert facade.price_coverage(start=end, end=end + timedelta(days=1)).priced_ppm is None


def test_an_offer_has_the_same_numbers_for_ever(listed, now):
    forget_numbers()
    facade.forget_offer_numbers()
    first = facade.offer_numbers(key=KEY, actor=0, now=now)
    assert first == facade.offer_numbers(key=KEY, actor=0, now=now + timedelta(days=1))
    other = facade.offer_numbers(
        key=facade.OfferKey("azure", "gpt-x"), actor=0, now=now + timedelta(days=1)
    )
    assert other.model_id == first.model_id
    assert other.offer_id != first.offer_id


def test_prices_are_stale_45_days_after_the_newest_catalogue(listed, now):
    assert not facade.prices_stale(at=now + timedelta(days=45))
    assert facade.prices_stale(at=now + timedelta(days=45, microseconds=1))


def test_one_altered_nano_in_a_price_is_found_and_its_version_named(
    committed_db, now, tmp_path
):
    forget_numbers()
    facade.forget_offer_numbers()
    load(now, tmp_path)
    facade.add_price(price=make_price(now), actor="system", now=now)
    assert find_altered_prices() is None
    with psycopg.connect(committed_db.superuser_url, autocommit=True) as attacker:
        attacker.execute("SET session_replication_role = replica")
        attacker.execute(
            "UPDATE ledger_price_rate SET nanos_per_million = nanos_per_million + 1"
            " WHERE rule_id = (SELECT max(id) FROM ledger_price_rule)"
        )
    found = find_altered_prices()
    assert found is not None
    assert (found.version, found.what) == (2, "rows")
