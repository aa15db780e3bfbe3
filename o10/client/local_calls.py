"""What does a router decide, settle and release by itself, without asking anybody?

The calls in hand of one process, from terms and leases that the keeper looks after. Nothing
here waits: one record in the local journal, then the answer. None = this one is o10's.
Source: docs/algorithms/local-leases.md.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from os import getpid
from threading import Lock
from time import monotonic, time_ns
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from o10.client.lessee_keeper import LOW, Keeper
from o10.client.local_till import (
    LocalBill,
    LocalDecision,
    Terms,
    Wording,
    bill_of,
)
from o10.kernel import ids
from o10.kernel.errors import IdempotencyMismatch, O10Error, ReservationFinalized
from o10.kernel.money import Nanos, amount_text
from o10.kernel.rates import MILLION
from o10.lease import records
from o10.lease.book import Book
from o10.lease.journal import JournalFull
from o10.lease.records import Reserved
from o10.wire import token
from o10.wire.decisions import MoneyView, Released, Settled, encode
from o10.wire.fields import MAX_TOKENS
from o10.wire.leasing import ROUTER_TOKEN_KEY
from o10.wire.reasons import SettleFlag
from o10.wire.requests import Authorize, Release, Settle

T = TypeVar("T", bound=msgspec.Struct)
TTL_S: Final = 600
ENDS_UNTIL_MS: Final = 3_000
"""A hold ends here until so long after its expiry; later o10 has it."""
REMEMBERED: Final = 50_000
"""Request ids and endings that are answered again as before."""
_PLAIN = frozenset(
    {
        "use_case",
        "model",
        "venue",
        "region",
        "input_tokens",
        "max_output_tokens",
        "n",
        "request_id",
    }
)
_LONGEST_ID = 128
_MOST_COMPLETIONS = 128
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
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Theirs:
    """Which call of ours has to be ended by o10? Its token; send the journal first."""

    token: str


class LocalCalls:
    """Which calls of this process were decided here, and by which terms?"""

    def __init__(self, make_keeper: Callable[["LocalCalls"], Keeper]) -> None:
        """`make_keeper` is called again in a forked child: leases are the parent's."""
        self._make_keeper = make_keeper
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._terms: dict[tuple[str | None, ...], Terms] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._holds: dict[str, tuple[Any, ...]] = {}
        self._tokens: dict[str, str] = {}
        # What is kept for long is bytes: objects would make each garbage collection longer.
        self._answered: dict[str, tuple[bytes, LocalDecision]] = {}
        self._ended: dict[str, tuple[str, bytes, bytes]] = {}
        self.keeper = self._make_keeper(self)
        self.local = 0

    def try_authorize(  # noqa: C901, PLR0912 - one look at each thing that may be unusual
        self, fields: Mapping[str, Any]
    ) -> LocalDecision | None:
        """Decides here and now, or not at all: None. Never waits for anybody.

        Raises: IdempotencyMismatch for a request id that was used for another request.
        """
        labels = self._labels.get(fields.get("use_case"))  # type: ignore[arg-type]
        if labels is None:
            return None
        terms = self._terms.get(_key(fields, labels))
        if terms is None:
            return None
        asked = _read(fields)
        if asked is None:
            return None
        bound, wanted, n, ttl_s, request_id = asked
        told = terms.told
        if not told.above < bound <= told.most or (
            told.run_limited and fields.get("run_id") is not None
        ):
            return None
        if wanted is None:
            wanted, wording = told.default_output, terms.defaulted
        else:
            wording = terms.given
        if wanted > told.output_most or (wanted and not told.output_priced):
            return None
        if not told.cache_priced and fields.get("cached_input_tokens"):
            return None
        scaled = bound * told.input_price + n * wanted * told.output_price
        worst = -(-scaled // MILLION) + told.fixed_nanos
        now_us = time_ns() // 1_000
        if worst > told.per_call_least or now_us >= told.ends_us:
            return None
        return self._reserve(
            terms,
            wording,
            (bound, wanted, n, request_id),
            _encode_json(fields),
            worst,
            now_us,
            now_us // 1_000 + ttl_s * 1_000,
        )

    def _reserve(  # noqa: C901, PLR0912 - one look at each thing that may be unusual
        self,
        terms: Terms,
        wording: Wording,
        asked: tuple[int, int, int, str | None],
        body: bytes,
        worst: int,
        now_us: int,
        expires_ms: int,
    ) -> LocalDecision | None:
        """Takes the money, writes it down, answers; None when the lease has not enough."""
        bound, wanted, n, request_id = asked
        at, keeper, till, told = monotonic(), self.keeper, terms.till, terms.told
        journal = keeper.journal
        if journal is None or keeper.pid != getpid():
            return None
        with journal.lock:
            if request_id is not None:
                before = self._answered.get(request_id)
                if before is not None:
                    return _same(before, body, request_id)
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
                number = names.number(str(sequence))
                name = ids.text_of(number)
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
                            input_bound=bound,
                            max_output_tokens=wanted,
                            expires_ms=expires_ms,
                            request_id=request_id or "",
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
            decision = LocalDecision(answer, signed, told.model, wanted, name, wording)
            hold = (book, sequence, worst, terms, wanted, n, expires_ms, signed, name, number)
            self._tokens[name] = signed
            self._holds[signed] = hold
            if request_id is not None:
                self._answered[request_id] = (body, decision)
                if len(self._answered) > REMEMBERED:
                    del self._answered[next(iter(self._answered))]
            self.local += 1
        till.used_at = at
        till.pace.note(worst)
        if not till.low and rest * LOW < book.granted:
            till.low = True
            keeper.wake()
        return decision

    # ------------------------------------------------------------------ terms

    def prepare(self, fields: Mapping[str, Any]) -> bool:
        """Gets what is missing to decide such calls here, from o10. False = it decides this."""
        if self.keeper.over or self.keeper.pid != getpid():
            self._begin()
        use_case = fields.get("use_case")
        if not isinstance(use_case, str):
            return False
        try:
            terms = self.keeper.learn(fields, known=self._known(use_case, fields))
        except (O10Error, msgspec.ValidationError):
            # Whatever it is, o10 says it to the call itself.
            return False
        if terms is None:
            return False
        with self._lock:
            self._labels[use_case] = terms.told.labels
            self._terms[_key(fields, terms.told.labels)] = terms
        return True

    def forget(self) -> None:
        """Policy or prices changed: no former terms decide anything any more."""
        with self._lock:
            self._terms = {}

    def _known(self, use_case: str, fields: Mapping[str, Any]) -> Terms | None:
        return self._terms.get(_key(fields, self._labels.get(use_case, ())))

    # ------------------------------------------------------------------ settle, release

    def settle(self, fields: Mapping[str, Any]) -> Settled | Theirs | None:
        """What did the attempt use? None = not a call of ours; Theirs = o10 has to end it.

        Raises: ReservationFinalized, IdempotencyMismatch: as o10 would.
        """
        hold = self._hold(fields.get("reservation"))
        if hold is None:
            again: Settled | None = self._again("settle", fields)
            return again
        try:
            request = _request(fields, hold.token, Settle)
        except msgspec.ValidationError:
            return Theirs(hold.token)
        bill = None
        if request.final and _in_time(hold):
            bill = bill_of(
                request,
                terms=hold.terms,
                amount=hold.amount,
                max_output_tokens=hold.max_output,
                n=hold.n,
            )
        if bill is None:
            return Theirs(hold.token)
        try:
            answer = self._settle(hold, request, bill)
        except JournalFull:
            return Theirs(hold.token)
        # None: another thread has ended it meanwhile.
        return self.settle(fields) if answer is None else answer

    def release(self, fields: Mapping[str, Any]) -> Released | Theirs | None:
        """Was nothing billed? As `settle`."""
        hold = self._hold(fields.get("reservation"))
        if hold is None:
            again: Released | None = self._again("release", fields)
            return again
        try:
            request = _request(fields, hold.token, Release)
            if not _in_time(hold):
                return Theirs(hold.token)
            answer = self._release(hold, request)
        except (msgspec.ValidationError, JournalFull):
            return Theirs(hold.token)
        return self.release(fields) if answer is None else answer

    def find(self, reservation: Any) -> Theirs | None:
        """Is this a call of ours that is still open?"""
        hold = self._hold(reservation)
        return None if hold is None else Theirs(hold.token)

    def let_go(self, reservation: str) -> None:
        """o10 has this call from now on; what becomes of its money the books say."""
        self._end(self._hold(reservation))

    def ended_elsewhere(self, lease: UUID, sequence: int) -> None:
        """A call of ours that somebody else ended: it is not ours to end any more."""
        self._end(self._hold(ids.text_of(_reservation(lease, sequence).int)))

    def _settle(self, hold: _Hold, request: Settle, bill: LocalBill) -> Settled | None:
        """Writes the settle down; None when another thread ended the call meanwhile."""
        book, terms, keeper = hold.book, hold.terms, self.keeper
        uid = ids.uid(
            scope="settle",
            key=f"{UUID(int=hold.number)}#{request.attempt}",
            origin_ms=hold.number >> 80,
        )
        said = encode(request)
        journal = keeper.own_journal
        with journal.lock:
            if hold.token not in self._holds:
                return None
            covered = book.covers(hold.sequence, bill.cost)
            refunded = hold.amount - min(bill.cost, hold.amount)
            answer = _settled(uid, terms.told.currency, bill, refunded, bill.cost - covered)
            told = encode(answer)
            record = records.Settled(
                lease=book.lease.bytes,
                sequence=hold.sequence,
                journal=keeper.fence,
                at_us=time_ns() // 1_000,
                attempt=request.attempt,
                final=True,
                cost=bill.cost,
                covered=covered,
                caller=terms.grounds.caller,
                actor=terms.grounds.actor,
                request_hash=b"",
                request=said,
                answer=told,
            )
            at = journal.append(_encode_record(record))
            self._end(hold)
            book.settle(hold.sequence, bill.cost, final=True)
            keeper.note_ended(book, hold.sequence, at=at)
        self._after(hold, "settle", said, told)
        return answer

    def _release(self, hold: _Hold, request: Release) -> Released | None:
        book, grounds, keeper = hold.book, hold.terms.grounds, self.keeper
        money = money_view(hold.amount, hold.terms.told.currency)
        answer = Released(entry_id=None, refunded=money)
        said, told = encode(request), encode(answer)
        journal = keeper.own_journal
        with journal.lock:
            if hold.token not in self._holds:
                return None
            record = records.Released(
                lease=book.lease.bytes,
                sequence=hold.sequence,
                journal=keeper.fence,
                at_us=time_ns() // 1_000,
                caller=grounds.caller,
                actor=grounds.actor,
                request_hash=b"",
                request=said,
                answer=told,
            )
            at = journal.append(_encode_record(record))
            self._end(hold)
            book.release(hold.sequence)
            keeper.note_ended(book, hold.sequence, at=at)
        self._after(hold, "release", said, told)
        return answer

    def _hold(self, reservation: Any) -> _Hold | None:
        """Which open call is this, by its token, its id, or the name that is in it?"""
        found = self._holds.get(reservation)
        if found is None:
            signed = self._tokens.get(str(reservation).removeprefix("rsv_"))
            found = None if signed is None else self._holds.get(signed)
        return None if found is None else _Hold(*found)

    def _end(self, hold: _Hold | None) -> None:
        """Nothing is held for it here any more."""
        if hold is not None:
            self._holds.pop(hold.token, None)
            self._tokens.pop(hold.name, None)

    def _again(self, verb: str, fields: Mapping[str, Any]) -> Any:
        """The first answer to the same ending; None when it was not ended here."""
        ended = self._ended.get(_name_of(fields.get("reservation")))
        if ended is None:
            return None
        before, said, told = ended
        if before != verb:
            raise ReservationFinalized(id=str(fields.get("reservation"))[:90])
        kind, answer = _ENDINGS[verb]
        first = msgspec.json.decode(said, type=kind)
        try:
            request = _request(fields, first.reservation, kind)
        except msgspec.ValidationError:
            request = None
        if request != first:
            raise IdempotencyMismatch(scope=verb)
        return msgspec.json.decode(told, type=answer)

    def _after(self, hold: _Hold, verb: str, said: bytes, told: bytes) -> None:
        ended = self._ended
        ended[hold.name] = (verb, said, told)
        if len(ended) > REMEMBERED:
            with suppress(KeyError, StopIteration, RuntimeError):
                # Another thread may be at the same one.
                del ended[next(iter(ended))]
        till = hold.terms.till
        if till.book is not hold.book:
            self.keeper.give_back(till, hold.book)


def _same(before: tuple[bytes, LocalDecision], body: bytes, request_id: str) -> LocalDecision:
    if before[0] != body:
        raise IdempotencyMismatch(scope="authorize", key=request_id)
    return before[1]


def _name_of(reservation: Any) -> str:
    """Which name is in this reservation's id or token?"""
    text = str(reservation)
    said = token.peek(text)
    if said is None:
        return text.removeprefix("rsv_")
    return ids.text_of(_reservation(said.lease, said.sequence).int)


def _request(fields: Mapping[str, Any], signed: str, kind: type[T]) -> T:
    """What is asked, with the token for a name? Raises: msgspec.ValidationError."""
    known = {name: value for name, value in fields.items() if value is not None}
    known["reservation"] = signed
    return _convert(known, kind)


def _reservation(lease: UUID, sequence: int) -> UUID:
    return ids.uid(scope="reservation", key=f"{lease}#{sequence}", origin_ms=lease.int >> 80)


def _in_time(hold: _Hold) -> bool:
    """Later the call is o10's: it may have expired it."""
    return time_ns() // 1_000_000 < hold.ends_ms + ENDS_UNTIL_MS


def _key(fields: Mapping[str, Any], labels: tuple[str, ...]) -> tuple[Any, ...]:
    """Which values of a call choose its terms?"""
    get = fields.get
    key = (get("use_case"), get("model"), get("venue"), get("region"))
    return key + tuple([get(label) for label in labels]) if labels else key


def _read(
    fields: Mapping[str, Any],
) -> tuple[int, int | None, int, int, str | None] | None:
    """Input tokens, output bound, completions, seconds to live, request id. None = unusual.

    Of the plainest calls only the values are looked at that are used; what chose their terms
    was read by o10. Every other call is read as o10 would.
    """
    get = fields.get
    if fields.keys() <= _PLAIN:
        bound, wanted, request_id = get("input_tokens"), get("max_output_tokens"), None
        plain = type(bound) is int and 0 <= bound <= MAX_TOKENS
        if wanted is not None:
            plain = plain and type(wanted) is int and 0 <= wanted <= MAX_TOKENS
        n = fields.get("n", 1)
        plain = plain and type(n) is int and 0 < n <= _MOST_COMPLETIONS
        if "request_id" in fields:
            request_id = fields["request_id"]
            plain = plain and (
                request_id is None
                or (
                    type(request_id) is str
                    and 0 < len(request_id) <= _LONGEST_ID
                    and request_id.isascii()
                    and request_id.isprintable()
                )
            )
        if plain:
            return bound, wanted, n, TTL_S, request_id  # type: ignore[return-value]
    try:
        request = _convert(fields, Authorize)
    except msgspec.ValidationError:
        # o10 says what is wrong with it.
        return None
    if request.input_tokens is None or request.prompt is not None:
        return None
    return (
        request.input_tokens,
        request.max_output_tokens,
        request.n,
        request.ttl_s or TTL_S,
        request.request_id,
    )


def _settled(uid: UUID, currency: str, bill: LocalBill, refunded: int, excess: int) -> Settled:
    flags: tuple[SettleFlag, ...] = ()
    if excess or bill.flags:
        known = bill.flags | {SettleFlag.OVERRUN} if excess else bill.flags
        flags = tuple(flag for flag in SettleFlag if flag in known)
    return Settled(
        entry_id=ids.id_of("ent", uid),
        cost=money_view(bill.cost, currency),
        refunded=money_view(refunded, currency),
        overrun=money_view(excess, currency),
        late=False,
        flags=flags,
    )


def money_view(nanos: Nanos, currency: str) -> MoneyView:
    """How is this amount told? As `MoneyView.of`, of a currency that o10 named."""
    return MoneyView(amount=amount_text(nanos), amount_nanos=str(nanos), currency=currency)


_ENDINGS: Final[Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {"settle": (Settle, Settled), "release": (Release, Released)}
)
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
