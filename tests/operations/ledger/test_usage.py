"""Is spend booked once, at its price, in its place, or visibly without one?"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from ledger import facade
from ledger.core.entry import Basis, Flag, Purpose, unpack_flags
from ledger.operations import keep_exposure as slot
from ledger.operations.keep_exposure import Effect, Place, PlaceQuery
from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel.errors import IdempotencyMismatch, ValidationFailed
from o10.wire.facts import UsageRecord, decode_usage

from .rows import NOW, make_ledger

pytestmark = pytest.mark.django_db
CALLER = Caller(
    key_id="key_1",
    actor="key_1",
    principal="usr_1",
    role=Role.ROUTER,
    use_case_slugs=None,
    verbs=frozenset(),
)
PRICES = {
    "gpt-x": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 0.75e-06,
        "cache_read_input_token_cost": 0.075e-06,
        "output_cost_per_token": 4.5e-06,
    }
}


class _Keeper:
    """Counts versions of one tree and remembers every effect."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.version = 0

    def __call__(self, effects: Any) -> list[int]:
        self.effects += effects
        self.version += 1
        return [self.version] * len(effects)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Keeper:
    keeper = _Keeper()
    monkeypatch.setattr(slot, "_keeper", keeper)
    monkeypatch.setattr(slot, "_finder", find)
    make_ledger()
    facade.forget_offer_numbers()
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(PRICES))
    listed = NOW - timedelta(days=30)
    facade.load_catalogue(
        catalogue=facade.read_catalogue(source=str(path)), actor="system", now=listed
    )
    return keeper


def find(queries: list[PlaceQuery]) -> list[Place]:
    known = {"support": Place(use_case_id=3, envelope_id=12, department="service")}
    nowhere = Place(use_case_id=0, envelope_id=0, department="")
    return [known.get(query.use_case or "", nowhere) for query in queries]


def usage(**fields: Any) -> UsageRecord:
    body = {
        "id": "r-1",
        "at": "2026-11-19T08:00:00Z",
        "model": "gpt-x",
        "use_case": "support",
        "usage": {"input_tokens": 1200, "cached_input_tokens": 800, "output_tokens": 790},
        **fields,
    }
    return decode_usage(json.dumps(body).encode(), content_type="application/json")[0]


def record(*records: UsageRecord) -> facade.UsageReport:
    return facade.record_usage(records=records, caller=CALLER, now=NOW)


def test_a_record_becomes_one_priced_unguarded_entry_in_its_place(kept: _Keeper) -> None:
    report = record(usage(tags={"team": "blue"}, latency_ms=7, provider_request_id="req_9"))
    (item,) = report.items
    # 400 x 0.75 + 800 x 0.075 + 790 x 4.50 per million
    assert item.amount_nanos == 300_000 + 60_000 + 3_555_000
    assert (report.recorded, report.replayed, report.unpriced) == (1, 0, 0)
    entry = facade.get_by_uid(ledger_id=1, uid=item.uid).entry
    assert entry.kind == facade.Kind.USAGE
    assert (entry.use_case_id, entry.envelope_id) == (3, 12)
    assert (entry.tok_in, entry.tok_cache_read, entry.tok_out) == (400, 800, 790)
    assert entry.effective_at == datetime(2026, 11, 19, 8, tzinfo=UTC)
    assert entry.recorded_at == NOW
    assert entry.flags & Flag.UNGUARDED
    assert unpack_flags(entry.flags).basis is Basis.MEASURED
    assert (entry.env_version, entry.price_version, entry.ref) == (1, 1, "req_9")
    dims = facade.meanings_of(domain="dims", numbers=[entry.dims_id])[entry.dims_id]
    assert dims == {"department": "service", "key": "key_1", "tags": {"team": "blue"}}
    (effect,) = kept.effects
    assert effect.unguarded_nanos == effect.amount_nanos == item.amount_nanos


def test_the_same_records_again_are_answered_and_not_booked(kept: _Keeper) -> None:
    many = [usage(id=f"r-{number}") for number in range(30)]
    first = record(*many)
    again = record(*many, usage(id="r-new"))
    assert first.recorded == 30
    assert (again.recorded, again.replayed) == (1, 30)
    assert [item.uid for item in again.items[:30]] == [item.uid for item in first.items]
    assert [item.amount_nanos for item in again.items[:30]] == [
        item.amount_nanos for item in first.items
    ]
    assert len(kept.effects) == 31


