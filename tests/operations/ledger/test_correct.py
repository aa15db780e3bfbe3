"""Is a correction the exact negative, once, by two people?"""

from uuid import UUID

import pytest

from ledger import facade
from ledger.core.corrections import NotReversible
from ledger.operations import keep_exposure as slot
from ledger.operations.correct import AlreadyReversed, reverse
from o10.kernel.errors import NotFound, SelfApproval

from .rows import NOW, append_drafts, make_entry, make_ledger

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[slot.Effect]:
    """A keeper that counts versions and remembers effects."""
    effects: list[slot.Effect] = []

    def keep(moving: object) -> list[int]:
        effects.extend(moving)  # type: ignore[arg-type]
        return [100 + len(effects)] * len(moving)  # type: ignore[arg-type]

    monkeypatch.setattr(slot, "_keeper", keep)
    return effects


def take_back(uid: UUID, **fields: object) -> facade.Written:
    asked = {
        "key": "r-1",
        "reason": "wrong use case",
        "requested_by": "usr_2",
        "approved_by": "usr_4",
        "actor_id": 4,
        "now": NOW,
        **fields,
    }
    return reverse(uid=uid, **asked)  # type: ignore[arg-type]


def test_a_reversal_negates_and_moves_the_balance_back(kept: list[slot.Effect]) -> None:
    make_ledger()
    original = append_drafts([make_entry(counter_nanos=1_100_000)])[0]
    written = take_back(original.uid)
    (stored,) = written.entries
    assert stored.entry.kind == facade.Kind.REVERSAL
    assert stored.entry.reverses == original.uid
    assert stored.entry.amount_nanos == -3_915_000
    assert stored.entry.counter_nanos == -1_100_000
    assert stored.entry.n == -1
    assert stored.entry.held_nanos == 0
    assert stored.entry.env_version == 101
    assert [effect.amount_nanos for effect in kept] == [-3_915_000]


def test_the_same_key_answers_again_and_another_key_fails(kept: list[slot.Effect]) -> None:
    make_ledger()
    original = append_drafts([make_entry()])[0]
    first = take_back(original.uid)
    again = take_back(original.uid)
    assert again.replayed is not None
    assert again.uid == first.uid
    with pytest.raises(AlreadyReversed):
        take_back(original.uid, key="r-2")
    assert len(kept) == 1


def test_a_replacement_stands_beside_and_is_unguarded(kept: list[slot.Effect]) -> None:
    make_ledger()
    original = append_drafts([make_entry()])[0]
    written = take_back(original.uid, replacement={"use_case_id": 8, "amount_nanos": 4_000_000})
    anew = written.entries[1].entry
    assert anew.kind == facade.Kind.USAGE
    assert (anew.use_case_id, anew.amount_nanos, anew.held_nanos) == (8, 4_000_000, 0)
    assert anew.flags & facade.Flag.UNGUARDED
    assert [effect.unguarded_nanos for effect in kept] == [0, 4_000_000]
    assert sum(effect.amount_nanos for effect in kept) == 85_000


def test_one_person_alone_cannot_correct() -> None:
    make_ledger()
    original = append_drafts([make_entry()])[0]
    with pytest.raises(SelfApproval):
        take_back(original.uid, approved_by="usr_2")


def test_a_reversal_is_never_reversed(kept: list[slot.Effect]) -> None:
    make_ledger()
    original = append_drafts([make_entry()])[0]
    first = take_back(original.uid)
    with pytest.raises(NotReversible):
        take_back(first.uid, key="r-3")


def test_an_unknown_entry_has_nothing_to_take_back(kept: list[slot.Effect]) -> None:
    make_ledger()
    with pytest.raises(NotFound):
        take_back(UUID(int=77))


def test_without_a_keeper_no_money_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    make_ledger()
    monkeypatch.setattr(slot, "_keeper", None)
    original = append_drafts([make_entry()])[0]
    with pytest.raises(facade.ExposureUnkept):
        take_back(original.uid)
    assert facade.list_entries(ledger_id=1, where=facade.EntryFilter(kinds=(8,))).items == ()
