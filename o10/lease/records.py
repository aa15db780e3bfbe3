"""What does a holder write down of a call, before the answer leaves?

One record a thing that happened, in the journal of the process that answered. Everything the
books need is in the journal, so a crash is nothing special: whoever reads on books the same.
Records are MessagePack arrays with their number first; a field is only ever added at the end.
Units: nanos of the ledger's currency; `*_us` Unix microseconds; `*_ms` Unix milliseconds.
Source: docs/algorithms/journal.md.
"""

from collections.abc import Callable
from typing import Final

import msgspec

FORMAT = 1


class _Record(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """What have all records in common? They are arrays: order is format."""


class Started(_Record, frozen=True, tag=1):
    """Which process began to write here? First record of every journal.

    `born` is the start time of the process in clock ticks since boot (field 22 of
    /proc/<pid>/stat), which tells it from a later process with its number.
    """

    format: int
    fence: int
    host: str
    pid: int
    born: int
    at_us: int


class Grounds(_Record, frozen=True, tag=2):
    """On which grounds were the decisions that name this number made?

    What many calls share, written once a process: use case, place, offer, prices, policy.
    `path_*` root first. `rule` is the part of the use case's rule that attribution needs.
    """

    number: int
    caller: str
    actor: str
    currency: str
    use_case: int
    use_case_slug: str
    department_slug: str
    mode: str
    root: int
    path_ids: tuple[int, ...]
    path_publics: tuple[str, ...]
    path_names: tuple[str, ...]
    path_starts_us: tuple[int, ...]
    path_ends_us: tuple[int, ...]
    offer: str
    venue: str
    model: str
    region: str
    tier: str
    price_version: int
    policy_version: int
    policy_hash: str


class Seen(_Record, frozen=True, tag=3):
    """What stood in the balances of a path when they were last looked at? Root first.

    Shape: one tuple a level: cap (None = no cap), settled, held, unsettled, contingency.
    `held` includes what was lent to this process at that look.
    """

    number: int
    at_us: int
    levels: tuple[tuple[int | None, int, int, int, int], ...]


class Reserved(_Record, frozen=True, tag=4):
    """Which call was allowed inside a lease, and what was answered?

    The byte offset of this record in its journal is the sequence number of the reservation.
    `request` is the JSON body without any prompt; `free_before` what the lease had free.
    `request_hash` is SHA-256 of the canonical request, empty = to be computed from `request`.
    """

    lease: bytes
    grounds: int
    seen: int
    at_us: int
    free_before: int
    amount: int
    input_bound: int
    max_output_tokens: int
    expires_ms: int
    request_id: str
    request_hash: bytes
    request: bytes
    answer: bytes


class Settled(_Record, frozen=True, tag=5):
    """Which attempt was billed inside a lease, and what was answered?

    `cost` is the whole cost, `covered` the part the hold and the lease paid, the rest is an
    overrun. `journal` is the fence of the journal that holds the Reserved record.
    """

    lease: bytes
    sequence: int
    journal: int
    at_us: int
    attempt: int
    final: bool
    cost: int
    covered: int
    caller: str
    actor: str
    request_hash: bytes
    request: bytes
    answer: bytes


class Released(_Record, frozen=True, tag=6):
    """Which hold inside a lease ended without a bill?"""

    lease: bytes
    sequence: int
    journal: int
    at_us: int
    caller: str
    actor: str
    request_hash: bytes
    request: bytes
    answer: bytes


class Denied(_Record, frozen=True, tag=7):
    """Which call was refused without a look at the database?

    `record` is the canonical decision record (JSON), `id` the uuid of the decision.
    `grounds` 0 = none (the use case or its place is not known).
    """

    id: bytes
    caller: str
    actor: str
    at_us: int
    use_case: int
    use_case_slug: str
    department_slug: str
    envelope: int
    decision: str
    would_decision: str
    mode: str
    reason: str
    reason_code: int
    model: str
    worst: int
    policy_version: int
    price_version: int
    offer: tuple[str, str, str, str] | None
    attempt: int
    request_id: str
    request_hash: bytes
    request: bytes
    record: bytes
    answer: bytes


class GivenBack(_Record, frozen=True, tag=8):
    """How much of a lease does its holder not use any more?"""

    lease: bytes
    at_us: int
    amount: int


class Ended(_Record, frozen=True, tag=9):
    """Did the holder stop in good order? Nothing follows."""

    at_us: int


Record = Started | Grounds | Seen | Reserved | Settled | Released | Denied | GivenBack | Ended
"""Any of the records."""

encode: Final[Callable[[Record], bytes]] = msgspec.msgpack.Encoder().encode
"""Which payload does a record have? A bound method of one encoder: no call in between."""

decode: Final[Callable[[bytes | memoryview], Record]] = msgspec.msgpack.Decoder(Record).decode
"""Which record is this payload? Raises msgspec.DecodeError (with ValidationError below it)."""