def test_one_changed_record_refuses_the_whole_call_and_names_itself(kept: _Keeper) -> None:
    record(usage(id="r-2"))
    before = _count()
    with pytest.raises(IdempotencyMismatch) as caught:
        record(usage(id="r-9"), usage(id="r-2", model="gpt-y"))
    assert [error.pointer for error in caught.value.errors] == ["/1"]
    assert _count() == before


def test_a_changed_time_is_another_content_of_the_same_key(kept: _Keeper) -> None:
    record(usage())
    with pytest.raises(IdempotencyMismatch):
        record(usage(at="2026-11-19T08:00:01Z"))


def test_a_model_without_price_is_booked_at_nothing_and_shows(kept: _Keeper) -> None:
    report = record(usage(model="nobody-knows-it", venue="somewhere"))
    (item,) = report.items
    assert (report.unpriced, item.priced, item.amount_nanos) == (1, False, 0)
    entry = facade.get_by_uid(ledger_id=1, uid=item.uid).entry
    assert unpack_flags(entry.flags).basis is Basis.ESTIMATED
    assert (entry.amount_nanos, entry.env_version, entry.price_version) == (0, 0, 0)
    names = facade.meanings_of(domain="model", numbers=[entry.model_id])
    assert names[entry.model_id] == {"slug": "nobody-knows-it"}
    assert kept.effects == []
    coverage = facade.price_coverage(start=NOW - timedelta(days=9), end=NOW)
    assert coverage.by_source["none"].calls == 1


def test_spend_of_nobody_is_kept_apart_and_visible(kept: _Keeper) -> None:
    report = record(usage(use_case="unheard-of"))
    entry = facade.get_by_uid(ledger_id=1, uid=report.items[0].uid).entry
    assert (entry.use_case_id, entry.envelope_id) == (0, 0)
    assert entry.amount_nanos > 0


def test_a_hit_at_the_edge_costs_nothing_and_counts_as_a_call(kept: _Keeper) -> None:
    report = record(usage(cache="edge"))
    entry = facade.get_by_uid(ledger_id=1, uid=report.items[0].uid).entry
    assert (entry.amount_nanos, entry.n, entry.tok_in) == (0, 1, 0)
    assert entry.flags & Flag.EDGE_CACHE_HIT


def test_an_aggregate_stands_for_its_calls(kept: _Keeper) -> None:
    report = record(
        usage(calls=1000, usage={"input_tokens": 1_200_000, "output_tokens": 790_000})
    )
    entry = facade.get_by_uid(ledger_id=1, uid=report.items[0].uid).entry
    assert entry.n == 1000
    assert entry.amount_nanos == 1_200_000 * 750 + 790_000 * 4_500


def test_what_has_no_column_stands_in_the_document(kept: _Keeper) -> None:
    report = record(
        usage(
            usage={"input_tokens": 100, "audio_input_tokens": 40, "output_tokens": 5},
            provider_cost={"amount": "1.25", "currency": "USD"},
            purpose="eval",
            status="length",
        )
    )
    entry = facade.get_by_uid(ledger_id=1, uid=report.items[0].uid).entry
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM ledger_document WHERE hash = %s", [entry.doc])
        body = json.loads(bytes(cursor.fetchone()[0]))
    assert body["classes"][0]["class"] == "audio_input"
    assert body["classes"][0]["quantity"] == 40
    assert body["provider_cost"] == {"amount": "1.25", "currency": "USD"}
    assert unpack_flags(entry.flags).purpose is Purpose.EVAL


def test_usage_of_tomorrow_is_refused(kept: _Keeper) -> None:
    with pytest.raises(ValidationFailed) as caught:
        record(usage(), usage(id="r-2", at="2026-11-21T08:00:00Z"))
    assert caught.value.errors[0].pointer == "/1/at"


def test_without_a_finder_of_places_nothing_is_booked(
    kept: _Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot, "_finder", None)
    before = _count()
    with pytest.raises(facade.ExposureUnkept):
        record(usage())
    assert _count() == before


def test_the_answer_and_the_entry_agree_after_rounding(kept: _Keeper) -> None:
    odd = usage(usage={"input_tokens": 1, "cached_input_tokens": 1, "output_tokens": 0})
    report = record(odd)
    # 1 token at 75 nanos, exactly.
    assert report.items[0].amount_nanos == 75
    assert replace(report.items[0]).priced


def _count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_entry")
        return int(cursor.fetchone()[0])
