"""How is a call authorized without a look at the database? From a lease, by known terms.

Three ways, tried in this order: by known terms and wording (integers and one format string);
in full, by `decide` on the last look at the balances; by the strict form, one transaction a
call, for whatever does not fit into a lease. What is answered is written into the journal
before the answer leaves; the bookkeeper books it (policies.operations.flush).
Source: decision-plane.md sections 2 to 8; docs/decisions/0010-teller-and-bookkeeper.md.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.errors import IdempotencyMismatch, ServiceUnavailable
from o10.kernel.money import Money, amount_text
from o10.lease import journal as journals
from o10.lease import records
from o10.lease.book import Book
from o10.lease.claims import Claimed, Claims, Found
from o10.lease.journal import Journal
from o10.wire import token
from o10.wire.decisions import Mode, ReservationView, encode
from o10.wire.reasons import Reason
from o10.wire.requests import Authorize
from policies.core.checks import case_of
from policies.core.decide import Ruling, decide
from policies.core.instants import unix_ms
from policies.core.question import Left
from policies.core.record import decision_record
from policies.core.slices import next_slice
from policies.core.snapshot import Place
from policies.core.terms import Terms, terms_of, worst_of
from policies.core.till import View, own, view_of
from policies.operations import authorize as strict
from policies.operations.answers import decision_answer
from policies.operations.booked_call import reservation_of
from policies.operations.grant_exact import PolicyChanged
from policies.operations.grant_lease import HolderEnded, Lent, grant_lease
from policies.operations.leases import notify
from policies.operations.open_holder import journal_name
from policies.operations.questions import Asked, ask
from policies.operations.teller.known import Known
from policies.operations.teller.look import look_at
from policies.operations.teller.till import Till, till_at
from policies.operations.teller.wording import Sample, rare_number, wording_of

LEASE_TTL_S = 30
STOP_BEFORE_S = 2.0
"""Nothing is lent in the last seconds of a lease (P7)."""
VIEW_MOST_S = 0.05
"""A denial for money rests on a look at the balances that is at most this old."""
WAIT_MS = 50
"""So long a call waits for the lock of a tree; then the tree is busy for a second."""
BUSY_S = 1.0
KNOWN_MOST_S = 600.0
"""Older knowledge of policy and prices decides nothing any more."""
BY_STRICT = (1 << 40) - 2
"""Published in place of an offset: the first answer stands in the decision log."""
_TRIES = 6
_SMALL = frozenset({"environment", "customer", "run"})
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_US = timedelta(microseconds=1)
_MOST_TILLS = 100_000
_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answered:
    """What is answered, and where does it stand in the journal (or BY_STRICT)?"""

    body: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks what, when? `body` is the JSON as sent, `mono` the worker's monotonic clock."""

    request: Authorize
    body: bytes
    caller: Caller
    now: datetime
    mono: float


