"""Does each source read its recorded export: units, currency, tiers, and every bad row named?

Shapes are those of November 2026, rows invented (tests/payloads/exports).
"""

import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.operations.importers.rows import (
    BadRow,
    BillRow,
    FileRejected,
    RowRefused,
    Terms,
    UsageRow,
    nanos_of,
)
from ledger.operations.importers.sources import SOURCES, kind_of
from o10.kernel.usage import TokenClass

EXPORTS = Path(__file__).resolve().parents[2] / "payloads" / "exports"
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def rows_of(source, name, now=NOW):
    with (EXPORTS / name).open(encoding="utf-8-sig", newline="") as stream:
        return list(SOURCES[source].read(stream, Terms(source, now)))


def classes(row):
    usage = row.record.disjoint()
    assert usage.consistent
    return {name.value: count for name, count in usage.usage.items() if count}


def codes(rows):
    return [(row.row, row.code) for row in rows if isinstance(row, BadRow)]


def test_openrouter_counts_cached_inside_and_own_keys_beside():
    rows = rows_of("openrouter", "openrouter.csv")
    first, _, third, _ = rows
    assert classes(first) == {
        "input": 600, "cache_read": 600, "output": 60, "reasoning": 20, "request": 1
    }  # fmt: skip
    assert first.record.provider_cost.nanos == 1_230_000
    assert third.record.provider_cost.nanos == 4_100_000
    assert third.record.status == "cancelled"
    assert first.record.use_case == "support-bot"
    assert codes(rows) == [(3, "not_a_count"), (5, "bad_row")]


def test_openai_usage_includes_the_cache_and_has_audio_beside():
    rows = rows_of("openai-usage", "openai_usage.json")
    first, _, batch = rows
    assert classes(first) == {
        "input": 200, "cache_read": 800, "output": 500, "audio_input": 100, "audio_output": 50,
        "request": 5,
    }  # fmt: skip
    assert (first.record.calls, first.record.use_case) == (5, "support-assistant")
    assert batch.record.service_tier == "batch"
    assert codes(rows) == [(2, "model_missing")]
    early = rows_of("openai-usage", "openai_usage.json", datetime(2026, 10, 1, 9, tzinfo=UTC))
    assert {code for _, code in codes(early)} == {"bucket_open", "model_missing"}


def test_openai_costs_are_dollars():
    rows = rows_of("openai-costs", "openai_costs.json")
    line = rows[0]
    assert (line.amount_nanos, line.currency, line.model) == (60_000_000, "USD", "gpt-5.4-mini")
    assert (line.day, line.last_day, line.account) == (
        date(2026, 10, 1), date(2026, 10, 1), "proj_1"
    )  # fmt: skip
    assert (rows[1].model, rows[1].meter) == ("", "Web search")
    assert codes(rows) == [(3, "currency_missing")]


def test_anthropic_usage_excludes_the_cache_and_knows_no_calls():
    rows = rows_of("anthropic-usage", "anthropic_usage.json")
    assert classes(rows[0]) == {
        "input": 1500, "cache_read": 200, "cache_write_5m": 500, "cache_write_1h": 1000,
        "output": 500, "request": 1,
    }  # fmt: skip
    assert rows[0].record.tags["calls"] == "unknown"
    assert codes(rows) == [(2, "model_missing")]


def test_anthropic_cost_is_cents():
    rows = rows_of("anthropic-cost", "anthropic_cost.json")
    assert rows[0].amount_nanos == 1_234_500_000
    assert codes(rows) == [(2, "amount_missing")]


def test_bedrock_counts_thousands_or_millions_and_takes_the_net_price():
    rows = rows_of("bedrock-cur", "bedrock_cur.csv")
    first, second, _ = rows
    assert (first.quantity, first.amount_nanos, first.meter) == (1_200_500, 64_800_000, "input")
    assert first.model == "novalite"
    assert (second.quantity, second.amount_nanos) == (300_000, 72_000_000)
    assert second.model == "amazon.nova-lite-v1:0"
    assert codes(rows) == [(5, "unit_unknown")]


def test_litellm_keeps_cache_hits_and_never_tells_prompts():
    rows = rows_of("litellm", "litellm.jsonl")
    assert classes(rows[0]) == {
        "input": 600, "cache_read": 400, "output": 100, "reasoning": 20, "request": 1
    }  # fmt: skip
    assert rows[0].record.provider_request_id == "chatcmpl-1"
    assert rows[1].record.cache == "edge"
    assert codes(rows) == [(3, "id_missing"), (4, "bad_row")]
    assert "secret" not in str(rows)


def test_vercel_takes_what_was_paid():
    rows = rows_of("vercel", "vercel.json")
    assert rows[0].record.provider_cost.nanos == 12_400_000_000
    assert rows[0].record.calls == 8_400
    assert codes(rows) == [(2, "model_missing")]


def test_focus_keeps_the_smallest_amount_and_leaves_other_services_out():
    rows = rows_of("focus", "focus.csv")
    first, tax, _ = rows
    assert (first.amount_nanos, first.quantity, first.number) == (800, 2, "INV-7")
    assert (tax.day, tax.last_day, tax.model) == (date(2026, 10, 1), date(2026, 10, 31), "")
    assert codes(rows) == [(5, "currency_missing")]


@pytest.mark.parametrize(("name", "kind", "shape"), [
    ("bill.csv", "bill", BillRow), ("usage.csv", "usage", UsageRow)
])  # fmt: skip
def test_a_plain_csv_says_by_its_header_what_it_is(name, kind, shape):
    with (EXPORTS / name).open(newline="") as stream:
        assert kind_of(SOURCES["csv"], stream) == kind
    rows = rows_of("csv", name)
    assert isinstance(rows[0], shape)
    assert [row for row, _ in codes(rows)] == [3]


@pytest.mark.parametrize("source", sorted(SOURCES))
@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "{", "[1, 2]", '{"data": 5}', "\0\0"])
def test_a_file_of_another_kind_is_refused_or_every_row_is(source, text):
    try:
        rows = list(SOURCES[source].read(io.StringIO(text), Terms(source, NOW)))
    except FileRejected as failure:
        assert failure.code == "file_rejected"
    else:
        assert all(isinstance(row, BadRow) for row in rows)


def test_equal_rows_of_one_file_are_two_and_of_two_files_one():
    text = "date,venue,amount,currency\n2026-10-01,aws,1,USD\n2026-10-01,aws,1,USD\n"
    keys = [
        [row.key for row in SOURCES["csv"].read(io.StringIO(text), Terms("csv", NOW))]
        for _ in range(2)
    ]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2


@pytest.mark.parametrize(("text", "nanos"), [
    ("0.0000000005", 0), ("0.0000000015", 2), ("1e-7", 100),
    ("-0.2", -200_000_000), ("1E+3", 10**12)
])  # fmt: skip
def test_an_amount_becomes_nanos_once_half_even(text, nanos):
    assert nanos_of(text, "amount") == nanos


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.text(max_size=30))
def test_no_text_breaks_the_reading_of_an_amount(value):
    try:
        assert isinstance(nanos_of(value, "amount"), int)
    except RowRefused as failure:
        assert failure.code in ("not_a_number", "out_of_range")


def test_token_classes_of_every_usage_row_add_up():
    for source, name in (("openrouter", "openrouter.csv"), ("vercel", "vercel.json")):
        for row in rows_of(source, name):
            if isinstance(row, UsageRow):
                counted = classes(row)
                tokens = sum(n for c, n in counted.items() if c != TokenClass.REQUEST.value)
                said = row.record.usage
                assert tokens == said.input_tokens + said.output_tokens
