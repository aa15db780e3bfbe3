"""Which rules about money hold at every commit, in every worker and after every crash?

P1 to P8 of the decision plane, each a check over plain values: it answers with what breaks it,
nothing when it holds. The live database is put to them by `policies.queries.live_invariants`,
the ledger's entries by `policies.queries.conservation` and, without us, by the verifier (I1 to
I5), a worker's memory by the tests of its book.
Why no cap can be passed: a reservation moves money inside a lease; only a grant raises
exposure, and it holds the rows of every level while it compares (P1). What a worker reserves is
never more than it was lent (P2), so workers cannot jointly pass what they were lent.
Units: nanos of the ledger's currency; seconds where a name ends so.
Source: decision-plane.md section 3.1; docs/algorithms/leases.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from o10.kernel.money import Nanos
from policies.core.envelope import Balance
from policies.core.lending import LeaseSums, state_after

STOP_BEFORE_S = 2
"""Seconds before the end of a lease from which on nothing is reserved in it."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Which rule is broken where, and by how much?

    Shape: `rule` P1 to P8; `where` names the envelope and period, lease or reservation;
    `column` is the figure that is wrong.
    """

    rule: str
    where: str
    column: str
    expected: str
    found: str


# ---- P1: no cap is passed -------------------------------------------------------------


def guarded_exposure_within_limit(balance: Balance, *, where: str) -> Iterator[Breach]:
    """P1, at every commit and level: settled - unguarded + held + unsettled <= limit."""
    if balance.limit is not None and balance.guarded_exposure > balance.limit:
        yield _more("P1", where, "guarded exposure", balance.limit, balance.guarded_exposure)


def exposure_within_cap_after_grant(balance: Balance, *, where: str) -> Iterator[Breach]:
    """P1, after each grant: settled + held + unsettled + contingency <= cap."""
    if balance.cap is None:
        return
    exposed = balance.exposure + balance.contingency
    if exposed > balance.cap:
        yield _more("P1", where, "exposure after a grant", balance.cap, exposed)


# ---- P2: a lease pays for what is reserved in it --------------------------------------


def lease_covers_its_reservations(
    sums: LeaseSums, *, open_inside: Nanos, where: str
) -> Iterator[Breach]:
    """P2: open reservations + settled from it + expired + returned <= granted."""
    taken = open_inside + sums.settled + sums.expired + sums.returned
    if taken > sums.granted:
        yield _more("P2", where, "granted", sums.granted, taken)
    for column in ("granted", "returned", "settled", "expired", "late", "written_off"):
        value = getattr(sums, column)
        if value < 0:
            yield Breach("P2", where, column, "0 or more", str(value))


def book_adds_up(
    *,
    granted: Nanos,
    free: Nanos,
    open_inside: Nanos,
    settled: Nanos,
    gone: Nanos,
    where: str,
) -> Iterator[Breach]:
    """P2 in a worker's memory: free + open + settled + gone = granted, nothing below 0.

    `gone` = given back, or dropped because the call ended outside.
    """
    total = free + open_inside + settled + gone
    if total != granted:
        yield Breach("P2", where, "granted", str(granted), str(total))
    least = min(free, open_inside, settled, gone)
    if least < 0:
        yield Breach("P2", where, "a part of the book", "0 or more", str(least))


# ---- P3: the levels of a path agree ---------------------------------------------------


def parent_holds_its_children(
    *, parent: Nanos, children: Nanos, column: str, where: str
) -> Iterator[Breach]:
    """P3: a parent holds at least what its children hold together, and so for unsettled.

    `children` = the sum over periods that lie within the parent's.
    """
    if children > parent:
        yield Breach("P3", where, column, f"at least {children}", str(parent))


def held_money_has_an_owner(
    *, held: Nanos, owned: Nanos, column: str, where: str
) -> Iterator[Breach]:
    """P3: what a level holds is the rest of its leases and its holds, no more and no less.

    Levels of a path move by the same amount in one commit, so this is true at each of them.
    """
    if held != owned:
        yield Breach("P3", where, column, str(held), str(owned))


# ---- P4: a reservation ends exactly once ----------------------------------------------

ENDED = frozenset({"settled", "released", "written_off"})


def ended_reservation_holds_nothing(
    *, state: str, open_nanos: Nanos, where: str
) -> Iterator[Breach]:
    """P4: once it has ended nothing is held for it any more."""
    if state in ENDED and open_nanos != 0:
        yield Breach("P4", where, "open", "0", str(open_nanos))


def reservation_ends_once(endings: Sequence[str], *, where: str) -> Iterator[Breach]:
    """P4: of final settle, release and expiry there is one at most.

    An expiry may be followed by one late settle, or by a write-off and then late settles that
    nothing guards any more.
    """
    early = [each for each in endings if each in ("settle", "release", "expire")]
    if len(early) > 1:
        yield Breach("P4", where, "endings", "one", ", ".join(early))
    for kind in ("write_off", "late_settle"):
        if endings.count(kind) > 1:
            yield Breach("P4", where, "endings", f"one {kind}", str(endings.count(kind)))
    if ("write_off" in endings or "late_settle" in endings) and "expire" not in endings:
        yield Breach("P4", where, "endings", "an expiry before", ", ".join(endings))


# ---- P5: a crash makes no money -------------------------------------------------------


def ended_lease_conserves(sums: LeaseSums, *, state: str, where: str) -> Iterator[Breach]:
    """P5: a closed lease was settled, returned or expired, and all expired money resolved.

    granted = settled + returned + expired, and expired = settled late + written off.
    """
    should = state_after(sums=sums, state=state)
    if should != state:
        yield Breach("P5", where, "state", should, state)
    if sums.unsettled < 0:
        yield Breach("P5", where, "expired", f"at least {-sums.unsettled} more", "resolved")


# ---- P6: a hold pays for the answer given ---------------------------------------------


def hold_covers_the_worst_case(*, amount: Nanos, worst: Nanos, where: str) -> Iterator[Breach]:
    """P6: worst case (price version, input bound, granted output) <= reserved."""
    if amount < worst:
        yield Breach("P6", where, "amount", f"at least {worst}", str(amount))


# ---- P7: nothing is reserved in a lease that may have ended ---------------------------


def reserved_within_the_lease(
    *, at_s: float, lent_until_s: float, where: str
) -> Iterator[Breach]:
    """P7: no reserve from two seconds before the end of the lease on.

    Both are seconds of the holder's monotonic clock, counted from before it asked for the
    lease: no clock of another machine, and no step of its own, can make it late.
    """
    if at_s > lent_until_s - STOP_BEFORE_S:
        yield Breach(
            "P7", where, "reserved at", f"before {lent_until_s - STOP_BEFORE_S}", f"{at_s}"
        )


# ---- P8: what passes a cap has a name -------------------------------------------------


def excess_is_counted_apart(balance: Balance, *, where: str) -> Iterator[Breach]:
    """P8: spend passes a cap by unguarded money only, which is its own kind and figure.

    Overruns, late settles of what was written off, usage reported after the fact and
    adjustments are all `unguarded`. After a cap was cut below the exposure, the limit is that
    exposure and falls as leases come back.
    """
    if balance.cap is None:
        return
    lawful = max(balance.cap, balance.limit or 0)
    excess = balance.exposure - lawful
    if excess > max(0, balance.unguarded):
        yield _more("P8", where, "unguarded", balance.unguarded, excess)


def _more(rule: str, where: str, column: str, most: Nanos, found: Nanos) -> Breach:
    return Breach(rule, where, column, f"at most {most}", str(found))
