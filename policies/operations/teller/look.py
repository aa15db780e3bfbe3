"""What do the balances of a place say now? A look without a lock."""

from policies.core.envelope import Balance
from policies.core.snapshot import Place
from policies.operations import statements
from policies.operations.balances import READ_BALANCES, Cells, in_path_order


def look_at(place: Place, cells: Cells) -> tuple[Balance, ...]:
    """How much of each level is used? Root first; a period that has not begun is empty."""
    found = in_path_order(cells, statements.rows(READ_BALANCES, cells.as_arrays))
    return tuple(
        balance or Balance(envelope_id=rule.id, cap=rule.cap_nanos, epoch=rule.epoch)
        for rule, balance in zip(place.path, found, strict=True)
    )
