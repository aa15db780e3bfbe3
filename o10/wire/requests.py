"""What may a router ask? Authorize, settle, release, extend, with a limit on every field.

Unknown fields are refused: a misspelt `max_output_token` must not become a call without a cap.
Counts are inclusive, as providers print them (see `UsageCounts`).
Source: contract.md section 4.1.
"""

from enum import StrEnum

import msgspec

from o10.kernel.money import NANOS_PER_UNIT, Nanos, half_even
from o10.kernel.usage import Disjoint, disjoint
from o10.wire import fields as f
from o10.wire.decoding import decode

__all__ = [
    "MAX_AUTHORIZE_BYTES",
    "MAX_SETTLE_BYTES",
    "Authorize",
    "CacheHit",
    "Extend",
    "Finish",
    "OutcomeFact",
    "Preference",
    "ProviderCost",
    "Purpose",
    "Release",
    "ServiceClass",
    "Settle",
    "UsageCounts",
    "decode",
    "read_authorize",
    "read_settle",
]

MAX_AUTHORIZE_BYTES = 8 * 1024 * 1024
"""A prompt of four million characters may come with the request."""
MAX_SETTLE_BYTES = 64 * 1024
"""Settle, release and extend."""


class Preference(StrEnum):
    """What does the caller want of the strategy (field `mode`)?"""

    ECO = "eco"
    BALANCED = "balanced"
    SPORT = "sport"


class ServiceClass(StrEnum):
    """Which promise does the call stand under?"""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


class Finish(StrEnum):
    """How did the attempt end (field `status`)?"""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    LENGTH = "length"
    """Stopped at the output cap."""


class Purpose(StrEnum):
    """What was the attempt for? Only `serve` answered the client."""

    SERVE = "serve"
    RETRY = "retry"
    HEDGE_LOSER = "hedge_loser"
    FALLBACK = "fallback"
    CLASSIFY = "classify"
    EVAL = "eval"
    SHADOW = "shadow"


