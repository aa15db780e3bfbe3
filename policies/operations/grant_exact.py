"""Where is money held so that a cap cannot be passed? One call, one transaction. ← THE CAP

The tree row is locked first, then the balance rows in order; only then, in a statement of its
own, what is left is read, the call is decided again on that truth, and the worst case is added
to `held` at every level at once. The CHECK of `envelope_balance` stands behind it.
Source: decision-plane.md section 3; docs/algorithms/envelopes.md.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from ledger import facade as ledger
from o10.kernel.errors import Unavailable
from policies.core.decide import Ruling, decide
from policies.core.levers import throttles
from policies.core.question import Left
from policies.core.snapshot import Place
from policies.operations.balances import Move, lock, move, raise_version
from policies.operations.open_periods import open_periods
from policies.operations.questions import Asked, hour_left, run_spent
from policies.operations.throttle import take_of_hour


class PolicyChanged(Unavailable):
    """Did the policy change while this call was being decided? It is decided again."""

    code = "unavailable"


@dataclass(frozen=True, slots=True)
class Granted:
    """What was decided under the lock?

    When the ruling `holds`, its worst case is held at every level; `version` is the version of
    the tree. `drafts` tell of periods that began.
    """

    ruling: Ruling
    left: Left
    version: int
    drafts: tuple[ledger.Draft, ...]


def grant_exact(
    *, asked: Asked, place: Place, actor_id: int, now: datetime, replaced: int = 0
) -> Granted:
    """Does the call still fit now that nobody else can move this money? Then hold it.

    `replaced` nanos are held for this call already (an extend): only the difference is taken.
    Must run in a transaction.
    Raises: PolicyChanged when an envelope of the path was changed since the policy was read.
    Locks: tree row, balance rows by envelope id and period.
    """
    locked = lock(asked.cells)
    opened = open_periods(
        cells=asked.cells, periods=place.periods, locked=locked, actor_id=actor_id, now=now
    )
    for rule, balance in zip(place.path, opened.path, strict=True):
        # A row of an ended period keeps the epoch it ended with; it never is ahead of us then.
        if balance.epoch > rule.epoch:
            raise PolicyChanged(what="the policy", retry_after_s=1)
    left_now = Left(tuple(opened.path), run_spent(asked), hour_left(asked))
    left_now = without(left_now, replaced)
    ruling = decide(question=asked.question, snapshot=asked.policy.snapshot, left=left_now)
    if ruling.holds and ruling.worst is not None:
        taken = max(0, ruling.worst.nanos - replaced)
        move(
            cells=asked.cells,
            version=locked.version,
            change=Move(held=taken),
            taken=taken,
            opened=len(opened.drafts),
        )
        if left_now.hour is not None and asked.rule is not None:
            take_of_hour(throttles(asked.rule), nanos=taken, at=now)
    elif opened.drafts:
        raise_version(cells=asked.cells, version=locked.version)
    return Granted(ruling, left_now, locked.version, opened.drafts)


def without(left_now: Left, held: int) -> Left:
    """What would be left if these held nanos had not been taken?"""
    if not held:
        return left_now
    path = tuple(replace(balance, held=balance.held - held) for balance in left_now.path)
    hour = None if left_now.hour is None else left_now.hour + held
    return Left(path, left_now.run - held if left_now.run else 0, hour)
