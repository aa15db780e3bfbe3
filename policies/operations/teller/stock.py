"""Who has money here before he calls? The users below an envelope that many of them use.

Ten thousand users make ten thousand first calls; a transaction for each of them makes them
wait for one another, since all lock one tree. So when some have had to borrow, the keeper
borrows for the others, some hundred in one transaction, each once. A user's first call then
finds money.
All workers together lay up a quarter of what the parent has left, and leave each user half of
his own; what they hold comes back when somebody is short of it.
Source: decision-plane.md section 3.3; docs/algorithms/lease-slices.md.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Final

from o10.kernel.errors import ServiceUnavailable
from o10.kernel.money import Nanos
from policies.core.envelope import binding
from policies.core.slices import NEAR, fair_share, small_slice
from policies.core.snapshot import Place
from policies.core.till import UNBOUNDED
from policies.operations import statements
from policies.operations.balances import READ_BALANCES, Cells, in_path_order
from policies.operations.grant_exact import PolicyChanged
from policies.operations.grant_lease import HolderEnded, Lent, Size, Wanted, grant_many
from policies.operations.questions import cells_of
from policies.operations.teller.crowd import Crowd
from policies.operations.teller.loans import SMALL_TTL_S, WAIT_MS, take_over
from policies.operations.teller.look import look_at
from policies.operations.teller.teller import Teller, lease_id
from policies.operations.teller.till import Till

BUSY: Final = 8
"""So many users had to borrow when they called: then the others get money ahead."""
LIST_EVERY_S: Final = 5.0
LEAST: Final = 8
MOST: Final = 256
HOLD_MOST_S: Final = 0.03
"""So long a batch may keep the tree from others; longer, and the next one is smaller."""
MOST_USERS: Final = 20_000
"""Of more users below one envelope each borrows when he calls: memory has an end."""


def stock_up(teller: Teller, *, now: datetime) -> None:
    """Borrows one batch for each crowd that is waited for.

    Raises: the errors of django.db; the next round goes on.
    """
    if teller.stopping or teller.known is None or teller.is_far_ahead():
        return
    for crowd in list(teller.crowds.values()):
        if not crowd.todo and crowd.touched >= BUSY:
            _list(teller, crowd, now)
        if crowd.todo:
            _stock(teller, crowd, now)


def _list(teller: Teller, crowd: Crowd, now: datetime) -> None:
    """Who is there to be given money, and had none so far?"""
    at = teller.monotonic()
    if teller.known is None or at - crowd.listed_at < LIST_EVERY_S:
        return
    crowd.listed_at, crowd.touched = at, 0
    snapshot = teller.known.policy.snapshot
    users = snapshot.leaves_below(crowd.above.path[-1].id, at=now)
    crowd.size = max(1, len(users))
    if len(users) <= MOST_USERS:
        crowd.todo.extend(each.id for each in users if each.id not in crowd.done)


def _stock(teller: Teller, crowd: Crowd, now: datetime) -> None:
    parent = binding(look_at(crowd.above, crowd.cells))
    left = UNBOUNDED if parent is None else parent.available
    begun = teller.monotonic()
    with ExitStack() as held:
        tills = _next_tills(teller, crowd, held, now)
        lent = _lent(crowd, tills)
        wanted = [
            Wanted(
                cells=till.cells,
                place=till.place,
                size=_size(crowd, parent_left=left, lent=lent.get(till.cells.leaf, 0)),
                least=max(1, crowd.dearest),
                lease=lease_id(teller.fence),
                use_case_id=crowd.use_case,
            )
            for till in tills
        ]
        try:
            answers = grant_many(
                wanted=wanted,
                fence=teller.fence,
                ttl_s=SMALL_TTL_S,
                actor_id=0,
                policy_version=teller.known.policy.snapshot.version if teller.known else 0,
                now=now,
                wait_ms=WAIT_MS,
            )
        except PolicyChanged:
            # Something was changed a moment ago: these borrow for themselves.
            teller.want_news()
            return
        except ServiceUnavailable:
            crowd.most = max(LEAST, crowd.most // 2)
            return
        except HolderEnded:
            teller.stopping = True
            return
        for till, answer in zip(tills, answers, strict=True):
            if isinstance(answer, Lent):
                till.use_case, till.used_at = crowd.use_case, begun
                take_over(teller, till, answer, begun=begun, now=now)
    lasted = teller.monotonic() - begun
    crowd.most = max(LEAST, crowd.most // 2) if lasted > HOLD_MOST_S else crowd.most * 2
    crowd.most = min(MOST, crowd.most)


def _lent(crowd: Crowd, tills: Sequence[Till]) -> dict[int, Nanos]:
    """How much of each of them is lent already, to other workers? A look without a lock."""
    cells = Cells(
        crowd.cells.root,
        tuple(till.cells.leaf for till in tills),
        tuple(till.cells.periods[-1] for till in tills),
    )
    found = in_path_order(cells, statements.rows(READ_BALANCES, cells.as_arrays))
    return {each.envelope_id: each.held for each in found if each is not None}


def _size(crowd: Crowd, *, parent_left: Nanos, lent: Nanos) -> Size:
    """How much does one of them get? 0 where a few calls would use up what there is."""
    dear = max(1, crowd.dearest)

    def size(remaining: int | None, active: int) -> Nanos:
        if remaining is None:
            return 0
        most = small_slice(
            remaining=remaining,
            active_workers=max(2, active),
            w99=dear,
            worst=dear,
            lent=lent,
        )
        most = min(most, fair_share(parent_left, users=crowd.size, active_workers=active))
        return most if most >= NEAR // 2 * dear else 0

    return size


def _next_tills(teller: Teller, crowd: Crowd, held: ExitStack, now: datetime) -> list[Till]:
    """For whom is borrowed next? Nobody else borrows for them until `held` is left."""
    tills: list[Till] = []
    snapshot = teller.known.policy.snapshot if teller.known else None
    while snapshot is not None and crowd.todo and len(tills) < crowd.most:
        user = crowd.todo.popleft()
        crowd.done.add(user)
        rule = snapshot.envelopes.get(user)
        place = snapshot.place_at(rule, now) if rule is not None else None
        if not isinstance(place, Place) or any(each.state != "active" for each in place.path):
            continue
        cells = cells_of(place)
        if cells.envelopes[:-1] != crowd.cells.envelopes:
            continue
        till = teller.till_of(place, cells, version=snapshot.version)
        if till.book is None and till.refill.acquire(blocking=False):
            held.callback(till.refill.release)
            tills.append(till)
    return tills
