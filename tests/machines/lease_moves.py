"""What may happen to leased money next? Every order of these moves is searched.

A journal is booked record by record, whenever; signals arrive in order, whenever; a host goes
away with its journals, and comes back. The strict port of any host may end or detach any call
that the truth knows. Seeded mistakes (`World.bug`) stand where the rule stands they break.
"""

from collections.abc import Callable, Iterator
from typing import Any

from o10.lease.book import Book, Reuse
from tests.machines.lease_world import (
    LEASE,
    Call,
    Lease,
    Row,
    State,
    Violation,
    World,
    book_of,
    call_with,
    do,
    frozen,
    lease_with,
    move,
    open_in,
    put,
    tell,
    with_book,
    worker_with,
    write,
)

# ------------------------------------------------------------------ what workers do

Step = tuple[tuple[Any, ...], State]
"""What happened, in words, and what is the case then."""


def _grants(world: World, state: State) -> Iterator[Step]:
    if len(state.leases) >= world.leases:
        return
    number = len(state.leases)
    for worker, holder in enumerate(state.workers):
        if not holder.alive or state.away[world.hosts[worker]]:
            continue
        for leaf, path in enumerate(world.paths):
            if not number and (worker or (leaf and world.alike)):
                continue  # Workers are alike, and often leaves: one first lease stands for all.
            left = min(_left(world, state.rows[at]) for at in path)
            for size in [each for each in world.sizes if each <= left]:
                lent = move(world, _raised(state, path, size), leaf, held=size)
                for at in path:
                    if lent.rows[at].exposure > lent.rows[at].cap:
                        raise Violation(f"P1: a grant passed the cap of {at}")
                lent = lent._replace(leases=(*lent.leases, Lease(leaf, worker, size)))
                book = frozen(Book(lease=LEASE, granted=size, good_until=1.0))
                yield (
                    ("grant", number, ":", size, "of leaf", leaf, "to", worker),
                    worker_with(
                        lent, worker, holder._replace(books=(*holder.books, (number, book)))
                    ),
                )


def _left(world: World, row: Row) -> int:
    if world.bug == "ignore held money":
        return row.cap - row.settled - row.unsettled
    return row.cap - row.exposure + (world.bug == "off-by-one cap")


def _raised(state: State, path: tuple[int, ...], size: int) -> State:
    """Takes the ratchet out of the way of a wrong grant, so that P1 itself must catch it."""
    rows = list(state.rows)
    for at in path:
        rows[at] = rows[at]._replace(limit=max(rows[at].limit, rows[at].exposure + size))
    return state._replace(rows=tuple(rows))


def _lives(world: World, state: State) -> Iterator[Step]:
    """Calls begin, leases are given back, workers crash."""
    for at, worker in enumerate(state.workers):
        if not worker.alive:
            continue
        for lease, book in worker.books:
            yield from _begins(world, state, at, lease, book)
            if book[1]:
                yield ("give back", lease), _give(world, state, at, lease, book)
            if not book[8]:
                stopped, _ = do(world, book, "stop")
                retired = with_book(state, at, lease, stopped)
                yield ("retire", lease), _give(world, retired, at, lease, stopped)
                if state.away[world.hosts[at]]:
                    yield ("lapse", lease), retired
            elif book[4]:
                yield ("give back", lease), _give(world, state, at, lease, book)
        if state.left.crashes:
            dead = worker_with(state, at, worker._replace(alive=0, books=(), told=()))
            yield (
                ("crash", at),
                dead._replace(left=state.left._replace(crashes=state.left.crashes - 1)),
            )


def _begins(
    world: World, state: State, worker: int, lease: int, book: tuple[Any, ...]
) -> Iterator[Step]:
    number = len(state.calls)
    if number == world.calls:
        return
    for amount in world.amounts:
        after, allowed = do(world, book, "reserve", number, amount)
        if allowed:
            if state.leases[lease].state != "open":
                raise Violation(f"P7: lease {lease} has ended and still lends")
            begun = with_book(state, worker, lease, after)
            begun = begun._replace(calls=(*state.calls, Call(lease, amount)))
            yield ("reserve", number, ":", amount), write(begun, worker, "R", number)


def _give(world: World, state: State, worker: int, lease: int, book: tuple[Any, ...]) -> State:
    after, gone = do(world, book, "give_back")
    given = with_book(state, worker, lease, after)
    return write(given, worker, "G", lease, gone) if gone else given


