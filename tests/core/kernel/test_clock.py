"""Does a process keep the time of the reference, and ask for it rarely?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from o10.kernel import clock


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clock, "_due", float("-inf"))
    yield
    clock.correct(0)


def test_the_correction_is_added_to_the_microsecond(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

    class Standing(datetime):
        @classmethod
        def now(cls, tz=None):
            return wall

    monkeypatch.setattr(clock, "datetime", Standing)
    assert clock.now() == wall
    clock.correct(-600_000_001)
    assert clock.now() == wall - timedelta(minutes=10, microseconds=1)
    assert clock.uncorrected() == wall


def test_it_measures_once_and_then_again_after_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = [1_000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: seconds[0])
    asked = []

    def measure(reading: clock.Reading) -> int:
        asked.append(reading)
        return 7

    for at, times in ((1_000.0, 1), (1_000.0, 1), (1_029.9, 1), (1_030.0, 2), (1_059.0, 2)):
        seconds[0] = at
        clock.keep(measure)
        assert len(asked) == times
    assert asked[0] is clock.uncorrected


def test_an_unknown_offset_leaves_the_former_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.correct(3_600_000_000)
    clock.keep(lambda reading: None)
    assert clock.now() - clock.uncorrected() > timedelta(minutes=59)


def test_others_go_on_while_one_measures() -> None:
    asked = []

    def measure(reading: clock.Reading) -> int:
        asked.append(1)
        clock._due = float("-inf")
        clock.keep(measure)
        return 0

    clock.keep(measure)
    assert asked == [1]


def test_a_measurement_that_fails_lets_the_next_one_begin() -> None:
    def broken(reading: clock.Reading) -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        clock.keep(broken)
    clock._due = float("-inf")
    clock.keep(lambda reading: 5_000_000_000)
    assert clock.now() - clock.uncorrected() > timedelta(minutes=83)
