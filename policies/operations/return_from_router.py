"""How does a router give a lease back that keeps no journal? In one transaction.

Locks: the tree, its balances in order, the lease.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.errors import NotFound
from o10.wire.leasing import Returned
from policies.models import LeaseHolder
from policies.operations.balances import lock, move
from policies.operations.leases import change_leases, find_leases, lock_leases
from policies.operations.return_lease import give_back


def return_from_router(
    *, lease: str, amount: int | None, caller: Caller, now: datetime
) -> Returned:
    """How much went back? At most what is lent and in no call that the books know of.

    `lease` is an id (`lse_…`) or a uuid. Units: nanos; `amount` None = all of it.
    Raises: NotFound (`not_found`) for a lease of nobody, or of another key.
    """
    number = _number(lease)
    before = find_leases([number]).get(number)
    mine = (
        before is not None
        and LeaseHolder.objects.filter(
            fence=before.fence, kind="router", caller=caller.key_id
        ).first()
    )
    if before is None or not mine:
        raise NotFound(kind="lease", id=lease[:40])
    with transaction.atomic():
        version = lock(before.cells).version
        row = lock_leases([number])[number]
        wanted = row.rest if amount is None else amount
        key = f"router#{row.returned}"
        parted = give_back(lease_row=row, amount=wanted, key=key, version=version, now=now)
        if parted.drafts:
            ledger.append(list(parted.drafts))
            move(cells=row.cells, version=version, change=parted.move)
            change_leases({number: parted.change}, now=now)
    back = parted.change.returned
    return Returned(returned=back, rest=row.rest - back)


def _number(lease: str) -> UUID:
    if lease.startswith("lse_"):
        return ids.uuid_of(lease, "lse")
    try:
        return UUID(lease)
    except ValueError as error:
        raise NotFound(kind="lease", id=lease[:40]) from error