def _endings(world: World, state: State) -> Iterator[Step]:
    """A bill or a release at any worker of the host, claimed once."""
    for number, call in enumerate(state.calls):
        lease = state.leases[call.lease]
        if call.timed or (call.claimed and world.bug != "lose idempotency"):
            continue
        if call.claimed and call.ends > 1:
            continue
        for at, worker in enumerate(state.workers):
            if not worker.alive or world.hosts[at] != world.hosts[lease.worker]:
                continue
            if not state.workers[lease.worker].alive:
                continue
            book = book_of(state, at, call.lease) if at == lease.worker else None
            for cost in world.costs:
                ended, covered = state, min(cost, call.amount)
                if book is not None and number in dict(book[2]):
                    if cost:
                        after, covered = do(world, book, "settle", number, cost)
                    else:
                        after, _ = do(world, book, "release", number)
                    ended = with_book(state, at, call.lease, after)
                ended = call_with(ended, number, claimed="here")
                yield (
                    ("end", number, "at", at, ":", cost),
                    write(ended, at, "S", number, cost, covered),
                )


def _hearing(world: World, state: State) -> Iterator[Step]:
    for at, worker in enumerate(state.workers):
        if not worker.told or state.away[world.hosts[at]]:
            continue
        verb, number, *rest = worker.told[0]
        heard = worker_with(state, at, worker._replace(told=worker.told[1:]))
        lease = state.calls[number].lease
        book = book_of(state, at, lease)
        if book is not None and _knows(book, number):
            verb, rest = _as_reused(world, book, verb, number, rest)
            if verb:
                after, _ = do(world, book, verb, number, *rest)
                heard = with_book(heard, at, lease, after)
        yield ("hear", at, *worker.told[0]), heard


def _knows(book: tuple[Any, ...], number: int) -> bool:
    return number in dict(book[2]) or number in dict(book[3])


def _as_reused(
    world: World, book: tuple[Any, ...], verb: str, number: int, rest: list[Any]
) -> tuple[str, list[Any]]:
    return ("", []) if verb == "confirm" and number in dict(book[2]) else (verb, rest)


# ------------------------------------------------------------------ what the books do


def _bookings(world: World, state: State) -> Iterator[Step]:
    for at, worker in enumerate(state.workers):
        if not worker.journal or state.away[world.hosts[at]]:
            continue
        kind, number, *rest = worker.journal[0]
        read = worker_with(state, at, worker._replace(journal=worker.journal[1:]))
        if kind == "R":
            yield ("book reserved", number), _booked_reserve(read, number)
        elif kind == "G":
            yield ("book given back", number), _booked_return(world, read, number, rest[0])
        elif state.calls[number].row != "none":
            yield ("book ended", number), _booked_ending(world, read, at, number, *rest)


def _booked_reserve(state: State, number: int) -> State:
    call = state.calls[number]
    if call.row != "none":
        return state
    expired = state.leases[call.lease].state == "expired"
    return call_with(state, number, row="lost" if expired else "lease")


def _booked_return(world: World, state: State, number: int, amount: int) -> State:
    lease = state.leases[number]
    if lease.state == "expired":
        # Proven unused, but others may have been paid from the same pot: it waits.
        return state
    amount = min(amount, lease.rest - open_in(state, number))
    state = lease_with(state, number, returned=amount)
    return move(world, state, lease.leaf, held=-amount)


def _booked_ending(
    world: World, state: State, at: int, number: int, cost: int, covered: int
) -> State:
    call = state.calls[number]
    lease = state.leases[call.lease]
    by_hold = min(cost, call.amount)
    by_free = covered - by_hold
    again = 2 if world.bug == "double settle" else 1
    lost = call.row == "ended"
    if lost and world.bug != "lose idempotency":
        # Another ended it first: what the holder took from its free part is not needed.
        return _unspent(world, state, call.lease, by_free)
    if call.row in ("lease", "ended"):
        state = _ended(state, number, cost)
        if lease.state == "open":
            state = lease_with(state, call.lease, settled=covered * again)
            state = move(
                world,
                state,
                lease.leaf,
                settled=cost * again,
                held=-covered * again,
                unguarded=(cost - covered) * again,
            )
            if at != lease.worker:
                return tell(state, number, "hear", covered)
            if world.reuse is Reuse.WHEN_BOOKED:
                return tell(state, number, "confirm")
            return state
        # Nobody gives back any more: the remainder of the hold comes back here.
        back = call.amount - by_hold
        paid = min(by_free, lease.pot if lease.state == "expired" else by_free)
        state = lease_with(state, call.lease, settled=by_hold, returned=back)
        if lease.state == "expired":
            state = lease_with(state, call.lease, late=paid)
            held, unsettled = -call.amount, -paid
        else:
            state = lease_with(state, call.lease, settled=paid)
            held, unsettled = -call.amount - paid, 0
        return move(
            world,
            state,
            lease.leaf,
            settled=cost,
            held=held,
            unsettled=unsettled,
            unguarded=cost - by_hold - paid,
        )
    if call.row == "lost":
        return _late_in_lease(world, state, number, cost, covered)
    state = _unspent(world, state, call.lease, by_free)
    return _strict_end(world, state, number, cost)


