"""Are the wrong instants found, and only those?"""

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.strays import find_strays

TOLERANCE = 300


def strays(instants: list[int], neighbours: int = 5) -> list[int]:
    return find_strays(
        instants, first=0, end=len(instants), tolerance=TOLERANCE, neighbours=neighbours
    )


def test_gaps_of_any_length_are_no_strays() -> None:
    assert strays([0, 1, 900_000, 900_001, 5_000_000]) == []


def test_one_ahead_or_behind_is_found_alone() -> None:
    calm = list(range(0, 200, 10))
    for wrong in (-301, 100_000, -100_000):
        assert strays([*calm[:10], calm[10] + wrong - 100, *calm[11:]]) in ([10], [])
    assert strays([*calm[:10], 100_000, *calm[11:]]) == [10]
    assert strays([*calm[:10], -100_000, *calm[11:]]) == [10]


def test_a_writer_that_is_off_among_others_is_found_entry_by_entry() -> None:
    instants = [at + (600 if at % 3 == 0 else 0) for at in range(90)]
    assert strays(instants, 20)[:20] == list(range(0, 60, 3))


def test_only_what_was_asked_for_is_judged() -> None:
    instants = [0, 9_999, 1, 2, 9_999, 3, 4]
    found = find_strays(instants, first=2, end=6, tolerance=TOLERANCE, neighbours=3)
    assert found == [4]


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=60),
    st.lists(st.integers(-150, 150), min_size=60, max_size=60),
)
def test_overtaking_within_the_tolerance_is_never_a_stray(
    gaps: list[int], jitter: list[int]
) -> None:
    at, instants = 0, []
    for gap, moved in zip(gaps, jitter, strict=False):
        at += gap
        instants.append(at + moved)
    assert strays(instants) == []
