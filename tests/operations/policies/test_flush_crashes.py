"""Is each record booked exactly once, at whichever statement the bookkeeper dies?"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.db import connections

from o10.kernel import ids
from policies.facade import check_conservation
from policies.models import AnswerLog, DecisionLog, EnvelopeBalance, LeaseHolder, Reservation
from policies.operations.run_books import Rounds
from tests.machines.crash import dies_at
from tests.machines.replay import findings_of_entries

from .company import DOLLAR, NOW, make_tree, pay
from .scribe import HOST, Scribe

X, C, OVER = 15_000_000, 7_650_000, 30_000_000
POINTS = 400
"""More than a round has; the test ends with the first round that does not reach its point."""
EACH = 2
"""The point after a statement is the one before the next."""


@dataclass
class Story:
    """Two workers, and what the books must say after all they wrote."""

    folder: Path
    first: Scribe
    second: Scribe
    settled: int = 0
    unguarded: int = 0
    held: int = 0
    decisions: int = 0
    answers: int = 0
    open: list[int] = field(default_factory=list)

    def go_on(self, number: int) -> None:
        """A few calls of every kind, some of which began in the round before."""
        first, second = self.first, self.second
        lease = first.borrow(3 * X)
        self.held += 3 * X
        ended, over, still = (
            first.allow(lease, request_id=f"{number}-{each}") for each in range(3)
        )
        first.settle(ended)
        self.pay(C, C)
        # What the lease has free pays X - C of it, the rest is an overrun.
        first.settle(over, usage=(1_200, 1_800))
        self.pay(OVER, X + (X - C))
        first.deny(use_case="unknown")
        for sequence in self.open:
            second.settle(sequence, of=first)
            self.pay(C, C)
        self.open = [still]
        other = second.borrow(2 * X)
        second.settle(second.allow(other))
        self.pay(C, C)
        let = second.allow(other)
        second.release(let)
        self.answers += 1
        self.held += 2 * X - second.give_back(other)
        self.decisions += 6

    def pay(self, cost: int, covered: int) -> None:
        self.settled += cost
        self.held -= covered
        self.unguarded += cost - covered
        self.answers += 1

    def check(self) -> None:
        row = EnvelopeBalance.objects.order_by("envelope_id").first()
        assert row is not None
        found = row.settled_nanos, row.held_nanos, row.unguarded_nanos
        assert found == (self.settled, self.held, self.unguarded)
        assert DecisionLog.objects.count() == self.decisions
        assert Reservation.objects.filter(state="open").count() == len(self.open)
        assert AnswerLog.objects.count() == self.answers
        assert list(LeaseHolder.objects.values_list("put_aside", flat=True).distinct()) == [0]


@pytest.fixture
def story(committed_books, tmp_path: Path) -> Story:
    make_tree(company=10**6 * DOLLAR, department=10**6 * DOLLAR, use_case=10**6 * DOLLAR)
    return Story(tmp_path, Scribe(tmp_path), Scribe(tmp_path))


def rounds_of(story: Story) -> Rounds:
    connections["default"].ensure_connection()
    return Rounds(host=HOST, folder=story.folder, now=lambda: NOW)


def run(rounds: Rounds) -> None:
    """Rounds until nothing waits."""
    while rounds.round() or any(each.tail.pending for each in rounds.followed.values()):
        pass


def test_a_death_at_any_statement_loses_nothing_and_doubles_nothing(story):
    deaths = 0
    for point in range(0, POINTS, EACH):
        story.go_on(point)
        rounds = rounds_of(story)
        with dies_at(point) as death:
            run(rounds)
        rounds.close()
        connections["default"].close()
        deaths += death.happened
        rounds = rounds_of(story)
        run(rounds)
        rounds.close()
        story.check()
        if not death.happened:
            break
    assert 30 < deaths < POINTS / EACH
    assert findings_of_entries() == []
    assert check_conservation() == []


def test_a_record_alone_survives_a_death_at_any_statement(story):
    """The strict rules are one transaction too."""
    deaths = 0
    for point in range(0, POINTS, EACH):
        lease = story.first.borrow(2 * X)
        sequence = story.first.allow(lease)
        run(rounds_of(story))
        story.held += 2 * X
        story.decisions += 1
        name = {"reservation": {"id": ids.id_of("rsv", story.first.reservation(sequence))}}
        # Billed in part elsewhere: it has left the lease when its last bill comes.
        pay(name, usage=(0, 100), final=False)
        story.pay(1_500_000, 1_500_000)
        story.first.settle(sequence, attempt=2)
        story.settled, story.answers = story.settled + C, story.answers + 1
        # The last bill frees the whole hold.
        story.held -= X - 1_500_000
        rounds = rounds_of(story)
        with dies_at(point) as death:
            run(rounds)
        rounds.close()
        connections["default"].close()
        deaths += death.happened
        run(rounds_of(story))
        story.check()
        if not death.happened:
            break
    assert 15 < deaths < POINTS / EACH
    assert findings_of_entries() == []
    assert check_conservation() == []