class Teller:
    """What does one decision worker have at hand, and how does it answer from it?"""

    def __init__(
        self,
        *,
        fence: int,
        folder: Path,
        journal: Journal,
        claims: Claims,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fence = fence
        self.folder = folder
        self.journal = journal
        self.claims = claims
        self.monotonic = monotonic
        self.known: Known | None = None
        self.stopping = False
        self.books: dict[UUID, tuple[Till, Book]] = {}
        self.by_place: dict[tuple[tuple[int, ...], tuple[datetime, ...]], Till] = {}
        self.named: dict[int, tuple[UUID, int]] = {}
        self.short_at = 0.0
        self._tills: dict[tuple[str | None, ...], Till] = {}
        self._kinds: tuple[str, ...] = ()
        self._terms: dict[tuple[str | None, ...], tuple[Terms, int, int]] = {}
        self._leases = 0

    # ------------------------------------------------------------------ authorize

    def authorize(
        self, *, request: Authorize, body: bytes, caller: Caller, now: datetime
    ) -> bytes:
        """May this call spend? The answer's bytes; the same for a repeated request id.

        Raises: IdempotencyMismatch; ServiceUnavailable; JournalFull (`unavailable`).
        """
        call = Call(request, body, caller, now, self.monotonic())
        if request.request_id is None:
            return self._answer(call).body
        key = blake2b(
            f"a|{caller.key_id}|{request.request_id}".encode(), digest_size=16
        ).digest()
        claimed = self.claims.claim(key, fence=self.fence, at_s=self.second())
        if claimed is Claimed.OURS:
            try:
                answered = self._answer(call)
            except BaseException:
                self.claims.abandon(key, fence=self.fence)
                raise
            self.claims.publish(key, fence=self.fence, offset=answered.offset)
            return answered.body
        if isinstance(claimed, Found):
            return self._repeat(call, key, claimed)
        return self._strictly(call).body

    def _answer(self, call: Call) -> Answered:
        known = self.known
        if known is None or call.mono - known.at > KNOWN_MOST_S:
            raise ServiceUnavailable(what="the policy snapshot", retry_after_s=1)
        return self._by_terms(call, known) or self._in_full(call, known)

    def _by_terms(self, call: Call, known: Known) -> Answered | None:
        """The usual call: five look-ups, a handful of integers, one record, one answer."""
        request, caller = call.request, call.caller
        found = self._terms.get(
            (caller.key_id, request.use_case, request.model, request.venue, request.region)
        )
        bound = request.input_tokens
        if found is None or bound is None or request.prompt is not None:
            return None
        terms, above, most = found
        till = self._till_of(request)
        if till is None or call.now >= till.ends or not above < bound <= most:
            return None
        asked_output = request.max_output_tokens
        wanted = terms.default_output if asked_output is None else asked_output
        if wanted > terms.output_most or (wanted and not terms.output_priced):
            return None
        if request.cached_input_tokens and not terms.cache_priced:
            return None
        worst = worst_of(terms, bound=bound, wanted=wanted, n=request.n)
        book, view = till.book, till.view
        if book is None or view is None or worst > till.per_call_least:
            return None
        if till.run_limited and request.run_id:
            return None
        wording = till.wordings.get((id(terms), asked_output is None))
        if wording is None or worst - book.free >= view.soft_room:
            return None
        expires = call.now + timedelta(seconds=request.ttl_s or strict.TTL_S)
        with self.journal.lock:
            if not book.reserve(worst, at=call.mono):
                return None
            try:
                offset = self.journal.position
                lease = book.lease
                reservation = reservation_of(lease, offset)
                answer = wording.write(
                    self._texts(
                        known,
                        view,
                        lease=lease,
                        offset=offset,
                        reservation=reservation,
                        worst=worst,
                        free_after=book.free,
                        max_output=wanted,
                        expires=expires,
                    )
                )
                self.journal.append(
                    records.encode(
                        records.Reserved(
                            lease=lease.bytes,
                            grounds=till.grounds[id(terms)],
                            seen=view.offset,
                            at_us=micros(call.now),
                            free_before=book.free + worst,
                            amount=worst,
                            input_bound=bound,
                            max_output_tokens=wanted,
                            expires_ms=unix_ms(expires),
                            request_id=request.request_id or "",
                            request_hash=b"",
                            request=call.body,
                            answer=answer,
                        )
                    )
                )
            except BaseException:
                book.cancel(worst)
                raise
            book.enter(offset, worst)
            self.named[reservation.int] = (lease, offset)
            till.reserved += worst
            till.calls += 1
        till.used_at = call.mono
        return Answered(answer, offset)

    def _texts(
        self,
        known: Known,
        view: View,
        *,
        lease: UUID,
        offset: int,
        reservation: UUID,
        worst: int,
        free_after: int,
        max_output: int,
        expires: datetime,
    ) -> dict[str, str]:
        """Which texts stand in the gaps of this answer?"""
        name = ids.id_of("rsv", reservation)[4:]
        texts = {
            **view.texts,
            "id": name,
            "token": token.sign(
                token.ReservationToken(
                    key_id=known.signer.id,
                    lease=lease,
                    sequence=offset,
                    amount_nanos=worst,
                    policy_version=known.policy.snapshot.version,
                    expires_at_ms=unix_ms(expires),
                    max_output_tokens=max_output,
                ),
                key=known.signer.secret,
            ),
            "worst": amount_text(worst),
            "nanos": str(worst),
            "output": str(max_output),
            "expires": _encode_json(expires)[1:-1].decode(),
        }
        for level, (left_nanos, held) in enumerate(zip(view.lefts, view.helds, strict=True)):
            texts[f"h{level}"] = amount_text(held - free_after)
            if left_nanos is not None:
                texts[f"a{level}"] = amount_text(left_nanos + free_after)
        return texts

    # ------------------------------------------------------------------ in full

    def _in_full(self, call: Call, known: Known) -> Answered:
        """Decides by `decide`; borrows when there is room, refuses on a fresh look."""
        waited = False
        for _ in range(_TRIES):
            known = self.known or known
            asked = ask(
                request=call.request,
                caller=call.caller,
                policy=known.policy,
                now=call.now,
                verb=Action.AUTHORIZE,
                prices=known.prices,
            )
            if asked.rule is not None and Mode(asked.rule.mode) is not Mode.ENFORCE:
                return self._strictly(call)
            till = self._open_till(call.request, asked)
            if till is not None and till.run_limited and call.request.run_id:
                return self._strictly(call)
            free = 0
            left_now = Left()
            if till is not None:
                book = till.book
                if book is not None and book.good_until > call.mono:
                    free = book.free
                view = till.view or self._look(till, call)
                left_now = Left(own(view, free))
            ruling = decide(
                question=asked.question, snapshot=known.policy.snapshot, left=left_now
            )
            if till is None or (not ruling.would.goes and not _for_money(ruling)):
                return self._refuse(call, asked, ruling, left_now, known)
            if not ruling.would.goes:
                if _may_shrink(asked):
                    return self._strictly(call)
                if call.mono - view.at > VIEW_MOST_S and not waited:
                    call = replace(call, mono=self.monotonic())
                    self._look(till, call)
                    waited = self._ask_others(till, call)
                    continue
                return self._refuse(call, asked, ruling, left_now, known)
            worst = ruling.worst.nanos if ruling.worst else 0
            if ruling.max_output_tokens < _wanted(asked):
                return self._strictly(call)
            self._learn(call, asked, till, known)
            if free >= worst:
                answered = self._allow(call, asked, ruling, till, left_now, known)
                if answered is not None:
                    return answered
            try:
                self._borrow(till, worst, call, asked)
            except PolicyChanged:
                self.wanted_refresh()
            call = replace(call, mono=self.monotonic())
        return self._strictly(call)

    def _allow(
        self,
        call: Call,
        asked: Asked,
        ruling: Ruling,
        till: Till,
        left_now: Left,
        known: Known,
    ) -> Answered | None:
        """Holds the worst case in the lease; None when another thread was faster."""
        book, view, worst = till.book, till.view, ruling.worst
        if book is None or view is None or worst is None:
            return None
        request = call.request
        expires = call.now + timedelta(seconds=request.ttl_s or strict.TTL_S)
        with self.journal.lock:
            if not book.reserve(worst.nanos, at=call.mono):
                return None
            try:
                grounds = self._grounds(till, asked, call.caller, known)
                offset = self.journal.position
                reservation = reservation_of(book.lease, offset)
                left_exact = Left(own(view, book.free + worst.nanos), left_now.run)
                answer = self._write(
                    asked=asked,
                    ruling=decide(
                        question=asked.question,
                        snapshot=known.policy.snapshot,
                        left=left_exact,
                    ),
                    left_now=left_exact,
                    reservation=reservation,
                    signed=token.sign(
                        token.ReservationToken(
                            key_id=known.signer.id,
                            lease=book.lease,
                            sequence=offset,
                            amount_nanos=worst.nanos,
                            policy_version=known.policy.snapshot.version,
                            expires_at_ms=unix_ms(expires),
                            max_output_tokens=ruling.max_output_tokens,
                        ),
                        key=known.signer.secret,
                    ),
                    expires=expires,
                )
                self.journal.append(
                    records.encode(
                        records.Reserved(
                            lease=book.lease.bytes,
                            grounds=grounds,
                            seen=view.offset,
                            at_us=micros(call.now),
                            free_before=book.free + worst.nanos,
                            amount=worst.nanos,
                            input_bound=asked.bound or 0,
                            max_output_tokens=ruling.max_output_tokens,
                            expires_ms=unix_ms(expires),
                            request_id=request.request_id or "",
                            request_hash=_hash_if_prompted(request),
                            request=_without_prompt(call),
                            answer=answer,
                        )
                    )
                )
            except BaseException:
                book.cancel(worst.nanos)
                raise
            book.enter(offset, worst.nanos)
            self.named[reservation.int] = (book.lease, offset)
            till.reserved += worst.nanos
            till.calls += 1
        till.used_at = call.mono
        return Answered(answer, offset)

    def _write(
        self,
        *,
        asked: Asked,
        ruling: Ruling,
        left_now: Left,
        reservation: UUID,
        signed: str,
        expires: datetime,
    ) -> bytes:
        worst = ruling.worst.nanos if ruling.worst else 0
        view = ReservationView.of(
            public_id=ids.id_of("rsv", reservation),
            token=signed,
            money=Money(asked.policy.currency, worst),
            expires_at=expires,
        )
        return encode(
            decision_answer(
                asked=asked,
                ruling=ruling,
                left_now=left_now,
                decision_id=reservation,
                reservation=view,
                held=worst,
            )
        )

    def _refuse(
        self, call: Call, asked: Asked, ruling: Ruling, left_now: Left, known: Known
    ) -> Answered:
        """Writes a denial down; the ledger hears of it from the bookkeeper."""
        request, price = call.request, asked.question.price
        decision = ids.new_uuid()
        record = decision_record(
            question=asked.question,
            ruling=ruling,
            snapshot=known.policy.snapshot,
            left_now=left_now,
            bound=asked.bound,
        )
        answer = encode(
            decision_answer(
                asked=asked,
                ruling=ruling,
                left_now=left_now,
                decision_id=decision,
                reservation=None,
                held=0,
            )
        )
        first, rule, offer = ruling.reasons[0].code, asked.rule, asked.offer
        offset = self.journal.append(
            records.encode(
                records.Denied(
                    id=decision.bytes,
                    caller=call.caller.key_id,
                    actor=call.caller.actor,
                    at_us=micros(call.now),
                    use_case=rule.id if rule else 0,
                    use_case_slug=request.use_case[:64],
                    department_slug=rule.department_slug if rule else "",
                    envelope=asked.cells.leaf,
                    decision=ruling.outcome.value,
                    would_decision=ruling.would.value,
                    mode=ruling.mode.value,
                    reason=first.value,
                    reason_code=first.number,
                    model=price.model if price else (request.model or ""),
                    worst=ruling.worst.nanos if ruling.worst else 0,
                    policy_version=known.policy.snapshot.version,
                    price_version=price.price_version if price else 0,
                    offer=(offer.venue, offer.model, offer.region or "", str(offer.tier))
                    if offer
                    else None,
                    attempt=request.attempt,
                    request_id=request.request_id or "",
                    request_hash=_hash_if_prompted(request),
                    request=_without_prompt(call),
                    record=_encode_json(record),
                    answer=answer,
                )
            )
        )
        return Answered(answer, offset)

    def _strictly(self, call: Call) -> Answered:
        """One transaction for this call alone (policies.operations.authorize)."""
        body = strict.authorize(request=call.request, caller=call.caller, now=call.now)
        return Answered(body, BY_STRICT)

    # ------------------------------------------------------------------ repeats

    def _repeat(self, call: Call, key: bytes, found: Found) -> bytes:
        """The first answer to this request id, from whichever journal of this host has it.

        Raises: IdempotencyMismatch when it was another request.
        """
        until = self.monotonic() + 2.0
        while found.is_pending:
            if self.monotonic() > until:
                raise ServiceUnavailable(what="the first answer", retry_after_s=1)
            if not self._lives(found.fence):
                # Whoever claimed it died in between: its journal tells, once it is booked.
                return self._strictly(call).body
            time.sleep(0.001)
            again = self.claims.claim(key, fence=self.fence, at_s=self.second())
            if again is Claimed.OURS:
                self.claims.abandon(key, fence=self.fence)
                return self.authorize(
                    request=call.request, body=call.body, caller=call.caller, now=call.now
                )
            if not isinstance(again, Found):
                return self._strictly(call).body
            found = again
        if found.offset == BY_STRICT:
            return self._strictly(call).body
        first = journals.read_at(self.journal_of(found.fence), found.offset)
        if not isinstance(first, records.Reserved | records.Denied):
            return self._strictly(call).body
        if first.request != _without_prompt(call) or call.request.prompt is not None:
            before = first.request_hash or strict.request_hash_of(
                msgspec.structs.replace(
                    msgspec.json.decode(first.request, type=Authorize),
                    request_id=first.request_id,
                )
            )
            if before != strict.request_hash_of(call.request):
                name = f"{call.caller.key_id}#{call.request.request_id}"
                raise IdempotencyMismatch(scope="authorize", key=name)
        return first.answer

    def journal_of(self, fence: int) -> Path:
        """Where does this holder write?"""
        return self.folder / journal_name(fence)

    def _lives(self, fence: int) -> bool:
        try:
            return fence == self.fence or journals.is_held(self.journal_of(fence))
        except FileNotFoundError:
            return False

    def second(self) -> int:
        """In which second of the host's own clock are we? Claims are kept by it."""
        return int(time.monotonic()) + 1

    def place_of(self, reference: str) -> tuple[UUID, int] | None:
        """Which lease and number has the reservation with this public id, if it is ours?"""
        try:
            return self.named.get(ids.uuid_of(reference, "rsv").int)
        except ids.IdMalformed:
            return None

    # ------------------------------------------------------------------ money

    def _borrow(self, till: Till, worst: int, call: Call, asked: Asked) -> None:
        """Has the till enough for this call afterwards, or does its view say why not?

        One thread of the worker borrows for a place; those that come meanwhile use what it got.
        Raises: ServiceUnavailable when the tree is locked by somebody else for too long;
        PolicyChanged.
        """
        if self.stopping:
            raise ServiceUnavailable(what="this worker, which is stopping", retry_after_s=1)
        if self.monotonic() < till.busy_until:
            raise ServiceUnavailable(what="this envelope, which is busy", retry_after_s=1)
        before = till.book
        if not till.refill.acquire(timeout=WAIT_MS / 1_000 * 2):
            raise ServiceUnavailable(what="this envelope, which is busy", retry_after_s=1)
        try:
            book = till.book
            if book is not before and book is not None and book.free >= worst:
                return
            till.use_case = asked.rule.id if asked.rule else 0
            self.refill(till, worst=worst, now=call.now)
        except ServiceUnavailable:
            till.busy_until = self.monotonic() + BUSY_S
            raise
        except HolderEnded as error:
            # The books took this process for dead; its keeper opens another till.
            self.stopping = True
            raise ServiceUnavailable(what="this worker", retry_after_s=1) from error
        finally:
            till.refill.release()

    def refill(self, till: Till, *, worst: int, now: datetime) -> None:
        """Lends a slice for this place; the slice before is given back as far as it is free."""
        begun = self.monotonic()
        till.pace.see(worst)
        till.pace.note(till.reserved, calls=till.calls, at=begun)
        till.reserved = till.calls = 0
        share = 1 if till.place.path[-1].scope_kind in _SMALL else 4

        def size(remaining: int | None, active: int) -> int:
            return next_slice(
                remaining=remaining,
                active_workers=active,
                w99=till.pace.dearest,
                burn_1s=till.pace.burn_1s,
                worst=worst,
                share=share,
            )

        lent = grant_lease(
            cells=till.cells,
            place=till.place,
            size=size,
            least=worst,
            lease=lease_id(self.fence),
            fence=self.fence,
            ttl_s=LEASE_TTL_S,
            use_case_id=till.use_case,
            # A lease serves many keys: no person and no key borrows it.
            actor_id=0,
            policy_version=self.known.policy.snapshot.version if self.known else 0,
            now=now,
            wait_ms=WAIT_MS,
        )
        self._see(till, lent.path, begun)
        if not isinstance(lent, Lent):
            return
        lasts = (lent.expires_at - now).total_seconds() - STOP_BEFORE_S
        fresh = Book(lease=lent.lease, granted=lent.amount, good_until=begun + lasts)
        old = till.book
        self.books[fresh.lease] = (till, fresh)
        till.book = fresh
        if old is not None:
            self.retire(till, old, now=now)

    def retire(self, till: Till, book: Book, *, now: datetime) -> None:
        """Lends nothing out of this lease any more, and gives back what is free in it."""
        book.stop()
        if till.book is book:
            till.book = None
        till.retired[book.lease] = book
        self.give_back(book, now=now)
        if book.is_done:
            self.forget(till, book)

    def give_back(self, book: Book, *, now: datetime) -> int:
        """How much of the lease goes back? Written down; the bookkeeper books it."""
        with self.journal.lock:
            gone = book.give_back()
            if gone:
                self.journal.append(
                    records.encode(
                        records.GivenBack(
                            lease=book.lease.bytes, at_us=micros(now), amount=gone
                        )
                    )
                )
        return gone

    def forget(self, till: Till, book: Book) -> None:
        """Nothing of this lease is left here."""
        till.retired.pop(book.lease, None)
        self.books.pop(book.lease, None)

    def _look(self, till: Till, call: Call) -> View:
        """What do the balances say now? A read without a lock."""
        at = self.monotonic()
        return self._see(till, look_at(till.place, till.cells), at)

    def _see(self, till: Till, path: Any, at: float) -> View:
        with self.journal.lock:
            offset = self.journal.position
            self.journal.append(
                records.encode(
                    records.Seen(
                        number=offset,
                        at_us=0,
                        levels=tuple(
                            (b.cap, b.settled, b.held, b.unsettled, b.contingency) for b in path
                        ),
                    )
                )
            )
        till.view = view_of(path, place=till.place, at=at, offset=offset)
        return till.view

    def _ask_others(self, till: Till, call: Call) -> bool:
        """Before a refusal: do others hold free money of this tree? They give it back now.

        At most once a second a worker waits for it, a twentieth of a second.
        """
        at = self.monotonic()
        if at < self.short_at + 1.0 or till.view is None:
            return False
        if all(balance.held <= 0 for balance in till.view.path):
            return False
        self.short_at = at
        notify("short", root=till.cells.root, envelope=till.leaf)
        deadline = at + 0.08
        while self.monotonic() < deadline:
            time.sleep(0.008)
            before = till.view.helds
            if self._look(till, call).helds != before:
                break
        return True

    # ------------------------------------------------------------------ places and terms

    def _till_of(self, request: Authorize) -> Till | None:
        return self._tills.get(self._place_key(request))

    def _place_key(self, request: Authorize) -> tuple[str | None, ...]:
        """Which values of the call choose its envelope? Only kinds that have envelopes."""
        if not self._kinds:
            return (request.use_case,)
        values = {
            "environment": request.environment,
            "customer": request.customer,
            "run": request.run_id,
        }
        return (request.use_case, *(values[kind] for kind in self._kinds))

    def _open_till(self, request: Authorize, asked: Asked) -> Till | None:
        place = asked.place
        if place is None:
            return None
        row = (asked.cells.envelopes, asked.cells.periods)
        till = self.by_place.get(row)
        if till is None:
            till = self.by_place.setdefault(row, till_at(place))
        elif till.place.path != place.path:
            till.stands_at(place)
        if len(self._tills) >= _MOST_TILLS:
            self._tills.clear()
        self._tills[self._place_key(request)] = till
        return till

    def _learn(self, call: Call, asked: Asked, till: Till, known: Known) -> None:
        """Keeps what the next call like this one needs to know."""
        request, caller = call.request, call.caller
        key = (caller.key_id, request.use_case, request.model, request.venue, request.region)
        terms = terms_of(case_of(asked.question, asked.rule))
        if terms is None or asked.offer is None or asked.bound is None:
            return
        kept = self._terms.get(key)
        if kept is not None and kept[0] == terms:
            terms = kept[0]
        above, most = ledger.bracket_of(
            asked.offer, input_tokens=asked.bound, book=known.prices
        )
        most = terms.bound_most if most is None else min(most, terms.bound_most)
        self._terms[key] = (terms, above, most)
        kind = int(request.max_output_tokens is None)
        if (id(terms), kind) not in till.wordings:
            with self.journal.lock:
                self._grounds(till, asked, caller, known, terms=terms)
            till.wordings[id(terms), kind] = wording_of(
                lambda: self._sample(asked, till, defaulted=kind)
            )

    def _grounds(
        self,
        till: Till,
        asked: Asked,
        caller: Caller,
        known: Known,
        *,
        terms: Terms | None = None,
    ) -> int:
        """Where in the journal does it say on which grounds such calls are decided?"""
        if terms is not None and id(terms) in till.grounds:
            return till.grounds[id(terms)]
        rule, price, place = asked.rule, asked.question.price, asked.place
        if rule is None or price is None or place is None:
            raise LookupError("an allowed call has a rule, a price and a place")
        offset = self.journal.position
        self.journal.append(
            records.encode(
                records.Grounds(
                    number=offset,
                    caller=caller.key_id,
                    actor=caller.actor,
                    currency=asked.policy.currency,
                    use_case=rule.id,
                    use_case_slug=rule.slug,
                    department_slug=rule.department_slug,
                    mode=rule.mode,
                    root=asked.cells.root,
                    path_ids=asked.cells.envelopes,
                    path_publics=tuple(each.public for each in place.path),
                    path_names=tuple(each.name for each in place.path),
                    path_starts_us=tuple(micros(p.start) for p in place.periods),
                    path_ends_us=tuple(micros(p.end) for p in place.periods),
                    offer=price.offer,
                    venue=price.venue,
                    model=price.model,
                    region=price.region or "",
                    tier=price.tier,
                    price_version=price.price_version,
                    policy_version=known.policy.snapshot.version,
                    policy_hash=known.policy.snapshot.hash,
                )
            )
        )
        if terms is not None:
            till.grounds[id(terms)] = offset
        return offset

    def _sample(self, asked: Asked, till: Till, *, defaulted: int) -> Sample:
        """An answer really written, from numbers that occur nowhere else."""
        place, price = till.place, asked.question.price
        if price is None or till.view is None:
            raise LookupError("a wording is made for a call that was priced and looked at")
        open_path = tuple(
            replace(rule, per_call_nanos=None, per_run_nanos=None) for rule in place.path
        )
        request = msgspec.structs.replace(
            asked.question.request,
            input_tokens=asked.bound,
            prompt=None,
            max_output_tokens=None if defaulted else rare_number(digits=9),
        )
        question = replace(
            asked.question,
            request=request,
            price=price if defaulted else replace(price, max_output_tokens=None),
            place=Place(open_path, place.periods),
        )
        path, texts = _rare_path(till.view)
        left_now = Left(path)
        ruling = decide(question=question, snapshot=asked.policy.snapshot, left=left_now)
        worst = ruling.worst.nanos if ruling.worst else 0
        for level, balance in enumerate(path):
            texts[f"h{level}"] = amount_text(balance.held + worst)
            if balance.cap is not None:
                spare = balance.cap - balance.settled - balance.held - balance.unsettled
                texts[f"a{level}"] = amount_text(spare - balance.contingency - worst)
        reservation = UUID(int=int(ids.new_uuid()) ^ rare_number(digits=15))
        expires = asked.question.now + timedelta(microseconds=rare_number(digits=14))
        signed = "".join(str(rare_number(digits=9)) for _ in range(10))
        answer = self._write(
            asked=replace(asked, question=question, place=question.place),
            ruling=ruling,
            left_now=left_now,
            reservation=reservation,
            signed=signed,
            expires=expires,
        )
        texts |= {
            "id": ids.id_of("rsv", reservation)[4:],
            "token": signed,
            "worst": amount_text(worst),
            "nanos": str(worst),
            "expires": _encode_json(expires)[1:-1].decode(),
        }
        if not defaulted:
            texts["output"] = str(ruling.max_output_tokens)
        return Sample(answer, texts)

    def end(self, *, now: datetime) -> None:
        """Writes the last record and closes the journal."""
        self.journal.append(records.encode(records.Ended(at_us=micros(now))))
        self.journal.close()

    def wanted_refresh(self) -> None:
        """Asks the keeper to look for a newer policy now."""
        if self.known is not None:
            self.known.stale.set()

    def learn(self, known: Known, *, now: datetime) -> None:
        """Takes over what is known from now on; places whose envelopes changed start anew."""
        before, self.known = self.known, known
        if before is not None and before.policy.snapshot is known.policy.snapshot:
            if before.prices is not known.prices:
                self._terms.clear()
            return
        self._terms.clear()
        self._tills.clear()
        kinds = {rule.scope_kind for rule in known.policy.snapshot.envelopes.values()}
        self._kinds = tuple(sorted(kinds & _SMALL))
        rules: Mapping[int, Any] = known.policy.snapshot.envelopes
        for till in list(self.by_place.values()):
            fresh = tuple(rules.get(rule.id) for rule in till.place.path)
            recalled = any(
                new is None or new.epoch != old.epoch or new.state != "active"
                for new, old in zip(fresh, till.place.path, strict=True)
            )
            if recalled:
                for book in [till.book, *till.retired.values()]:
                    if book is not None:
                        self.retire(till, book, now=now)
                till.view = None
            if all(rule is not None for rule in fresh):
                till.stands_at(Place(fresh, till.place.periods))


def micros(at: datetime) -> int:
    """How many Unix microseconds?"""
    return (at - _EPOCH) // _US


def lease_id(fence: int) -> UUID:
    """Which id has the next lease of this holder? Its low 40 bits name the holder."""
    fresh = ids.new_uuid().int
    return UUID(int=(fresh >> 40 << 40) | (fence & ((1 << 40) - 1)))


def fence_of(lease: UUID) -> int:
    """Which holder borrowed this lease?"""
    return lease.int & ((1 << 40) - 1)


def _rare_path(view: View) -> tuple[tuple[Any, ...], dict[str, str]]:
    path, texts = [], {}
    for level, balance in enumerate(view.path):
        settled, held = rare_number(digits=11), rare_number(digits=11)
        spare = rare_number(digits=17) + (0 if level == view.binding else 10**18)
        cap = None if balance.cap is None else settled + held + spare
        path.append(
            replace(
                balance,
                cap=cap,
                settled=settled,
                held=held,
                unsettled=0,
                contingency=0,
                limit=cap,
            )
        )
        texts[f"s{level}"] = amount_text(settled)
        if cap is not None:
            texts[f"c{level}"] = amount_text(cap)
    return tuple(path), texts


def _for_money(ruling: Ruling) -> bool:
    return ruling.reasons[0].code in (
        Reason.ENVELOPE_HARD_LIMIT,
        Reason.PARENT_ENVELOPE_EXHAUSTED,
    )


def _may_shrink(asked: Asked) -> bool:
    rule = asked.rule
    shrinks = rule is not None and rule.fit_output
    return asked.question.request.max_output_tokens is None or shrinks


def _wanted(asked: Asked) -> int:
    return case_of(asked.question, asked.rule).wanted


def _hash_if_prompted(request: Authorize) -> bytes:
    """A body without its prompt cannot tell two requests apart; their hash can."""
    return b"" if request.prompt is None else strict.request_hash_of(request)


def _without_prompt(call: Call) -> bytes:
    if call.request.prompt is None:
        return call.body
    return _encode_json(msgspec.structs.replace(call.request, prompt=None))
