"""Is a reversal the exact negative, and can nothing else be reversed?"""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.canonical import encode
from ledger.core.chain import leaf
from ledger.core.corrections import (
    NEGATED,
    REVERSIBLE,
    Hold,
    NotReversible,
    replacing,
    reversing,
)
from ledger.core.entry import ZERO_UUID, Entry, Flag, Kind
from ledger.core.verify import reversal_fault

from .books import make_entry, number

DOC = bytes.fromhex("c888d38358576c6e74e8dd0f67366b08fb44db76d5a682acb72ea99ad27e842d")
UID = UUID("01a1fd1e-8c00-876f-b911-78ba3aca2a9a")
RECORDED = datetime(2026, 11, 21, 8, 0, 0, 4000, tzinfo=UTC)


def reverse(original: Entry, **options: object) -> Entry:
    return reversing(original, uid=UID, recorded_at=RECORDED, actor_id=4, doc=DOC, **options)


def test_the_reversal_of_e1_is_golden_e2() -> None:
    reversal = replace(reverse(make_entry()), env_version=918)
    assert leaf(encode(reversal)).hex() == (
        "6285bec49465411d6664694d2ca30023e009ffd729a7a43fd79d4199361c9e52"
    )


def test_every_kind_is_reversible_or_refused() -> None:
    for kind in Kind:
        entry = make_entry(kind=int(kind))
        if kind in REVERSIBLE:
            assert reverse(entry).kind == Kind.REVERSAL
            continue
        with pytest.raises(NotReversible) as refused:
            reverse(entry)
        assert refused.value.fields["kind"] == kind.name.lower()
        with pytest.raises(NotReversible):
            replacing(entry, uid=UID, recorded_at=RECORDED, actor_id=4)


AMOUNTS = st.integers(-(2**40), 2**40)


@given(st.fixed_dictionaries({name: AMOUNTS for name in (*NEGATED, "held_nanos")}))
def test_an_entry_and_its_reversal_add_up_to_nothing(values: dict[str, int]) -> None:
    small = values | {"n": values["n"] % 1000}
    original = make_entry(**small)
    for hold in Hold:
        reversal = reverse(original, hold=hold)
        for name in NEGATED:
            assert getattr(original, name) + getattr(reversal, name) == 0
        assert reversal_fault(encode(original), encode(reversal)) is None
    assert reverse(original, hold=Hold.OPEN).net_nanos == -original.net_nanos


def test_an_ended_hold_is_not_revived_and_an_open_one_gets_back_what_was_taken() -> None:
    ended = reverse(make_entry())
    assert (ended.held_nanos, ended.lease) == (0, ZERO_UUID)
    opened = reverse(make_entry(), hold=Hold.OPEN)
    assert (opened.held_nanos, opened.lease) == (3_915_000, make_entry().lease)


def test_a_reversal_keeps_the_flags_so_that_sums_by_flag_cancel() -> None:
    flags = int(Flag.UNGUARDED | Flag.BATCH_TIER)
    assert reverse(make_entry(kind=Kind.USAGE, flags=flags)).flags == flags


@pytest.mark.parametrize("late", [0, int(Flag.LATE_SETTLE)])
def test_a_replacement_counts_in_full_and_unguarded_without_the_spent_hold(late: int) -> None:
    original = make_entry(flags=late | int(Flag.CANARY))
    stated = replacing(original, uid=UID, recorded_at=RECORDED, actor_id=4)
    assert stated.kind == Kind.USAGE
    assert stated.net_nanos == stated.amount_nanos == original.amount_nanos
    assert stated.flags == int(Flag.UNGUARDED | Flag.CANARY)
    assert (stated.tok_in, stated.n, stated.ref) == (400, 1, "chatcmpl-8f2a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_nanos", -3_914_999),
        ("n", 1),
        ("tok_out", 670),
        ("counter_nanos", 0),
        ("use_case_id", 4),
        ("envelope_id", 11),
        ("effective_at", RECORDED),
        ("held_nanos", 1),
        ("reserved_nanos", 1),
        ("flags", int(Flag.UNGUARDED)),
    ],
)
def test_the_verifier_names_the_field_that_is_no_negative(field: str, value: object) -> None:
    reversal = replace(reverse(make_entry()), **{field: value})
    fault = reversal_fault(encode(make_entry()), encode(reversal))
    assert fault is not None
    assert fault[0] == field


def test_the_verifier_refuses_the_reversal_of_a_reversal() -> None:
    first = reverse(make_entry())
    second = replace(first, uid=number("second"), reverses=first.uid)
    assert reversal_fault(encode(first), encode(second)) == (
        "kind",
        "no reversal of a reversal",
        "8",
    )
