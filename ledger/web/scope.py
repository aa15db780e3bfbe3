"""Which part of the ledger may this caller read? A key with use cases reads those alone."""

from ledger import facade
from o10.access.keys import Caller
from o10.kernel.errors import Forbidden, NotFound

_NONE = (-1,)
"""A number no use case has: the filter of a key whose use cases have no entries yet."""


def numbers_in_scope(caller: Caller) -> tuple[int, ...]:
    """Which use-case numbers may the caller read? Empty = all."""
    if caller.use_case_slugs is None:
        return ()
    known = facade.numbers_of(
        domain=facade.Domain.USE_CASE, field="slug", values=caller.use_case_slugs
    )
    return tuple(sorted(known.values())) or _NONE


def check_in_scope(caller: Caller, stored: facade.StoredEntry) -> None:
    """May the caller read this entry?

    Raises: NotFound (`not_found`): outside its scope a key does not learn what exists.
    """
    numbers = numbers_in_scope(caller)
    if numbers and stored.entry.use_case_id not in numbers:
        raise NotFound(kind="entry")


def check_whole_ledger(caller: Caller) -> None:
    """May the caller read entries of every use case?

    Raises: Forbidden (`forbidden`).
    """
    if caller.use_case_slugs is not None:
        raise Forbidden(action="read_whole_ledger", role=caller.role.value)
