"""Which names of the ledger may other apps and the doors use?"""

from ledger.core.entry import (
    ZERO_UUID,
    Basis,
    Finish,
    Flag,
    Kind,
    Purpose,
    pack_flags,
    unpack_flags,
)
from ledger.core.entry import Entry as Draft
from ledger.models import APPEND_ONLY, MUTABLE, PERIOD_FROZEN, SELF_GRANTED
from ledger.operations.append import EntryExists, append
from ledger.operations.create_ledger import create_ledger
from ledger.operations.funnel import Mode, ReplayedEntry, Written, write
from ledger.operations.intern import Domain, bind, intern
from ledger.operations.keep_exposure import Effect, ExposureUnkept, set_exposure_keeper
from ledger.operations.put_document import put_document
from ledger.queries.entries import (
    EntryFilter,
    EntryPage,
    Neighbours,
    StoredEntry,
    find_by_uid,
    get_by_seq,
    get_by_uid,
    get_neighbours,
    list_entries,
    list_range,
)
from ledger.queries.ledgers import COMPANY_LEDGER, LedgerRow, find_ledger, ledger_of_company

SEALER_RIGHTS: dict[str, str] = {}

__all__ = [
    "APPEND_ONLY",
    "COMPANY_LEDGER",
    "MUTABLE",
    "PERIOD_FROZEN",
    "SEALER_RIGHTS",
    "SELF_GRANTED",
    "ZERO_UUID",
    "Basis",
    "Domain",
    "Draft",
    "Effect",
    "EntryExists",
    "EntryFilter",
    "EntryPage",
    "ExposureUnkept",
    "Finish",
    "Flag",
    "Kind",
    "LedgerRow",
    "Mode",
    "Neighbours",
    "Purpose",
    "ReplayedEntry",
    "StoredEntry",
    "Written",
    "append",
    "bind",
    "create_ledger",
    "find_by_uid",
    "find_ledger",
    "get_by_seq",
    "get_by_uid",
    "get_neighbours",
    "intern",
    "ledger_of_company",
    "list_entries",
    "list_range",
    "pack_flags",
    "put_document",
    "set_exposure_keeper",
    "unpack_flags",
    "write",
]
