"""Does a worker get a new till when its journal is full, without losing a call?"""

from typing import Any

import pytest

from policies.plane import keeper as keepers

from .conftest import Way, unreachable


class Journal:
    def __init__(self, position: int) -> None:
        self.position = position


class Till:
    """What the keeper looks at of a teller."""

    def __init__(self, position: int = 0) -> None:
        self.journal = Journal(position)
        self.stopping = False
        self.known = None
        self.closed = False


class Rounds:
    def tend(self, teller: Till, *, told: Any, now: Any) -> None:
        assert not teller.closed


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> keepers.Keeper:
    def close_teller(teller: Till, *, now: Any) -> None:
        teller.closed = True

    monkeypatch.setattr(keepers.facade, "open_teller", lambda now: Till())
    monkeypatch.setattr(keepers.facade, "close_teller", close_teller)
    monkeypatch.setattr(keepers.facade, "Rounds", Rounds)
    monkeypatch.setattr(keepers, "close_old_connections", lambda: None)
    monkeypatch.setattr(keepers, "_calm_the_collector", lambda: None)
    monkeypatch.setattr(keepers.Keeper, "_hear", lambda self: [])
    return keepers.Keeper()


def test_a_full_journal_is_replaced_and_closed_when_its_calls_are_done(keeper, monkeypatch):
    keeper._round()
    first = keeper.teller
    keeper._round()
    assert keeper.teller is first
    first.journal.position = keepers.ROLL_BYTES + 1
    keeper._round()
    assert keeper.teller is not first
    assert not first.closed
    monkeypatch.setattr(keepers, "IN_FLIGHT_S", 0.0)
    keeper._replaced = (first, 0.0)
    keeper._round()
    assert first.closed
    assert not keeper.teller.closed


def test_a_till_that_the_books_took_for_dead_is_replaced(keeper):
    keeper._round()
    first = keeper.teller
    first.stopping = True
    keeper._round()
    assert keeper.teller is not first


def test_a_till_that_cannot_be_tended_yet_is_kept_and_no_journal_is_made_for_each_try(
    keeper, monkeypatch
):
    opened: list[Till] = []

    def open_teller(now: Any) -> Till:
        opened.append(Till())
        return opened[-1]

    class Away:
        def tend(self, teller: Till, *, told: Any, now: Any) -> None:
            raise OSError

    monkeypatch.setattr(keepers.facade, "open_teller", open_teller)
    monkeypatch.setattr(keepers.facade, "Rounds", Away)
    for _ in range(3):
        with pytest.raises(OSError):
            keeper._round()
        assert keeper.teller is None
    monkeypatch.setattr(keepers.facade, "Rounds", Rounds)
    keeper._round()
    assert [keeper.teller] == opened
    keeper._round()
    assert len(opened) == 1


def test_a_worker_that_ends_closes_both_tills(keeper):
    keeper._round()
    first = keeper.teller
    first.journal.position = keepers.ROLL_BYTES + 1
    keeper._round()
    second = keeper.teller
    keeper.stop()
    assert first.closed
    assert second.closed


class KnowsNobody:
    """A keeper whose till has not heard of any key yet."""

    teller = None
    keys: dict[bytes, Any] = {}


def test_a_key_made_a_moment_ago_is_looked_up_in_the_database(
    company: Any, secret: Any
) -> None:
    from o10.problems import render_problem
    from policies.plane.app import PlaneApp

    app = PlaneApp(unreachable, render_problem, keeper=KnowsNobody())
    call = {"use_case": "support", "model": "gpt-x", "input_tokens": 5}
    assert Way(app, secret()).post("authorize:dry-run", call).status == 200
    stranger = Way(app, "o10_" + "S" * 43).post("authorize:dry-run", call)
    assert (stranger.status, stranger.told["code"]) == (401, "unauthorized")
