"""What does a router hear? The decision, and the answers to settle, release and extend.

These structs are the JSON itself: field order is key order, money is text (`amount` plus
`amount_nanos`), instants are RFC 3339 in UTC. Equal decisions are equal bytes, which a replay
and an idempotent retry rely on. The `of` constructors take nanos, so that no caller formats
money.
Source: contract.md section 4.1.
"""

from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType

from o10.kernel.money import Money, Nanos, amount_text
from o10.wire.reasons import Reason, SettleFlag


class Outcome(StrEnum):
    """May the call go?"""

    ALLOW = "allow"
    ALLOW_WITH_CAPS = "allow_with_caps"
    REROUTE = "reroute"
    HOLD = "hold"
    DENY = "deny"

    @property
    def goes(self) -> bool:
        """Does the call go ahead?"""
        return self not in (Outcome.HOLD, Outcome.DENY)


class Mode(StrEnum):
    """How binding is the policy of a use case?"""

    OBSERVE = "observe"
    SHADOW = "shadow"
    CANARY = "canary"
    ENFORCE = "enforce"


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What do all answers have in common? Frozen, by name, keys in the order written."""


class MoneyView(_Answer, frozen=True, kw_only=True):
    """How is an amount told? Decimal, nano-units as text (no float on the way), currency."""

    amount: str
    amount_nanos: str
    currency: str

    @classmethod
    def of(cls, money: Money) -> "MoneyView":
        """How is this amount told?"""
        return cls(**money.as_json())


class ReasonEntry(_Answer, frozen=True, kw_only=True):
    """Why? The code is stable, the detail is for people."""

    code: Reason
    detail: str


class Route(_Answer, frozen=True, kw_only=True):
    """Which offer is to be called?"""

    offer: str
    model: str
    venue: str
    region: str | None
    price_version: int


class Caps(_Answer, frozen=True, kw_only=True):
    """Which limits must the router set? Absent = none of that kind."""

    max_output_tokens: int
    max_steps_remaining: int | UnsetType = UNSET
    cooldown_ms: int | UnsetType = UNSET
    model_ceiling: str | UnsetType = UNSET
    tools: list[str] | UnsetType = UNSET


class ReservationView(_Answer, frozen=True, kw_only=True):
    """What is held for the call, until when?"""

    id: str
    token: str
    amount: str
    amount_nanos: str
    currency: str
    expires_at: datetime

    @classmethod
    def of(
        cls,
        *,
        public_id: str,
        token: str,
        money: Money,
        expires_at: datetime,
    ) -> "ReservationView":
        """How is this hold told?"""
        ends = expires_at.astimezone(UTC)
        return cls(id=public_id, token=token, expires_at=ends, **money.as_json())


class EnvelopeView(_Answer, frozen=True, kw_only=True):
    """How full is an envelope on the path, after this decision? Null cap = unlimited.

    Units: amounts as decimal text in the ledger currency. `binding` marks the one with least
    left.
    """

    id: str
    name: str
    cap: str | None
    settled: str
    held: str
    available: str | None
    binding: bool

    @classmethod
    def of(
        cls,
        *,
        public_id: str,
        name: str,
        cap_nanos: Nanos | None,
        settled_nanos: Nanos,
        held_nanos: Nanos,
        available_nanos: Nanos | None,
        binding: bool,
    ) -> "EnvelopeView":
        """How is this state told?"""
        return cls(
            id=public_id,
            name=name,
            cap=None if cap_nanos is None else amount_text(cap_nanos),
            settled=amount_text(settled_nanos),
            held=amount_text(held_nanos),
            available=None if available_nanos is None else amount_text(available_nanos),
            binding=binding,
        )


class Counterfactual(_Answer, frozen=True, kw_only=True):
    """What would the best other route have cost, and saved?"""

    offer: str
    amount: str
    saving: str

    @classmethod
    def of(cls, *, offer: str, amount_nanos: Nanos, saving_nanos: Nanos) -> "Counterfactual":
        """How is this comparison told?"""
        return cls(
            offer=offer, amount=amount_text(amount_nanos), saving=amount_text(saving_nanos)
        )


class PolicyRef(_Answer, frozen=True, kw_only=True):
    """Which policy decided? `hash` is hex of SHA-256."""

    version: int
    hash: str


class Decision(_Answer, frozen=True, kw_only=True):
    """May the call spend, why, on which route, under which caps?

    Shape: `reasons[0]` is the reason to show. `route` and `caps` are null when the call does
    not go, `reservation` also in shadow and dry run; `approval_id` and `retry_after_s` only
    for hold and for denials that time may cure.
    Raises: ValueError without a reason, or with a reservation on hold or deny.
    """

    decision: Outcome
    would_decision: Outcome
    mode: Mode
    decision_id: str
    reasons: tuple[ReasonEntry, ...]
    route: Route | None = None
    caps: Caps | None = None
    reservation: ReservationView | None = None
    envelopes: tuple[EnvelopeView, ...] = ()
    counterfactual: Counterfactual | None = None
    policy: PolicyRef
    approval_id: str | UnsetType = UNSET
    retry_after_s: int | UnsetType = UNSET

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError("a decision has a reason")
        if not self.decision.goes and self.reservation is not None:
            raise ValueError("a call that does not go holds no money")
        if self.decision.goes and self.caps is None:
            raise ValueError("a call that goes has caps")


class Settled(_Answer, frozen=True, kw_only=True):
    """What was booked for the attempt, and what came back?

    Shape: `cost` is the whole cost, `overrun` the part of it beyond the hold (also booked),
    `refunded` what the hold gave back.
    """

    entry_id: str
    cost: MoneyView
    refunded: MoneyView
    overrun: MoneyView
    late: bool
    flags: tuple[SettleFlag, ...]


class Released(_Answer, frozen=True, kw_only=True):
    """What came back from the hold? `entry_id` null: inside a lease no entry tells of it."""

    entry_id: str | None
    refunded: MoneyView


class Extended(_Answer, frozen=True, kw_only=True):
    """What is held now? On a refusal the old hold stands and `decision` says why.

    Shape: `reservation` as it stands after the call; its token replaces the old one.
    """

    decision: Outcome
    reasons: tuple[ReasonEntry, ...]
    route: Route | None
    caps: Caps | None
    reservation: ReservationView


def encode(answer: msgspec.Struct) -> bytes:
    """Which bytes is this answer? The same answer is always the same bytes."""
    return _ENCODER.encode(answer)


_ENCODER = msgspec.json.Encoder()
