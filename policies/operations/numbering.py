"""Which numbers and documents do the entries of a batch name? Made before any lock.

Each is committed by itself: a meaning or a document that a failed batch leaves behind is
written again by nobody, and harms nobody. What was made once is known here afterwards.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from ledger import facade as ledger
from o10.lease.records import Denied, Grounds
from o10.wire.requests import Authorize
from policies.operations.questions import Numbers, actor_number, dims_of

KEPT: Final = 100_000

Place = tuple[str, str, str, str]
"""An offer: venue, model, region, tier."""


class Numbering:
    """What has this process numbered so far?"""

    def __init__(self) -> None:
        self._actors: dict[str, int] = {}
        self._dims: dict[tuple[Any, ...], int] = {}
        self._offers: dict[Place, tuple[int, int, int]] = {}
        self._stored: dict[bytes, None] = {}
        self._prices: dict[tuple[Any, ...], bytes] = {}
        self._new: dict[bytes, bytes] = {}

    def actor(self, name: str, *, now: datetime) -> int:
        """Which number has this key or person?"""
        known = self._actors.get(name)
        if known is None:
            known = actor_number(name, now=now)
            _bound(self._actors)[name] = known
        return known

    def of_call(self, request: Authorize, grounds: Grounds, *, now: datetime) -> Numbers:
        """Which numbers has an allowed call?"""
        offer = (grounds.venue, grounds.model, grounds.region, grounds.tier)
        return self._numbers(
            request, grounds.department_slug, grounds.caller, grounds.actor, offer, now
        )

    def of_denial(self, request: Authorize, denied: Denied, *, now: datetime) -> Numbers:
        """Which numbers has a denied call? One of no use case is attributed to nobody."""
        if not denied.use_case:
            offer, actor = denied.offer, self.actor(denied.actor, now=now)
            return Numbers(
                actor, 0, *(self.offer(offer, actor, now=now) if offer else (0, 0, 0))
            )
        return self._numbers(
            request, denied.department_slug, denied.caller, denied.actor, denied.offer, now
        )

    def offer(self, place: Place, actor: int, *, now: datetime) -> tuple[int, int, int]:
        """Which numbers have offer, venue and model?"""
        known = self._offers.get(place)
        if known is None:
            venue, model, region, tier = place
            key = ledger.OfferKey(venue, model, region, ledger.Tier(tier))
            made = ledger.offer_numbers(
                key=key, ledger_id=ledger.COMPANY_LEDGER, actor=actor, now=now
            )
            known = (made.offer_id, made.venue_id, made.model_id)
            _bound(self._offers)[place] = known
        return known

    def document(self, body: Mapping[str, Any]) -> bytes:
        """Which hash names this document? It is there once `store` has run; empty = none."""
        if not body:
            return b""
        price = body.get("price")
        # Most settles say only which price they were booked at.
        key = tuple(price.values()) if price and len(body) == 1 else None
        if key is not None and key in self._prices:
            return self._prices[key]
        digest = self.encoded(ledger.canonical_json(body))
        if key is not None:
            _bound(self._prices)[key] = digest
        return digest

    def encoded(self, document: bytes) -> bytes:
        """As `document`, for canonical bytes at hand."""
        digest = sha256(document).digest()
        if digest not in self._stored:
            self._new[digest] = document
        return digest

    def store(self, *, now: datetime) -> None:
        """Writes the documents that are not there yet. Outside of any transaction."""
        if not self._new:
            return
        ledger.put_documents(list(self._new.values()), now=now)
        stored = _bound(self._stored)
        stored.update(dict.fromkeys(self._new))
        self._new.clear()

    def _numbers(
        self,
        request: Authorize,
        department: str,
        caller: str,
        actor_name: str,
        place: Place | None,
        now: datetime,
    ) -> Numbers:
        actor = self.actor(actor_name, now=now)
        said = (
            department,
            caller,
            request.environment,
            request.customer,
            request.task_type,
            request.service_class,
            request.step_kind,
            request.prompt_version,
            tuple(request.tags.items()),
        )
        dims = self._dims.get(said)
        if dims is None:
            meaning = dims_of(request, department=department, caller_id=caller)
            dims = ledger.intern(
                ledger.Domain.DIMS,
                meaning,
                ledger_id=ledger.COMPANY_LEDGER,
                actor=actor,
                now=now,
            )
            _bound(self._dims)[said] = dims
        if place is None:
            return Numbers(actor, dims)
        return Numbers(actor, dims, *self.offer(place, actor, now=now))


def _bound(kept: dict[Any, Any]) -> dict[Any, Any]:
    if len(kept) >= KEPT:
        kept.clear()
    return kept


def place_of(key: ledger.OfferKey) -> Place:
    """How is this offer named here?"""
    return key.venue, key.model, key.region, str(key.tier)