def _unspent(world: World, state: State, number: int, amount: int) -> State:
    """Free money of a lease that its holder took for a bill which was not booked there."""
    lease = state.leases[number]
    if lease.state == "expired" or not amount or world.bug == "keep what was not spent":
        return state
    return move(world, lease_with(state, number, returned=amount), lease.leaf, held=-amount)


def _late_in_lease(world: World, state: State, number: int, cost: int, covered: int) -> State:
    """A bill of a call whose lease expired as a whole before the call was known."""
    call = state.calls[number]
    lease = state.leases[call.lease]
    paid = min(covered, lease.pot)
    state = lease_with(_ended(state, number, cost), call.lease, late=paid)
    if lease.written:
        # Somebody proves what was written off: the cap may be passed by it, and it is told.
        state = state._replace(legit=state.legit + max(0, min(cost, call.amount) - paid))
    return move(world, state, lease.leaf, settled=cost, unsettled=-paid, unguarded=cost - paid)


def _ended(state: State, number: int, cost: int) -> State:
    call = state.calls[number]
    state = state._replace(legit=state.legit + max(0, cost - call.amount))
    return call_with(state, number, row="ended", ends=call.ends + 1)


# ------------------------------------------------------------------ what others do in the truth


def _strict(world: World, state: State) -> Iterator[Step]:
    """A bill, or a longer hold, at the strict port of any host."""
    for number, call in enumerate(state.calls):
        if call.row in ("none", "ended") and not _is_promised(state, call):
            continue
        home = world.hosts[state.leases[call.lease].worker]
        for host in sorted(set(world.hosts)):
            if state.away[host] or (host == home and call.claimed == "here"):
                continue
            begun = call_with(state, number, claimed="strict") if host == home else state
            for cost in world.costs:
                yield (
                    ("strict end", number, "at host", host, ":", cost),
                    _strict_bill(world, begun, number, cost),
                )
            if call.row == "lease" and state.left.detaches:
                kept = begun._replace(
                    left=state.left._replace(detaches=state.left.detaches - 1)
                )
                yield ("detach", number, "at host", host), _detach(world, kept, number)


def _is_promised(state: State, call: Call) -> bool:
    """Does a token settle a call that nobody has booked, because its host is lost?"""
    return call.row == "none" and state.leases[call.lease].state == "expired"


def _strict_bill(world: World, state: State, number: int, cost: int) -> State:
    call = state.calls[number]
    lease = state.leases[call.lease]
    if call.row in ("none", "lost"):
        return _late_in_lease(world, state, number, cost, min(cost, call.amount))
    if call.row == "lease" and lease.state == "open":
        # The holder may still have it in its book: what is not used stays in the lease.
        covered = min(cost, call.amount)
        state = lease_with(_ended(state, number, cost), call.lease, settled=covered)
        state = move(
            world, state, lease.leaf, settled=cost, held=-covered, unguarded=cost - covered
        )
        return tell(state, number, "hear", covered)
    if call.row == "lease":
        state = _detach(world, state, number)
    return _strict_end(world, state, number, cost)


def _detach(world: World, state: State, number: int) -> State:
    call = state.calls[number]
    state = lease_with(state, call.lease, returned=call.amount)
    return tell(call_with(state, number, row="sql"), number, "drop")


