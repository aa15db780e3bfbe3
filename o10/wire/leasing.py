"""What do a router that decides by itself and o10 tell each other?

The router asks for terms and money (`LeaseAsk`), decides from them, and sends what its journal
says (`Shipment`). Amounts are nanos as integers: both ends are ours.
Source: docs/algorithms/local-leases.md.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from o10.wire import fields as f

MAX_SHIPMENT_BYTES = 2 * 1024 * 1024
"""Of the journal, in one request."""
MAX_NAMED = 2_000
MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""Base 64 of a shipment, and what is around it."""
ROUTER_TTL_S = 10
"""How long a lease of a router lives without being renewed."""
ROUTER_TOKEN_KEY = 65_535
"""The key id of tokens that a router signed. Its secret is good for its own leases alone."""

Nanos = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Fence = Annotated[int, msgspec.Meta(ge=1, le=2**40 - 1)]


class Want(StrEnum):
    """What is asked for?"""

    TERMS = "terms"
    """The terms alone; what is lent stays as it is."""
    LEASE = "lease"
    """The terms, and money."""


class _Wire(msgspec.Struct, frozen=True, kw_only=True):
    """What have all of them in common? Frozen, by name."""


class LeaseAsk(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Under which terms may calls like this one spend, and how much is lent for them?

    Shape: the fields of a call that choose terms and envelope. `holder` is the number of this
    process, absent the first time. Units: nanos; `least` the worst case of the call at hand,
    `dearest` that of calls lately, `burn` what was reserved a second lately, `free` what the
    present lease of the place has left.
    """

    use_case: f.Name
    input_tokens: f.Tokens
    want: Want = Want.LEASE
    holder: Fence | None = None
    model: f.Name | None = None
    venue: f.Name | None = None
    region: f.Name | None = None
    environment: f.Word | None = None
    customer: f.Name | None = None
    run_id: f.Name | None = None
    max_output_tokens: f.Tokens | None = None
    n: f.Completions = 1
    least: Nanos = 0
    dearest: Nanos = 0
    burn: Nanos = 0
    free: Nanos = 0


class Bracket(_Wire, frozen=True, kw_only=True):
    """What does a million tokens of each class cost for calls of so much input?

    Units: tokens, above (excluded) and to (None = without end); nanos per million tokens.
    """

    above: int
    to: int | None
    per_million: dict[str, int]
    request_fee: int


class LocalTerms(_Wire, frozen=True, kw_only=True):
    """Which part of a decision is the same for every such call until the policy changes?

    Units: tokens; nanos per million tokens for the two prices; Unix microseconds for `ends_us`,
    after which these terms decide nothing. Shape: `labels` names the fields that choose the
    envelope beside the use case; `place` identifies path and periods: calls of one place spend
    from one lease. `given` and `defaulted` are the answers with and without an output bound of
    the caller, with one `%s` for each of their fields: id, token, worst case, also in nanos,
    output, expiry, then held, left, settled and cap of each level. `brackets` empty = settled
    by o10 alone.
    """

    place: str
    labels: tuple[str, ...]
    ends_us: int
    input_price: int
    output_price: int
    fixed_nanos: int
    default_output: int
    output_most: int
    above: int
    most: int
    cache_priced: bool
    output_priced: bool
    per_call_least: int
    run_limited: bool
    model: str
    models: tuple[str, ...]
    tier: str
    currency: str
    policy_version: int
    given: str
    given_fields: tuple[int, ...]
    defaulted: str
    defaulted_fields: tuple[int, ...]
    brackets: tuple[Bracket, ...]
    grounds: bytes


class LocalView(_Wire, frozen=True, kw_only=True):
    """What stood in the balances of the place, and for how long do the answers fit?

    Shape: `levels` root first, as in the journal's record `Seen`. Units: nanos; the answers
    fit while `soft_least <= worst - free < soft_most`. `form` tells answers of other thresholds
    and another `binding` level apart. `epochs` rise with every change of an envelope.
    """

    levels: tuple[tuple[int | None, int, int, int, int], ...]
    soft_least: int
    soft_most: int
    form: str
    binding: int | None
    epochs: tuple[int, ...]
    active: bool


class LentSlice(_Wire, frozen=True, kw_only=True):
    """What is lent? `lease` is a uuid, `lives_ms` from the instant the answer was made."""

    lease: str
    granted: int
    lives_ms: int


class LeaseAnswer(_Wire, frozen=True, kw_only=True):
    """What was found? Without `terms` such calls are decided by o10, one by one.

    Shape: `stamp` is the ETag of `GET /policy/snapshot`; `secret` signs this holder's tokens.
    """

    holder: int
    host: str
    secret: bytes
    stamp: str
    terms: LocalTerms | None = None
    view: LocalView | None = None
    lease: LentSlice | None = None


class Shipment(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What does the journal of this holder say from `offset` on?

    Shape: `content` are whole records, base 64. `named` are reservations [lease, sequence] that
    are open for a while, or ended here and are not known to be booked: how did they end?
    """

    offset: Annotated[int, msgspec.Meta(ge=0)]
    content: Annotated[bytes, msgspec.Meta(max_length=MAX_SHIPMENT_BYTES)] = b""
    named: Annotated[tuple[tuple[str, int], ...], msgspec.Meta(max_length=MAX_NAMED)] = ()


class EndedCall(_Wire, frozen=True, kw_only=True):
    """How did a named reservation end, in the books? `covered` None: it left the lease.

    Units: nanos of the hold that were spent.
    """

    lease: str
    sequence: int
    covered: int | None


class Renewed(_Wire, frozen=True, kw_only=True):
    """How long does this lease live now? One that is missing lends nothing any more."""

    lease: str
    lives_ms: int


class ShipmentAnswer(_Wire, frozen=True, kw_only=True):
    """Up to which byte is the journal kept, and booked, and what changed meanwhile?

    Shape: `ended` has those of the named reservations that ended, as it was after `booked_to`.
    """

    kept_to: int
    booked_to: int
    stamp: str
    leases: tuple[Renewed, ...] = ()
    ended: tuple[EndedCall, ...] = ()


class Returned(_Wire, frozen=True, kw_only=True):
    """How much of a lease went back? Units: nanos."""

    returned: int
    rest: int


class GiveBack(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a lease is not used any more? Absent = all that is in no call."""

    amount: Nanos | None = None


class EnvelopeFact(_Wire, frozen=True, kw_only=True):
    """Which envelope is on the path of a use case, as the policy has it?"""

    id: str
    name: str
    scope: str
    state: str
    cap_nanos: str | None
    per_call_nanos: str | None
    per_run_nanos: str | None
    epoch: int


class UseCaseFact(_Wire, frozen=True, kw_only=True):
    """What does the policy say of a use case of this key?"""

    slug: str
    mode: str
    fail_mode: str
    default_max_output_tokens: int | None
    max_input_tokens: int | None
    envelopes: tuple[EnvelopeFact, ...]


class SnapshotSlice(_Wire, frozen=True, kw_only=True):
    """What of the policy concerns this key? `version` and `hash` are of the whole."""

    version: int
    hash: str
    price_version: int
    currency: str
    use_cases: tuple[UseCaseFact, ...]
