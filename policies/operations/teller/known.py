"""What does a worker know without asking: policy, prices, keys and the token key of today?

Read again when it is told that something changed, and every half second in any case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from ledger import facade as ledger
from o10.access.keys import KnownKey, known_keys
from policies.operations.token_keys import SigningKey, signing_key
from policies.queries.current_policy import CurrentPolicy, current_policy
from policies.queries.prices import newest_book


@dataclass(frozen=True, slots=True)
class Known:
    """What holds since `at` (the worker's monotonic clock)?

    Shape: `keys` by SHA-256 of the secret. `stale` is set by whoever finds it too old.
    """

    policy: CurrentPolicy
    prices: ledger.PriceState
    signer: SigningKey
    keys: Mapping[bytes, KnownKey]
    at: float
    stale: Event = field(default_factory=Event, compare=False)


def know(*, now: datetime, at: float) -> Known:
    """What holds now? Four reads, and nothing compiled that did not change.

    Raises: the errors of django.db while the database is away.
    """
    return Known(
        policy=current_policy(),
        prices=newest_book(),
        signer=signing_key(now=now),
        keys=known_keys(now=now),
        at=at,
    )