def _strict_end(world: World, state: State, number: int, cost: int) -> State:
    """The end of a hold that is in no lease."""
    call = state.calls[number]
    paid = 0 if call.row == "gone" else min(cost, call.amount)
    amount = 0 if call.row == "gone" else call.amount
    if call.row == "gone":
        state = state._replace(legit=state.legit + min(cost, call.amount))
    return move(
        world,
        _ended(state, number, cost),
        state.leases[call.lease].leaf,
        settled=cost,
        held=-amount if call.row == "sql" else 0,
        unsettled=-amount if call.row == "aside" else 0,
        unguarded=cost - paid,
    )


def _time(world: World, state: State) -> Iterator[Step]:
    """Calls run out, are swept, are written off."""
    if any(not call.timed and call.row != "ended" for call in state.calls):
        late = tuple(call._replace(timed=1) for call in state.calls)
        yield ("time is up",), state._replace(calls=late)
    for number, call in enumerate(state.calls):
        lease = state.leases[call.lease]
        if call.row == "aside":
            gone = move(world, state, lease.leaf, unsettled=-call.amount)
            yield ("write off call", number), call_with(gone, number, row="gone")
        if not call.timed:
            continue
        if call.row == "sql" or (call.row == "lease" and _is_booked(world, state, number)):
            out = _detach(world, state, number) if call.row == "lease" else state
            out = move(world, out, lease.leaf, held=-call.amount, unsettled=call.amount)
            yield ("sweep", number), call_with(out, number, row="aside")


def _is_booked(world: World, state: State, number: int) -> bool:
    """Is no ending of this call on its way to the books? Of a lost host nobody waits for it."""
    lease = state.leases[state.calls[number].lease]
    home = world.hosts[lease.worker]
    if state.away[home]:
        return lease.state == "expired"
    if world.bug == "sweep what is not booked":
        return True
    return not any(
        record[0] == "S" and record[1] == number
        for at, worker in enumerate(state.workers)
        if world.hosts[at] == home
        for record in worker.journal
    )


def _ends(world: World, state: State) -> Iterator[Step]:
    """Dead holders are closed; leases of lost hosts expire, are written off; a cap is cut."""
    for at, worker in enumerate(state.workers):
        home = world.hosts[at]
        read = not worker.journal or world.bug == "close an unread journal"
        if read and not worker.alive and not worker.ended and not state.away[home]:
            yield ("close", at), _close(world, state, at)
    for number, lease in enumerate(state.leases):
        if lease.state == "expired" and lease.pot:
            freed = move(world, state, lease.leaf, unsettled=-lease.pot)
            yield ("write off", number), lease_with(freed, number, written=lease.pot)
        if lease.state == "open" and state.away[world.hosts[lease.worker]]:
            book = book_of(state, lease.worker, number)
            if book is None or book[8] or world.bug == "expire what still lends":
                yield ("expire", number), _expire(world, state, number)
    if state.left.cuts:
        root = state.rows[0]
        cap = max(0, root.cap - 2)
        guarded = root.exposure - root.unguarded
        rows = put(state.rows, 0, root._replace(cap=cap, limit=max(cap, guarded)))
        yield (
            ("cut",),
            state._replace(rows=rows, left=state.left._replace(cuts=state.left.cuts - 1)),
        )


def _hosts(world: World, state: State) -> Iterator[Step]:
    for host, is_away in enumerate(state.away):
        if is_away:
            yield ("back", host), state._replace(away=put(state.away, host, 0))
        elif state.left.aways:
            gone = state._replace(away=put(state.away, host, 1))
            yield (
                ("away", host),
                gone._replace(left=state.left._replace(aways=state.left.aways - 1)),
            )


def _close(world: World, state: State, at: int) -> State:
    state = worker_with(state, at, state.workers[at]._replace(ended=1))
    for number, lease in enumerate(state.leases):
        if lease.worker == at and lease.state == "open":
            back = lease.rest - open_in(state, number)
            state = lease_with(state, number, returned=back, state="closed")
            state = move(world, state, lease.leaf, held=-back)
    return state


def _expire(world: World, state: State, number: int) -> State:
    lease = state.leases[number]
    unknown = lease.rest - open_in(state, number)
    state = lease_with(state, number, expired=unknown, state="expired")
    return move(world, state, lease.leaf, held=-unknown, unsettled=unknown)


GROUPS: tuple[Callable[[World, State], Iterator[Step]], ...] = (
    _grants,
    _lives,
    _endings,
    _hearing,
    _bookings,
    _strict,
    _time,
    _ends,
    _hosts,
)


def steps(world: World, state: State) -> Iterator[Step]:
    """What can happen next?"""
    for group in GROUPS:
        yield from group(world, state)
