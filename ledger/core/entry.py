"""What is the record that is hashed: field, unit, zero value, since which format version?

An entry is one final fact about inference money. Its 38 fields are hashed in the order of
`COLUMNS_V1`; nothing in that list may ever be renamed, reordered or retyped. A new field is a
new format version with its own list and a constant default.

Units: `*_nanos` are nano-units (1e-9) of the ledger's currency; `tok_*` are disjoint token
classes; `*_at` are aware UTC instants of microsecond precision. There is no NULL: zero, the
zero uuid, empty bytes and empty text mean "none".
Source: docs/algorithms/canonical-image.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple
from uuid import UUID

VERSION: Final = 1
ZERO_UUID: Final = UUID(int=0)
# PostgreSQL counts timestamptz from here; it is the zero value of an instant.
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
REF_BYTES_MAX: Final = 64
DOC_BYTES: Final = 32


class Kind(IntEnum):
    """Which fact does the entry record? Codes are never reused."""

    ENVELOPE_CHANGE = 1
    RESERVE = 2
    HOLD = 3
    SETTLE = 4
    RELEASE = 5
    EXPIRE = 6
    OVERRUN = 7
    REVERSAL = 8
    ADJUST = 9
    LEASE = 10
    LEASE_RETURN = 11
    WRITE_OFF = 12
    USAGE = 13
    REVALUATION = 14
    DENY = 15
    COMMITMENT = 16
    OUTCOME = 17
    EVAL = 18
    FEEDBACK = 19
    DRIVER = 20
    POLICY_CHANGE = 21
    PRICE_CHANGE = 22
    APPROVAL = 23
    TRIP = 24
    RESTORE = 25
    OVERRIDE = 26
    INVOICE_LINE = 27
    RECONCILE = 28
    PERIOD_CLOSE = 29
    CHECKPOINT_REF = 30
    REPORT = 31
    REGISTRY = 32


class Basis(IntEnum):
    """How is the amount known? Bits 0-2 of `flags`."""

    MEASURED = 0
    ESTIMATED = 1
    NOT_USED = 2
    INVOICE = 3
    ATTESTED = 4


class Purpose(IntEnum):
    """Why was the call made? Bits 3-5 of `flags`."""

    SERVE = 0
    RETRY = 1
    HEDGE_LOSER = 2
    FALLBACK = 3
    CLASSIFY = 4
    EVAL = 5
    SHADOW = 6


class Finish(IntEnum):
    """How did the call end? Bits 21-23 of `flags`."""

    OK = 0
    ERROR = 1
    CANCELLED = 2
    LENGTH = 3


class Flag(IntFlag):
    """Which single-bit marks does the entry carry? Bits 6-20 of `flags`."""

    EDGE_CACHE_HIT = 1 << 6
    UNGUARDED = 1 << 7
    LATE_SETTLE = 1 << 8
    CAPS_NOT_HONOURED = 1 << 9
    USAGE_INCONSISTENT = 1 << 10
    MODEL_SERVED_DIFFERS = 1 << 11
    TIER_SERVED_DIFFERS = 1 << 12
    PROVIDER_COST_DIFFERS = 1 << 13
    ZERO_USAGE_CONFIRMED = 1 << 14
    PRIOR_PERIOD = 1 << 15
    OWN_KEY = 1 << 16
    BATCH_TIER = 1 << 17
    SHADOW_MODE = 1 << 18
    CANARY = 1 << 19
    FAIL_OPEN = 1 << 20


BASIS_MASK: Final = 0b111
PURPOSE_SHIFT: Final = 3
PURPOSE_MASK: Final = 0b111 << PURPOSE_SHIFT
FINISH_SHIFT: Final = 21
FINISH_MASK: Final = 0b111 << FINISH_SHIFT
MARKS_MASK: Final = sum(Flag)
FLAGS_BITS: Final = 24
NO_MARKS: Final = Flag(0)


class FlagParts(NamedTuple):
    """What do the 24 bits of `flags` say, field by field?"""

    basis: Basis
    purpose: Purpose
    finish: Finish
    marks: Flag


def pack_flags(
    *,
    basis: Basis = Basis.MEASURED,
    purpose: Purpose = Purpose.SERVE,
    finish: Finish = Finish.OK,
    marks: Flag = NO_MARKS,
) -> int:
    """Which `flags` integer says this? The inverse of `unpack_flags`."""
    return int(basis) | purpose << PURPOSE_SHIFT | finish << FINISH_SHIFT | int(marks)


def unpack_flags(flags: int) -> FlagParts:
    """What do these `flags` say?

    Raises: ValueError when a sub-field holds a code that version 1 doesn't define.
    """
    if flags >> FLAGS_BITS:
        raise ValueError(f"flags {flags} use bits above {FLAGS_BITS - 1}")
    return FlagParts(
        basis=Basis(flags & BASIS_MASK),
        purpose=Purpose((flags & PURPOSE_MASK) >> PURPOSE_SHIFT),
        finish=Finish((flags & FINISH_MASK) >> FINISH_SHIFT),
        marks=Flag(flags & MARKS_MASK),
    )


class Column(NamedTuple):
    """What is hashed at this place: the name, the PostgreSQL type, the unit and the version?"""

    name: str
    type: str
    unit: str
    since: int = 1


COLUMNS_V1: Final[tuple[Column, ...]] = (
    Column("ver", "smallint", "format version"),
    Column("ledger_id", "integer", "ledger"),
    Column("kind", "smallint", "Kind"),
    Column("uid", "uuid", "deterministic identity and idempotency key"),
    Column("effective_at", "timestamptz", "when the thing happened"),
    Column("recorded_at", "timestamptz", "when it was written"),
    Column("envelope_id", "integer", "deepest envelope of the path, 0 = no envelope"),
    Column("use_case_id", "integer", "use case"),
    Column("dims_id", "integer", "interned attribution set"),
    Column("offer_id", "integer", "offer"),
    Column("venue_id", "integer", "venue that serves and invoices"),
    Column("model_id", "integer", "model served"),
    Column("actor_id", "integer", "key or person"),
    Column("amount_nanos", "bigint", "effect on settled money"),
    Column("held_nanos", "bigint", "effect on held money"),
    Column("unsettled_nanos", "bigint", "effect on unsettled money"),
    Column("reserved_nanos", "bigint", "worst case reserved for this call"),
    Column("counter_nanos", "bigint", "cost of the counterfactual route, 0 = none"),
    Column("n", "integer", "calls represented"),
    Column("tok_in", "bigint", "uncached input tokens"),
    Column("tok_cache_read", "bigint", "input tokens read from a cache"),
    Column("tok_cache_write", "bigint", "input tokens written to a 5-minute cache"),
    Column("tok_cache_write_1h", "bigint", "input tokens written to a 1-hour cache"),
    Column("tok_out", "bigint", "text output tokens"),
    Column("tok_reasoning", "bigint", "reasoning output tokens"),
    Column("latency_ms", "integer", "milliseconds"),
    Column("price_version", "integer", "version of the price book"),
    Column("policy_version", "integer", "version of the policy"),
    Column("decision", "uuid", "first 16 bytes of SHA-256 of the decision record"),
    Column("reservation", "uuid", "reservation"),
    Column("lease", "uuid", "lease"),
    Column("parent", "uuid", "run or parent reservation"),
    Column("attempt", "smallint", "1 = first try"),
    Column("flags", "integer", "basis, purpose, marks, finish"),
    Column("env_version", "bigint", "exposure version of the envelope tree, 0 = unchanged"),
    Column("reverses", "uuid", "uid of the reversed entry"),
    Column("doc", "bytea", "empty or SHA-256 of a canonical JSON document"),
    Column("ref", "text", "provider request id or invoice line"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What happened to the money, in the 38 fields that are hashed?

    Every field has the zero value of its type, so that a draft names only what it knows. An
    entry without kind, uid and both instants is refused when it is encoded.
    """

    ver: int = VERSION
    ledger_id: int = 0
    kind: int = 0
    uid: UUID = ZERO_UUID
    effective_at: datetime = EPOCH
    recorded_at: datetime = EPOCH
    envelope_id: int = 0
    use_case_id: int = 0
    dims_id: int = 0
    offer_id: int = 0
    venue_id: int = 0
    model_id: int = 0
    actor_id: int = 0
    amount_nanos: int = 0
    held_nanos: int = 0
    unsettled_nanos: int = 0
    reserved_nanos: int = 0
    counter_nanos: int = 0
    n: int = 0
    tok_in: int = 0
    tok_cache_read: int = 0
    tok_cache_write: int = 0
    tok_cache_write_1h: int = 0
    tok_out: int = 0
    tok_reasoning: int = 0
    latency_ms: int = 0
    price_version: int = 0
    policy_version: int = 0
    decision: UUID = ZERO_UUID
    reservation: UUID = ZERO_UUID
    lease: UUID = ZERO_UUID
    parent: UUID = ZERO_UUID
    attempt: int = 0
    flags: int = 0
    env_version: int = 0
    reverses: UUID = ZERO_UUID
    doc: bytes = b""
    ref: str = ""

    @property
    def net_nanos(self) -> int:
        """By how many nanos does the entry move exposure: settled + held + unsettled?"""
        return self.amount_nanos + self.held_nanos + self.unsettled_nanos
