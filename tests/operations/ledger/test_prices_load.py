"""Does the price book load, only add, keep the past, and say so in the ledger?"""

import json
import time
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from ledger import facade
from ledger.core.entry import Kind
from ledger.models.price import (
    PriceOffer,
    PriceQuarantine,
    PriceRate,
    PriceRule,
    PriceVersion,
)
from ledger.queries.price_integrity import find_altered_prices
from ledger.queries.prices import compile_state
from o10.kernel.usage import TokenClass

pytestmark = pytest.mark.django_db

CHAT = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2.5e-06,
    "output_cost_per_token": 1.5e-05,
}


@pytest.fixture
def company(now: datetime) -> facade.LedgerRow:
    return facade.create_ledger(
        origin="ledger.example.com/main", currency="USD", time_zone="UTC", now=now
    )


def catalogue_of(tmp_path, table: dict) -> facade.Catalogue:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(table))
    return facade.read_catalogue(source=str(path))


def price_changes() -> list[dict]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.price_version, convert_from(d.body, 'UTF8')::jsonb FROM ledger_entry e"
            " JOIN ledger_document d ON d.hash = e.doc WHERE e.kind = %s ORDER BY e.id",
            [int(Kind.PRICE_CHANGE)],
        )
        return [{"version": version, **json.loads(body)} for version, body in cursor]


def test_the_first_load_fills_the_book_in_seconds_and_is_in_the_ledger(company, now):
    started = time.perf_counter()
    loaded = facade.load_first_prices(now=now)
    assert time.perf_counter() - started < 5
    assert loaded.version == 1
    assert loaded.rules > 2_000
    rated = facade.rates_for(model="openai/gpt-5.4", at=now, total_input_tokens=1_200)
    assert rated.rates.per_million[TokenClass.INPUT] == 2_500_000_000
    assert rated.rates.per_million[TokenClass.OUTPUT] == 15_000_000_000
    assert (rated.source, rated.source_name, rated.price_version) == ("list", "genai-prices", 1)
    (entry,) = price_changes()
    assert entry["before"] == "00" * 32
    assert entry["after"] == bytes(PriceVersion.objects.get().digest).hex()
    assert (entry["actor"], entry["rules"]) == ("system", loaded.rules)
    assert find_altered_prices() is None
    assert facade.load_first_prices(now=now) is None


def test_a_lookup_with_the_book_in_hand_asks_no_sql(
    company, now, django_assert_num_queries, tmp_path
):
    facade.load_catalogue(
        catalogue=catalogue_of(tmp_path, {"gpt-x": CHAT}), actor="system", now=now
    )
    book = facade.price_book()
    with django_assert_num_queries(0):
        facade.rates_for(model="gpt-x", at=now, total_input_tokens=1, book=book)
        facade.ceiling_for(model="gpt-x", at=now, max_input_tokens=1, book=book)
    with django_assert_num_queries(1):
        facade.rates_for(model="gpt-x", at=now, total_input_tokens=1)


def test_loading_the_same_catalogue_twice_adds_nothing(company, now, tmp_path):
    catalogue = catalogue_of(tmp_path, {"gpt-x": CHAT, "wrong": CHAT | {"mode": "image_edit"}})
    first = facade.load_catalogue(catalogue=catalogue, actor="system", now=now)
    counts = [model.objects.count() for model in (PriceVersion, PriceRule, PriceRate)]
    quarantined = PriceQuarantine.objects.count()
    later = now + timedelta(days=1)
    second = facade.load_catalogue(catalogue=catalogue, actor="system", now=later)
    assert (first.version, second.version, second.rules) == (1, 1, 0)
    assert [model.objects.count() for model in (PriceVersion, PriceRule, PriceRate)] == counts
    assert quarantined == PriceQuarantine.objects.count() == 1
    assert len(price_changes()) == 1


def test_a_newer_catalogue_adds_a_version_and_changes_no_price_of_the_past(
    company, now, tmp_path
):
    facade.load_catalogue(
        catalogue=catalogue_of(tmp_path, {"gpt-x": CHAT}), actor="system", now=now
    )
    later = now + timedelta(days=9)
    dearer = {"gpt-x": CHAT | {"input_cost_per_token": 3e-06}}
    loaded = facade.load_catalogue(
        catalogue=catalogue_of(tmp_path, dearer), actor="usr_ada", now=later
    )
    assert loaded.version == 2

    def price(at: datetime) -> tuple[int, int]:
        rated = facade.rates_for(model="gpt-x", at=at, total_input_tokens=1)
        return rated.rates.per_million[TokenClass.INPUT], rated.price_version

    assert price(now) == (2_500_000_000, 2)
    assert price(later - timedelta(microseconds=1)) == (2_500_000_000, 2)
    assert price(later) == (3_000_000_000, 2)
    # The state that version 1 was stays answerable.
    old = facade.price_book_at(version=1)
    rated = facade.rates_for(model="gpt-x", at=later, total_input_tokens=1, book=old)
    assert rated.rates.per_million[TokenClass.INPUT] == 2_500_000_000
    first, second = price_changes()
    assert second["before"] == first["after"]
    assert find_altered_prices() is None


