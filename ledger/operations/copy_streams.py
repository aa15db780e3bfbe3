"""Which COPY streams write a run of synthetic entries? For benchmarks: realistic, fast to make.

Each entry is a settle inside a lease with its own uid, amount and tokens, spread over use
cases, models, venues and an hour of time, so that indexes and rollups meet what they meet in
use.
"""

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Final
from uuid import UUID

from ledger.core import canonical
from ledger.core.chain import LEAF_PREFIX
from ledger.core.entry import Entry, Kind
from ledger.operations.append import COPY_HEAD, COPY_TAIL, copy_rows
from o10.kernel import ids

_USE_CASES: Final = 12
_MODELS: Final = 8
_VENUES: Final = 4
_UID_AT: Final = 26
_AMOUNT_AT: Final = 126
_HELD_AT: Final = 138
_NANOS: Final = struct.Struct(">q")
_KEY_ROW: Final = struct.Struct(">hiqiii16si32s")


@dataclass(frozen=True, slots=True)
class Streams:
    """One transaction's worth: the entries, their keys, and how many."""

    entries: bytes
    keys: bytes
    count: int


def synthetic_entry(*, number: int, ledger_id: int, at: datetime) -> Entry:
    """What does the settle with this number look like?"""
    random = Random(number)  # noqa: S311 - repeatable shapes, no secret
    amount = random.randrange(100_000, 20_000_000)
    return Entry(
        ledger_id=ledger_id,
        kind=Kind.SETTLE,
        uid=ids.uid(scope="bench", key=str(number), origin_ms=0),
        effective_at=at + timedelta(milliseconds=number % 3_600_000),
        recorded_at=at,
        envelope_id=1 + number % (2 * _USE_CASES),
        use_case_id=1 + number % _USE_CASES,
        dims_id=1 + number % 30,
        offer_id=1 + number % (_MODELS * _VENUES),
        venue_id=1 + number % _VENUES,
        model_id=1 + number % _MODELS,
        actor_id=9,
        amount_nanos=amount,
        held_nanos=-amount,
        reserved_nanos=amount * 2,
        n=1,
        tok_in=random.randrange(4_000),
        tok_out=random.randrange(900),
        latency_ms=random.randrange(5_000),
        price_version=41,
        policy_version=12,
        reservation=UUID(int=random.getrandbits(128)),
        lease=UUID(int=random.getrandbits(128)),
        attempt=1,
        ref=f"chatcmpl-{number:010x}",
    )


def copy_streams(
    *, first: int, count: int, batch: int, ledger_id: int, at: datetime
) -> list[Streams]:
    """Which streams carry `count` entries numbered from `first`, `batch` in each?

    `first` numbers uids and entry ids: give every call numbers of its own. The uids count up,
    as those made from issue times do.
    """
    shapes = [
        canonical.encode(synthetic_entry(number=number, ledger_id=ledger_id, at=at))
        for number in range(997)
    ]
    origin = int(at.timestamp() * 1000) << 80
    streams = []
    for start in range(first, first + count, batch):
        numbers = range(start, min(start + batch, first + count))
        images, leaves, uids = [], [], []
        for number in numbers:
            image = bytearray(shapes[number % len(shapes)])
            uid = (origin + (number << 32) | 0x8 << 76 | 0b10 << 62).to_bytes(16, "big")
            image[_UID_AT : _UID_AT + 16] = uid
            _NANOS.pack_into(image, _AMOUNT_AT, number % 10_000_019)
            _NANOS.pack_into(image, _HELD_AT, -(number % 10_000_019))
            images.append(bytes(image))
            leaves.append(sha256(LEAF_PREFIX + image).digest())
            uids.append(uid)
        keys = b"".join(
            _KEY_ROW.pack(4, 8, number, 4, ledger_id, 16, uid, 32, leaf)
            for number, uid, leaf in zip(numbers, uids, leaves, strict=True)
        )
        streams.append(
            Streams(
                entries=copy_rows(ids=numbers, images=images, leaves=leaves),
                keys=COPY_HEAD + keys + COPY_TAIL,
                count=len(numbers),
            )
        )
    return streams
