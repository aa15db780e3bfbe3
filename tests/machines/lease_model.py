"""Does leased money keep its invariants in every order of everything? A search of all states.

`check` says what must hold of one state, `check_end` where nothing can happen any more, and
`search` looks at every state that can be reached, nearest first.
"""

from collections import deque
from typing import Any, NamedTuple

from o10.lease.book import BookBroken, NotOpen
from tests.machines.lease_moves import steps
from tests.machines.lease_world import State, Violation, World, begin, book_of, open_in


def check(world: World, state: State) -> None:
    """P1-P5 and P8 of one state. P1 is also checked at each move."""
    _check_balances(world, state)
    for number, lease in enumerate(state.leases):
        if min(lease[2:8]) < 0 or lease.pot < 0 or lease.rest < open_in(state, number):
            raise Violation(f"P2: more left lease {number} than it had: {lease}")
    for number, call in enumerate(state.calls):
        if call.ends > 1:
            raise Violation(f"P4: call {number} ended {call.ends} times")
    if state.rows[0].unguarded > state.legit:
        raise Violation("P8: the cap was passed by more than providers and late proofs did")
    _check_agreement(world, state)


def _check_balances(world: World, state: State) -> None:
    """P3 and the replay: every level is the sum of what is below it."""
    sums = [[0, 0] for _ in state.rows]
    for lease in state.leases:
        for at in world.paths[lease.leaf]:
            sums[at][0] += lease.rest
            sums[at][1] += lease.pot
    for call in state.calls:
        if call.row in ("sql", "aside"):
            for at in world.paths[state.leases[call.lease].leaf]:
                sums[at][call.row == "aside"] += call.amount
    for at, row in enumerate(state.rows):
        if [row.held, row.unsettled] != sums[at] or min(row) < 0:
            raise Violation(f"P3: balance {at} is not what its leases and holds say: {row}")


def _check_agreement(world: World, state: State) -> None:
    """Once nothing is on its way, holder and books say the same of a lease."""
    for number, lease in enumerate(state.leases):
        if lease.state != "open":
            continue
        worker = state.workers[lease.worker]
        home = world.hosts[lease.worker]
        book = book_of(state, lease.worker, number)
        if book is None or worker.told or state.away[home]:
            continue
        if any(
            each.journal for at, each in enumerate(state.workers) if world.hosts[at] == home
        ):
            continue
        held = sum(amount for _, amount in book[2])
        known = tuple(
            (each, call.amount)
            for each, call in enumerate(state.calls)
            if call.lease == number and call.row == "lease"
        )
        # What a stopped book had waiting is given back on trust: the books take what is there.
        agreed = book[8] or book[1] + book[4] + held == lease.rest
        if not agreed or book[2] != known:
            raise Violation(f"P2: holder and books differ about lease {number}: {book} {lease}")


def check_end(state: State) -> None:
    """P5 where nothing can happen any more."""
    for number, lease in enumerate(state.leases):
        if lease.rest or lease.pot:
            raise Violation(f"P5: money is lost in lease {number}: {lease}")
    for at, row in enumerate(state.rows):
        if row.held or row.unsettled:
            raise Violation(f"P5: money is lost in balance {at}: {row}")


class Found(NamedTuple):
    """What did a search see? `trace` leads to the violation, empty when there is none."""

    states: int
    moves: int
    ends: int
    whole: bool
    kinds: frozenset[str]
    violation: str = ""
    trace: tuple[str, ...] = ()


def search(world: World, *, most: int) -> Found:
    """Every state that can be reached, nearest first, up to so many."""
    first = begin(world)
    came: dict[State, tuple[State, tuple[Any, ...]] | None] = {first: None}
    queue = deque([first])
    moves = ends = 0
    kinds: set[str] = set()
    while queue:
        state = queue.popleft()
        before = moves
        try:
            check(world, state)
            for label, after in steps(world, state):
                moves += 1
                kinds.add(label[0])
                if after not in came:
                    came[after] = (state, label)
                    queue.append(after)
            if moves == before:
                ends += 1
                check_end(state)
        except (Violation, BookBroken, NotOpen) as violation:
            trace = tuple(_trace(came, state))
            return Found(len(came), moves, ends, False, frozenset(kinds), str(violation), trace)
        if len(came) > most:
            return Found(len(came), moves, ends, False, frozenset(kinds))
    return Found(len(came), moves, ends, True, frozenset(kinds))


def _trace(came: dict[State, tuple[State, tuple[Any, ...]] | None], state: State) -> list[str]:
    labels: list[str] = []
    while (step := came[state]) is not None:
        state, label = step
        labels.append(" ".join(map(str, label)))
    return labels[::-1]
