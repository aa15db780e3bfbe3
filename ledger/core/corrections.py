"""Which entry takes another one back, and which may take its place?

Nothing is ever edited: a correction is the exact negative of the original and, when needed, a
new entry in the same transaction. The negative belongs to the original's period, envelope and
attribution, so that every sum over them becomes what it would have been.
Source: docs/algorithms/canonical-image.md (golden E2 is the reversal of E1).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

from ledger.core.entry import ZERO_UUID, Entry, Flag, Kind
from ledger.core.prior_period import Placement
from o10.kernel.errors import Conflict, Rejected, Retry

# Holds are ended by release, expire and lease_return; statements about the ledger itself
# (periods, checkpoints, registry, policy) are superseded by a newer statement.
REVERSIBLE: Final = frozenset(
    {
        Kind.SETTLE,
        Kind.OVERRUN,
        Kind.ADJUST,
        Kind.WRITE_OFF,
        Kind.USAGE,
        Kind.REVALUATION,
        Kind.COMMITMENT,
        Kind.OUTCOME,
        Kind.EVAL,
        Kind.FEEDBACK,
        Kind.DRIVER,
        Kind.RECONCILE,
    }
)
NEGATED: Final = (
    "amount_nanos",
    "unsettled_nanos",
    "counter_nanos",
    "n",
    "tok_in",
    "tok_cache_read",
    "tok_cache_write",
    "tok_cache_write_1h",
    "tok_out",
    "tok_reasoning",
)


class NotReversible(Rejected):
    """Which kind of entry can't be taken back? Fields: `uid`, `kind`."""

    code = "not_reversible"


class PeriodEnded(Conflict):
    """Is it a write-off of a closed month, whose holds are ended for good? Fields: `uid`."""

    code = "period_closed"
    retry = Retry.NO


class Hold(Enum):
    """Does the hold that the original drew on still stand?"""

    ENDED = "ended"
    """Its held effect isn't revived: the reversal moves settled money alone."""
    OPEN = "open"
    """What was taken out of it goes back into it."""


def reversing(
    original: Entry,
    *,
    uid: UUID,
    recorded_at: datetime,
    actor_id: int,
    doc: bytes,
    hold: Hold = Hold.ENDED,
) -> Entry:
    """Which draft takes this entry back? `env_version` is filled in where the net isn't zero.

    Shape: amount, unsettled, counterfactual, calls and tokens negated; reserved and latency 0;
    held negated while the hold is open, else 0 and the lease it left forgotten (one that only
    let money expire gets that back); flags copied, so that
    sums by flag (flag 7 above all) cancel too. `doc` is the hash of the approval document.
    Raises: NotReversible (`not_reversible`) for a reversal, and for kinds that book nothing.
    """
    if original.kind not in REVERSIBLE:
        raise NotReversible(uid=str(original.uid), kind=Kind(original.kind).name.lower())
    negated: dict[str, Any] = {name: -getattr(original, name) for name in NEGATED}
    is_open = hold is Hold.OPEN
    return replace(
        original,
        kind=Kind.REVERSAL,
        uid=uid,
        recorded_at=recorded_at,
        actor_id=actor_id,
        **negated,
        held_nanos=-original.held_nanos if is_open else 0,
        lease=original.lease if is_open or not original.held_nanos else ZERO_UUID,
        reserved_nanos=0,
        latency_ms=0,
        env_version=0,
        reverses=original.uid,
        doc=doc,
        ref="",
    )


def in_open_period(draft: Entry, placement: Placement, *, doc: bytes) -> Entry:
    """Which draft says the same where the month of its original is closed?

    It stands in the open month under flag PRIOR_PERIOD: money that nobody held is unguarded,
    and what was unsettled in the closed month is not revived. `doc` names that month.
    Raises: PeriodEnded (`period_closed`) for what only moved unsettled money there.
    """
    if not placement.is_prior:
        return draft
    if not draft.amount_nanos and draft.unsettled_nanos:
        raise PeriodEnded(uid=str(draft.reverses))
    flags = draft.flags & ~int(Flag.UNGUARDED) | Flag.PRIOR_PERIOD
    return replace(
        draft,
        effective_at=placement.effective_at,
        unsettled_nanos=0,
        lease=ZERO_UUID,
        flags=flags | Flag.UNGUARDED if draft.amount_nanos > 0 else flags,
        doc=doc,
    )


def replacing(original: Entry, *, uid: UUID, recorded_at: datetime, actor_id: int) -> Entry:
    """Which draft states the fact anew after its reversal, still with the original's values?

    Shape: a `usage` entry, because the hold of the original is spent: all of its amount counts
    and, when positive, is unguarded. The caller replaces what was wrong and keeps the rest.
    Raises: NotReversible (`not_reversible`) where nothing can be reversed.
    """
    if original.kind not in REVERSIBLE:
        raise NotReversible(uid=str(original.uid), kind=Kind(original.kind).name.lower())
    late = original.flags & Flag.LATE_SETTLE
    return replace(
        original,
        kind=Kind.USAGE,
        uid=uid,
        recorded_at=recorded_at,
        actor_id=actor_id,
        held_nanos=0,
        unsettled_nanos=0,
        reserved_nanos=0,
        lease=ZERO_UUID,
        env_version=0,
        flags=original.flags - late | Flag.UNGUARDED,
    )
