"""How does a router authorize without a network call? From a lease, in process.

One more holder of leases, beside the decision workers: the same book, the same journal, the
same cap. The usual call is a look-up, a handful of integers and one record in a local file; the
keeper (lessee_keeper.py) sends that file, renews, borrows and gives back in the background.
What is not usual goes to o10 through the client, call by call, with its fail modes.
Source: decision-plane.md section 9; docs/algorithms/local-leases.md.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from os import getpid
from threading import Lock
from time import monotonic, time_ns
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from o10.client.http import Client
from o10.client.lessee_keeper import LOW, Keeper
from o10.client.local_till import (
    FORGET_AFTER,
    LocalBill,
    LocalDecision,
    LocalTill,
    Terms,
    Wording,
    bill_of,
)
from o10.client.verbs import Kept
from o10.kernel import ids
from o10.kernel.errors import IdempotencyMismatch, O10Error, ReservationFinalized
from o10.kernel.money import Money, amount_text
from o10.kernel.rates import MILLION
from o10.lease import records
from o10.lease.book import Book
from o10.lease.journal import JournalFull
from o10.lease.records import Reserved
from o10.wire import token
from o10.wire.decisions import Decision, MoneyView, Released, Settled, encode
from o10.wire.leasing import ROUTER_TOKEN_KEY
from o10.wire.reasons import SettleFlag
from o10.wire.requests import Authorize, Release, Settle

TTL_S: Final = 600
ENDS_UNTIL_MS: Final = 3_000
"""A hold ends here until so long after its expiry; later o10 has it."""
REMEMBERED: Final = 50_000
"""Request ids and endings that are answered again as before."""
_encode_json = msgspec.json.Encoder().encode
_encode_record = records.encode
_convert = msgspec.convert


class _Hold(NamedTuple):
    """What was reserved for one call, here? Made from the plain tuple when it ends."""

    book: Book
    sequence: int
    amount: int
    terms: Terms
    max_output: int
    n: int
    ends_ms: int
    token: str


class Lessee:
    """What does one router process decide by itself?

    `client` carries what is not decided here, the leases and the journal.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = Lock()
        self._terms: dict[tuple[str | None, ...], Terms | None] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._holds: dict[str, tuple[Any, ...]] = {}
        self._answered: OrderedDict[str, tuple[bytes, LocalDecision]] = OrderedDict()
        self._ended: OrderedDict[str, tuple[str, bytes, Any]] = OrderedDict()
        self.keeper = self._new_keeper()
        self.local = 0
        self.remote = 0

    def _new_keeper(self) -> Keeper:
        return Keeper(self._client, forget=self._forget, ended=self.ended_elsewhere)

    def __enter__(self) -> "Lessee":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ authorize

    def authorize(self, **fields: Any) -> LocalDecision | Decision:
        """May this call spend? As `Client.authorize`; without a network call where it can."""
        decided = self.try_authorize(fields)
        if decided is None and self._prepare(fields):
            decided = self.try_authorize(fields)
        if decided is not None:
            return decided
        self.remote += 1
        return self._client.authorize(**fields)

    def try_authorize(  # noqa: C901 - one look at each thing that may be unusual
        self, fields: Mapping[str, Any]
    ) -> LocalDecision | None:
        """Decides here and now, or not at all: None. Never waits for anybody."""
        use_case = fields.get("use_case")
        labels = self._labels.get(use_case)  # type: ignore[arg-type]
        if labels is None:
            return None
        key = (use_case, fields.get("model"), fields.get("venue"), fields.get("region"))
        if labels:
            key += tuple([fields.get(label) for label in labels])  # type: ignore[assignment]
        terms = self._terms.get(key)
        if terms is None:
            return None
        try:
            request = _convert(fields, Authorize)
        except msgspec.ValidationError:
            # o10 says what is wrong with it.
            return None
        bound, told = request.input_tokens, terms.told
        if bound is None or request.prompt is not None or not told.above < bound <= told.most:
            return None
        wanted = request.max_output_tokens
        if wanted is None:
            wanted, wording = told.default_output, terms.defaulted
        else:
            wording = terms.given
        if wanted > told.output_most or (wanted and not told.output_priced):
            return None
        if (request.cached_input_tokens and not told.cache_priced) or (
            told.run_limited and request.run_id
        ):
            return None
        scaled = bound * told.input_price + request.n * wanted * told.output_price
        worst = -(-scaled // MILLION) + told.fixed_nanos
        now_us = time_ns() // 1_000
        if worst > told.per_call_least or now_us >= told.ends_us:
            return None
        body = _encode_json(fields)
        if request.request_id is None:
            return self._reserve(terms, wording, request, body, worst, wanted, now_us)
        return self._once(terms, wording, request, body, worst, wanted, now_us)

    def _once(
        self,
        terms: Terms,
        wording: Wording,
        request: Authorize,
        body: bytes,
        worst: int,
        wanted: int,
        now_us: int,
    ) -> LocalDecision | None:
        """A request id is answered once.

        Raises: IdempotencyMismatch when it was used for another request.
        """
        request_id = request.request_id or ""
        with self._lock:
            before = self._answered.get(request_id)
            if before is not None:
                if before[0] != body:
                    raise IdempotencyMismatch(scope="authorize", key=request_id)
                return before[1]
            decision = self._reserve(terms, wording, request, body, worst, wanted, now_us)
            if decision is not None:
                self._remember(self._answered, request_id, (body, decision))
            return decision

    def _reserve(
        self,
        terms: Terms,
        wording: Wording,
        request: Authorize,
        body: bytes,
        worst: int,
        wanted: int,
        now_us: int,
    ) -> LocalDecision | None:
        till, told, keeper = terms.till, terms.told, self.keeper
        journal, at = keeper.journal, monotonic()
        if journal is None or keeper.pid != getpid():
            return None
        expires_ms = now_us // 1_000 + (request.ttl_s or TTL_S) * 1_000
        with journal.lock:
            book, view, names = till.book, till.view, till.names
            if book is None or names is None or terms.form != view.form:
                return None
            free = book.free
            if not view.soft_least <= worst - free < view.soft_most:
                return None
            if not book.reserve(worst, at=at):
                return None
            try:
                if terms.grounds_at < 0 or till.seen_at < 0:
                    keeper.write_context(terms)
                if wording.view is not view:
                    wording.bind(till)
                sequence = journal.position
                name = ids.text_of(names.number(str(sequence)))
                signed = token.sign_parts(
                    ROUTER_TOKEN_KEY,
                    till.lease,
                    sequence,
                    worst,
                    told.policy_version,
                    expires_ms,
                    wanted,
                    key=keeper.secret,
                )
                held, left = till.bound
                rest = free - worst
                values = (
                    name,
                    signed,
                    amount_text(worst),
                    str(worst),
                    str(wanted),
                    _instant(expires_ms),
                    amount_text(held - rest),
                    amount_text(left + rest),
                )
                answer = (wording.pattern % wording.pick(values)).encode()
                journal.append(
                    _encode_record(
                        Reserved(
                            lease=till.lease,
                            grounds=terms.grounds_at,
                            seen=till.seen_at,
                            at_us=now_us,
                            free_before=free,
                            amount=worst,
                            input_bound=request.input_tokens or 0,
                            max_output_tokens=wanted,
                            expires_ms=expires_ms,
                            request_id=request.request_id or "",
                            request_hash=b"",
                            request=body,
                            answer=answer,
                        )
                    )
                )
            except JournalFull:
                # o10 decides as long as this disk takes nothing.
                book.cancel(worst)
                return None
            except BaseException:
                book.cancel(worst)
                raise
            book.enter(sequence, worst)
        self._holds[name] = (
            book,
            sequence,
            worst,
            terms,
            wanted,
            request.n,
            expires_ms,
            signed,
        )
        self._note(till, worst, at, low=free * LOW < book.granted)
        return LocalDecision(answer, signed, told.model, wanted)

    def _note(self, till: LocalTill, worst: int, at: float, *, low: bool) -> None:
        till.used_at = at
        pace = till.pace
        pace.reserved += worst
        pace.calls += 1
        if worst > pace.dearest or pace.calls > FORGET_AFTER:
            pace.see(worst)
        self.local += 1
        if low and not till.low:
            till.low = True
            self.keeper.wake()

    def _prepare(self, fields: Mapping[str, Any]) -> bool:
        """Gets what is missing to decide such calls here. False = o10 decides this one."""
        if self.keeper.pid != getpid():
            self._begin_anew()
        use_case = fields.get("use_case")
        if not isinstance(use_case, str):
            return False
        try:
            terms = self.keeper.learn(fields, known=self._known(fields))
        except (O10Error, msgspec.ValidationError):
            # Whatever it is, o10 says it to the call itself.
            return False
        if terms is None:
            return False
        with self._lock:
            self._labels[use_case] = terms.told.labels
            self._terms[self._key(use_case, terms.told.labels, fields)] = terms
        return True

    def _begin_anew(self) -> None:
        """A forked child: leases, journal and holds are the parent's."""
        self._terms, self._holds = {}, {}
        self.keeper = self._new_keeper()

    def _known(self, fields: Mapping[str, Any]) -> Terms | None:
        use_case = fields.get("use_case") or ""
        return self._terms.get(self._key(use_case, self._labels.get(use_case, ()), fields))

    @staticmethod
    def _key(
        use_case: str, labels: tuple[str, ...], fields: Mapping[str, Any]
    ) -> tuple[str | None, ...]:
        names = ("model", "venue", "region", *labels)
        return (use_case, *(fields.get(name) for name in names))

    def _forget(self) -> None:
        """Policy or prices changed: no former terms decide anything any more."""
        with self._lock:
            self._terms = {}

    # ------------------------------------------------------------------ settle, release

    def settle(self, **fields: Any) -> Settled | Kept:
        """What did the attempt use? As `Client.settle`; here if it was decided here."""
        name = _name_of(fields.get("reservation"))
        hold = self._hold(name)
        if hold is None:
            ended = self._ended.get(name)
            if ended is not None:
                return self._again(ended, "settle", fields)  # type: ignore[no-any-return]
            return self._client.settle(**fields)
        try:
            request = _convert({k: v for k, v in fields.items() if v is not None}, Settle)
        except msgspec.ValidationError:
            return self._elsewhere("settle", hold, fields)  # type: ignore[no-any-return]
        bill = None
        if request.final and time_ns() // 1_000_000 < hold.ends_ms + ENDS_UNTIL_MS:
            bill = bill_of(
                request,
                terms=hold.terms,
                amount=hold.amount,
                max_output_tokens=hold.max_output,
                n=hold.n,
            )
        if bill is None:
            return self._elsewhere("settle", hold, fields)  # type: ignore[no-any-return]
        return self._settle(name, hold, request, bill, fields)

    def release(self, **fields: Any) -> Released | Kept:
        """Was nothing billed? As `Client.release`."""
        name = _name_of(fields.get("reservation"))
        hold = self._hold(name)
        if hold is None:
            ended = self._ended.get(name)
            if ended is not None:
                return self._again(ended, "release", fields)  # type: ignore[no-any-return]
            return self._client.release(**fields)
        if time_ns() // 1_000_000 >= hold.ends_ms + ENDS_UNTIL_MS:
            return self._elsewhere("release", hold, fields)  # type: ignore[no-any-return]
        try:
            request = _convert({k: v for k, v in fields.items() if v is not None}, Release)
        except msgspec.ValidationError:
            return self._elsewhere("release", hold, fields)  # type: ignore[no-any-return]
        currency = hold.terms.told.currency
        answer = Released(entry_id=None, refunded=MoneyView.of(Money(currency, hold.amount)))
        grounds = hold.terms.grounds
        journal = self.keeper.own_journal
        with journal.lock:
            if name not in self._holds:
                return self.release(**fields)
            at = journal.append(
                records.encode(
                    records.Released(
                        lease=hold.book.lease.bytes,
                        sequence=hold.sequence,
                        journal=self.keeper.fence,
                        at_us=time_ns() // 1_000,
                        caller=grounds.caller,
                        actor=grounds.actor,
                        request_hash=b"",
                        request=encode(
                            msgspec.structs.replace(request, reservation=hold.token)
                        ),
                        answer=encode(answer),
                    )
                )
            )
            del self._holds[name]
            hold.book.release(hold.sequence)
            self.keeper.note_ended(hold.book, hold.sequence, at=at)
        self._after(name, hold, "release", fields, answer)
        return answer

    def _settle(
        self,
        name: str,
        hold: _Hold,
        request: Settle,
        bill: LocalBill,
        fields: Mapping[str, Any],
    ) -> Settled | Kept:
        book, currency = hold.book, hold.terms.told.currency
        grounds, journal = hold.terms.grounds, self.keeper.own_journal
        reservation = ids.uid(
            scope="reservation",
            key=f"{book.lease}#{hold.sequence}",
            origin_ms=book.lease.int >> 80,
        )
        uid = ids.uid(
            scope="settle",
            key=f"{reservation}#{request.attempt}",
            origin_ms=reservation.int >> 80,
        )
        with journal.lock:
            if name not in self._holds:
                return self.settle(**fields)
            covered = book.covers(hold.sequence, bill.cost)
            excess = bill.cost - covered
            refunded = hold.amount - min(bill.cost, hold.amount)
            answer = _settled(uid, currency, bill, refunded, excess)
            at = journal.append(
                records.encode(
                    records.Settled(
                        lease=book.lease.bytes,
                        sequence=hold.sequence,
                        journal=self.keeper.fence,
                        at_us=time_ns() // 1_000,
                        attempt=request.attempt,
                        final=True,
                        cost=bill.cost,
                        covered=covered,
                        caller=grounds.caller,
                        actor=grounds.actor,
                        request_hash=b"",
                        request=encode(
                            msgspec.structs.replace(request, reservation=hold.token)
                        ),
                        answer=encode(answer),
                    )
                )
            )
            del self._holds[name]
            book.settle(hold.sequence, bill.cost, final=True)
            self.keeper.note_ended(book, hold.sequence, at=at)
        self._after(name, hold, "settle", fields, answer)
        return answer

    def _hold(self, name: str) -> _Hold | None:
        found = self._holds.get(name)
        return None if found is None else _Hold(*found)

    def _elsewhere(self, verb: str, hold: _Hold, fields: Mapping[str, Any]) -> Any:
        """o10 ends this call; its record must have arrived there first."""
        self.keeper.ship_now()
        asked = {**fields, "reservation": hold.token}
        if verb == "settle":
            return self._client.settle(**asked)
        return self._client.release(**asked)

    def _again(
        self, ended: tuple[str, bytes, Any], verb: str, fields: Mapping[str, Any]
    ) -> Any:
        """The first answer to the same ending.

        Raises: ReservationFinalized, IdempotencyMismatch: as o10 would.
        """
        before, body, answer = ended
        if before != verb:
            raise ReservationFinalized(id=str(fields.get("reservation"))[:90])
        if body != _body(fields):
            raise IdempotencyMismatch(scope=verb)
        return answer

    def _after(
        self, name: str, hold: _Hold, verb: str, fields: Mapping[str, Any], answer: Any
    ) -> None:
        self._remember(self._ended, name, (verb, _body(fields), answer))
        till = hold.terms.till
        if till.book is not hold.book:
            self.keeper.give_back(till, hold.book)

    @staticmethod
    def _remember(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
        kept[key] = value
        if len(kept) > REMEMBERED:
            kept.popitem(last=False)

    def ended_elsewhere(self, lease: UUID, sequence: int) -> None:
        """A call of ours that somebody else ended: it is not ours to end any more."""
        number = ids.uid(
            scope="reservation", key=f"{lease}#{sequence}", origin_ms=lease.int >> 80
        )
        self._holds.pop(ids.text_of(number.int), None)

    def close(self) -> None:
        """Gives back what is free, tells the rest, ends the journal."""
        self.keeper.close()


def _name_of(reservation: Any) -> str:
    """Under which name is this reservation kept here, by its id or token?"""
    text = str(reservation)
    said = token.peek(text)
    if said is None:
        return text.removeprefix("rsv_")
    lease, sequence = said.lease, said.sequence
    number = ids.uid(scope="reservation", key=f"{lease}#{sequence}", origin_ms=lease.int >> 80)
    return ids.text_of(number.int)


def _settled(uid: UUID, currency: str, bill: LocalBill, refunded: int, excess: int) -> Settled:
    flags = set(bill.flags) | ({SettleFlag.OVERRUN} if excess else set())
    return Settled(
        entry_id=ids.id_of("ent", uid),
        cost=MoneyView.of(Money(currency, bill.cost)),
        refunded=MoneyView.of(Money(currency, refunded)),
        overrun=MoneyView.of(Money(currency, excess)),
        late=False,
        flags=tuple(flag for flag in SettleFlag if flag in flags),
    )


def _body(fields: Mapping[str, Any]) -> bytes:
    known = {k: v for k, v in fields.items() if v is not None and k != "reservation"}
    return msgspec.json.encode(known, order="deterministic")


_second: tuple[int, str] = (0, "")


def _instant(ms: int) -> str:
    """How is this instant written? RFC 3339; one text a second is made."""
    global _second
    second, rest = divmod(ms, 1_000)
    known = _second
    if known[0] != second:
        text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        known = _second = (second, text)
    return f"{known[1]}.{rest:03d}000Z"


__all__ = ["Lessee", "LocalDecision", "LocalTill"]