def test_loading_changes_no_entry(company, now, tmp_path):
    facade.load_catalogue(
        catalogue=catalogue_of(tmp_path, {"gpt-x": CHAT}), actor="system", now=now
    )

    def rows() -> list[tuple]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, leaf, amount_nanos FROM ledger_entry ORDER BY id")
            return [(row[0], bytes(row[1]), row[2]) for row in cursor]

    before = rows()
    facade.load_catalogue(
        catalogue=catalogue_of(tmp_path, {"gpt-x": CHAT | {"input_cost_per_token": 2e-06}}),
        actor="system",
        now=now + timedelta(days=1),
    )
    assert rows()[: len(before)] == before
    assert len(rows()) == len(before) + 1


def test_quarantined_rows_are_listed_with_their_reason_and_never_priced(company, now, tmp_path):
    table = {"gpt-x": CHAT, "dear": CHAT | {"input_cost_per_token": 0.0032}}
    facade.load_catalogue(catalogue=catalogue_of(tmp_path, table), actor="system", now=now)
    row = PriceQuarantine.objects.get()
    assert (row.slug, row.doubts) == (
        "openai/dear",
        ["too_dear", "output_below_quarter_of_input"],
    )
    with pytest.raises(facade.ModelUnknown):
        facade.rates_for(model="dear", at=now, total_input_tokens=1)


@pytest.mark.parametrize(
    "table",
    [
        "ledger_price_version",
        "ledger_price_offer",
        "ledger_price_alias",
        "ledger_price_rule",
        "ledger_price_rate",
        "ledger_price_withdrawal",
        "ledger_price_quarantine",
    ],
)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
def test_the_application_can_neither_edit_nor_delete_a_price(company, table, statement):
    assert table in facade.APPEND_ONLY
    column = "rule_id" if table == "ledger_price_withdrawal" else "id"
    column = "version" if table == "ledger_price_version" else column
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement.format(table, column, column))


def test_the_database_itself_refuses_a_zero_without_policy_and_an_empty_interval(
    company, now, tmp_path
):
    facade.load_catalogue(
        catalogue=catalogue_of(tmp_path, {"gpt-x": CHAT}), actor="system", now=now
    )
    rule = PriceRule.objects.get()
    with pytest.raises(IntegrityError, match="zero_only_by_policy"), transaction.atomic():
        PriceRate.objects.create(rule=rule, meter="cache_read", nanos_per_million=0)
    with pytest.raises(IntegrityError, match="ends_after_start"), transaction.atomic():
        PriceRule.objects.create(
            offer=PriceOffer.objects.get(),
            version=PriceVersion.objects.get(),
            source="list",
            source_name="x",
            currency="USD",
            valid_from=now,
            valid_to=now,
        )


def test_a_book_compiles_the_same_from_rows_as_it_was_proposed(company, now, shared_data):
    path = shared_data / "prices" / "litellm_model_prices_1.109.1.json.gz"
    catalogue = facade.read_catalogue(source=str(path))
    loaded = facade.load_catalogue(catalogue=catalogue, actor="system", now=now)
    state = compile_state(version=loaded.version, digest=b"")
    for new in loaded.proposal.rules:
        (rule,) = state.book.offers[new.key].rules
        assert rule.card == new.dated.card
    again = facade.propose_prices(catalogue=catalogue, now=now + timedelta(days=1))
    assert again.rules == ()
    assert find_altered_prices() is None


def test_the_same_offer_priced_by_two_catalogues_is_a_disagreement(company, now, shared_data):
    facade.load_first_prices(now=now)
    path = shared_data / "prices" / "litellm_model_prices_1.109.1.json.gz"
    proposal = facade.propose_prices(catalogue=facade.read_catalogue(source=str(path)), now=now)
    assert len(proposal.disagreements) > 0
    held = set(facade.price_book().book.offers)
    assert not {rule.key for rule in proposal.rules} & held