class CacheHit(StrEnum):
    """Where was the answer found without a call?"""

    EDGE = "edge"


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do all requests have in common? Frozen, by name, nothing unknown."""


class Authorize(_Request, frozen=True, kw_only=True):
    """May this call spend? Only `use_case` and one of `input_tokens`, `prompt` are required.

    Units: tokens; `latency_slo_ms` milliseconds; `ttl_s` seconds of the hold (default 600);
    `driver_units` business units this call serves. `input_tokens` contains
    `cached_input_tokens`. Neither tokens nor prompt is an answer (ESTIMATE_MISSING), not a
    mistake.
    """

    use_case: f.Name
    request_id: f.Name | None = None
    model: f.Name | None = None
    venue: f.Name | None = None
    input_tokens: f.Tokens | None = None
    cached_input_tokens: f.Tokens = 0
    max_output_tokens: f.Tokens | None = None
    n: f.Completions = 1
    task_type: f.Word | None = None
    structured_output: bool | None = None
    reasoning_depth: f.Depth | None = None
    latency_slo_ms: f.Milliseconds | None = None
    mode: Preference | None = None
    service_class: ServiceClass | None = None
    data_class: f.Word | None = None
    region: f.Word | None = None
    zero_retention: bool | None = None
    environment: f.Word | None = None
    run_id: f.Name | None = None
    step: f.Step | None = None
    step_kind: f.Word | None = None
    step_fingerprint: f.Name | None = None
    prompt_version: f.Label | None = None
    attempt: f.Attempt = 1
    customer: f.Name | None = None
    tags: f.Tags = {}
    driver_units: f.Tokens | None = None
    ttl_s: f.Ttl | None = None
    prompt: f.Prompt | None = None


class UsageCounts(_Request, frozen=True, kw_only=True):
    """What did the provider count? Inclusive, on our own API.

    Units: tokens. `input_tokens` contains cached, written, audio and image input;
    `output_tokens` contains reasoning, audio and image output; `cache_write_tokens` are the
    5-minute writes alone. Explicit zeros are zeros; leaving the whole object out is "not
    known".
    """

    input_tokens: f.Tokens
    output_tokens: f.Tokens
    cached_input_tokens: f.Tokens = 0
    cache_write_tokens: f.Tokens = 0
    cache_write_1h_tokens: f.Tokens = 0
    reasoning_tokens: f.Tokens = 0
    audio_input_tokens: f.Tokens = 0
    audio_output_tokens: f.Tokens = 0
    image_input_tokens: f.Tokens = 0
    image_output_tokens: f.Tokens = 0
    requests: f.Tokens = 1

    def disjoint(self) -> Disjoint:
        """Which billing classes are these, and do they agree with each other?"""
        return disjoint(**{name: getattr(self, name) for name in self.__struct_fields__})


class ProviderCost(_Request, frozen=True, kw_only=True):
    """What does the provider say it cost? Evidence, never the price.

    Units: `amount` a plain decimal of `currency`; more than nine decimals are rounded half
    even.
    """

    amount: f.Decimal
    currency: f.Currency

    @property
    def nanos(self) -> Nanos:
        """How many nano-units of the currency?"""
        whole, _, fraction = self.amount.partition(".")
        scale = 10 ** len(fraction)
        magnitude = half_even(int(whole.lstrip("-") + fraction) * NANOS_PER_UNIT, scale)
        return -magnitude if whole.startswith("-") else magnitude


class OutcomeFact(_Request, frozen=True, kw_only=True):
    """Which business result did the call give?"""

    type: f.Word
    id: f.Name
    success: bool


class Settle(_Request, frozen=True, kw_only=True):
    """What did the attempt use? Without `usage` it is booked at its worst case, as estimated.

    Shape: `reservation` is the id or the token. `final` ends the reservation; false posts a
    billed attempt and keeps the rest held.
    """

    reservation: f.Name
    request_id: f.Name | None = None
    usage: UsageCounts | None = None
    model: f.Name | None = None
    venue: f.Name | None = None
    service_tier: f.Word | None = None
    status: Finish = Finish.OK
    purpose: Purpose = Purpose.SERVE
    cache: CacheHit | None = None
    latency_ms: f.Milliseconds | None = None
    attempt: f.Attempt = 1
    final: bool = True
    prompt_version: f.Label | None = None
    provider_request_id: f.Word | None = None
    provider_cost: ProviderCost | None = None
    outcome: OutcomeFact | None = None


class Release(_Request, frozen=True, kw_only=True):
    """Was nothing billed? A cancelled stream is not a release: settle its partial usage."""

    reservation: f.Name
    request_id: f.Name | None = None
    reason: f.Sentence | None = None


class Extend(_Request, frozen=True, kw_only=True):
    """May the hold live longer, cover more, or move to another offer?

    Units: `ttl_s` seconds from now. A larger cap or another offer is checked like a new call.
    """

    reservation: f.Name
    request_id: f.Name | None = None
    ttl_s: f.Ttl | None = None
    input_tokens: f.Tokens | None = None
    max_output_tokens: f.Tokens | None = None
    n: f.Completions | None = None
    model: f.Name | None = None
    venue: f.Name | None = None
    attempt: f.Attempt | None = None


class _WordyAuthorize(Authorize, frozen=True, kw_only=True):
    """How did a request read while any short text was a prompt version?"""

    prompt_version: f.Word | None = None


class _WordySettle(Settle, frozen=True, kw_only=True):
    """As `_WordyAuthorize`."""

    prompt_version: f.Word | None = None


_AUTHORIZE = msgspec.json.Decoder(Authorize)
_SETTLE = msgspec.json.Decoder(Settle)
_WORDY_AUTHORIZE = msgspec.json.Decoder(_WordyAuthorize)
_WORDY_SETTLE = msgspec.json.Decoder(_WordySettle)


def read_authorize(kept: bytes) -> Authorize:
    """Which request stands in a journal? Also one from before prompt versions were labels.

    Raises: msgspec.ValidationError when it is no request.
    """
    try:
        return _AUTHORIZE.decode(kept)
    except msgspec.ValidationError:
        wordy = _WORDY_AUTHORIZE.decode(kept)
        return Authorize(**{name: getattr(wordy, name) for name in Authorize.__struct_fields__})


def read_settle(kept: bytes) -> Settle:
    """As `read_authorize`, for a settle.

    Raises: msgspec.ValidationError when it is no settle.
    """
    try:
        return _SETTLE.decode(kept)
    except msgspec.ValidationError:
        wordy = _WORDY_SETTLE.decode(kept)
        return Settle(**{name: getattr(wordy, name) for name in Settle.__struct_fields__})
