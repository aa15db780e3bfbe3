"""What does a router that decides by itself do in the background?

Every half second it sends what its journal says, which renews its leases, and hears whether
policy or prices changed (then it lends nothing out of what was recalled) and which of its calls
ended elsewhere. It borrows before a lease is used up and gives back what nobody uses. What a
process of this router left when it died is sent by the next one.
Source: docs/algorithms/local-leases.md.
"""

import atexit
import contextlib
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import UUID

import msgspec

from o10.client.exchange import Ask, Lost, Outcome
from o10.client.http import AsyncClient, Client
from o10.client.left_journals import ship_left_journals, whole_records
from o10.client.local_till import LocalTill, Terms, bound_level, levels_of, terms_from
from o10.client.outage import ASK_EVERY_S
from o10.client.verbs import answer_in
from o10.kernel import ids
from o10.kernel.errors import Conflict, Denied, Missing, O10Error, ServiceUnavailable
from o10.lease import records
from o10.lease.book import Book, NotOpen, Reuse
from o10.lease.journal import Journal, process_born
from o10.wire.leasing import (
    MAX_NAMED,
    EndedCall,
    LeaseAnswer,
    LeaseAsk,
    Shipment,
    ShipmentAnswer,
    Want,
)

KEEP_EVERY_S: Final = 0.5
STOP_BEFORE_S: Final = 2.0
"""Nothing is lent in the last seconds of a lease, by the clock of before it was asked for."""
IDLE_S: Final = 5.0
LOW: Final = 4
"""Below a quarter of the slice the next one is borrowed."""
REFUSED_FOR_S: Final = 0.2
"""After a refusal o10 decides calls of that place that are as dear, one by one, for so long."""
BORROW_WITHIN_S: Final = 1.0
ASK_OPEN_EVERY: Final = 10
"""Shipments between two questions which open calls ended elsewhere."""
_ASKED = frozenset(LeaseAsk.__struct_fields__) - {
    "want",
    "holder",
    "least",
    "dearest",
    "burn",
    "free",
}
_log = logging.getLogger("o10.client")
_open: "weakref.WeakSet[Keeper]" = weakref.WeakSet()
_LEASE = msgspec.json.Decoder(LeaseAnswer)
_SHIPPED = msgspec.json.Decoder(ShipmentAnswer)


class Keeper:
    """Who looks after the leases of one router process?"""

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        forget: Callable[[], None],
        ended: Callable[[UUID, int], None],
    ) -> None:
        """`forget` is called when no former terms hold any more; `ended` with lease and
        sequence of a call that somebody else ended.
        """
        self._client = client
        self._forget = forget
        self._ended = ended
        self._tills: dict[str, LocalTill] = {}
        self._terms: dict[str, Terms] = {}
        self._books: dict[UUID, tuple[LocalTill, Book]] = {}
        self._unbooked: dict[tuple[UUID, int], int] = {}
        self._learning = threading.Lock()
        self._shipping = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._shipped = 0
        self._rounds = 0
        self._away_until = 0.0
        self._stamp = ""
        self.journal: Journal | None = None
        self.fence = 0
        self.secret = bytes(32)
        self.pid = os.getpid()
        self.over = False
        # A process that ends without a word leaves its leases to expire.
        _open.add(self)

    @property
    def own_journal(self) -> Journal:
        """The journal of this process.

        Raises: ServiceUnavailable before anything was lent.
        """
        if self.journal is None:
            raise ServiceUnavailable(what="the journal of this router", retry_after_s=1)
        return self.journal

    @property
    def own_key(self) -> str:
        """Which key does this router act under, as far as it was told? Its id, no secret."""
        return next((terms.grounds.caller for terms in self._terms.values()), "")

    def wake(self) -> None:
        """A lease is nearly used up: the next one is borrowed now."""
        self._wake.set()

    # ------------------------------------------------------------------ terms and money

    def learn(self, fields: Mapping[str, Any], *, known: Terms | None) -> Terms | None:
        """Which terms have such calls, with money to spend? None = o10 decides this one.

        Raises: the errors of the client; msgspec.ValidationError.
        """
        bound = fields.get("input_tokens")
        if self._closing or not isinstance(bound, int) or monotonic() < self._away_until:
            return None
        if known is None or time.time_ns() // 1_000 >= known.told.ends_us:
            with self._learning:
                known = self._borrow(fields, None)
        if known is None or not known.told.above < bound <= known.told.most:
            return None
        worst = _worst(known, fields)
        if worst > known.told.per_call_least:
            return None
        till = known.till
        if not till.borrowing.acquire(timeout=BORROW_WITHIN_S):
            return None
        try:
            return self._ready(known, fields, worst)
        finally:
            till.borrowing.release()

    def _ready(self, known: Terms, fields: Mapping[str, Any], worst: int) -> Terms | None:
        """Enough money, and answers that fit? Asks for what is missing."""
        till = known.till
        book, view = till.book, till.view
        if book is None or book.free < worst or monotonic() >= book.good_until:
            if worst >= till.refused and monotonic() < till.ask_not_before:
                return None
            return self._borrow(fields, known, want=Want.LEASE, least=worst)
        fits = view.soft_least <= worst - book.free < view.soft_most
        if known.form != view.form or not fits:
            return self._borrow(fields, known)
        return known

    def _borrow(
        self,
        fields: Mapping[str, Any],
        known: Terms | None,
        *,
        want: Want = Want.TERMS,
        least: int = 0,
    ) -> Terms | None:
        """Asks for terms, and for money when it is wanted. None = not to be had."""
        begun = monotonic()
        asked = {
            name: value
            for name, value in fields.items()
            if name in _ASKED and value is not None
        }
        answer = self._ask(asked, known, want=want, least=least)
        if answer.terms is None or answer.view is None:
            return None
        terms = self._take(answer, begun, asked)
        if want is Want.LEASE and answer.lease is None:
            terms.till.refused, terms.till.ask_not_before = least, monotonic() + REFUSED_FOR_S
            return None
        return terms

    def _ask(
        self, asked: Mapping[str, Any], known: Terms | None, *, want: Want, least: int
    ) -> LeaseAnswer:
        body: dict[str, Any] = {**asked, "want": want}
        if self.fence:
            body["holder"] = self.fence
        if known is not None:
            book, pace = known.till.book, known.till.pace
            body["free"] = 0 if book is None else book.free
            if want is Want.LEASE:
                body |= {
                    "least": least,
                    "dearest": max(least, pace.dearest),
                    "burn": pace.burn_1s(at=monotonic()),
                }
        try:
            answer = answer_in(self._post("/api/v1/leases", body), _LEASE)
        except (Conflict, Missing):
            self._end_here()
            raise
        self._begin(answer)
        return answer

    def _take(self, answer: LeaseAnswer, begun: float, asked: dict[str, Any]) -> Terms:
        """Takes over what o10 told; the new lease is the one that calls draw on."""
        told, view = answer.terms, answer.view
        if told is None or view is None:
            raise LookupError("taken are terms that were told")
        till = self._tills.get(told.place)
        if till is None:
            till = self._tills[told.place] = LocalTill(told.place, view)
        terms = terms_from(told, till=till, form=view.form, asked=asked)
        old = till.book
        with self.own_journal.lock:
            recalled = view.epochs != till.view.epochs or not view.active
            till.view, till.levels, till.seen_at = view, levels_of(view), -1
            till.bound = bound_level(view)
            if answer.lease is not None:
                lease = UUID(answer.lease.lease)
                lasts = answer.lease.lives_ms / 1_000 - STOP_BEFORE_S
                fresh = Book(
                    lease=lease,
                    granted=answer.lease.granted,
                    good_until=begun + lasts,
                    reuse=Reuse.WHEN_BOOKED,
                )
                self._books[lease] = (till, fresh)
                till.names = ids.UidSeries(
                    scope="reservation", prefix=f"{lease}#", origin_ms=lease.int >> 80
                )
                till.lease = lease.bytes
                till.book, till.low, till.used_at = fresh, False, monotonic()
        if old is not None and (answer.lease is not None or recalled):
            self.retire(till, old)
        self._terms[told.place] = terms
        return terms

    def write_context(self, terms: Terms) -> None:
        """Grounds and the last look stand in the journal before the first call that names them.

        The journal's lock is held.
        """
        journal, till = self.own_journal, terms.till
        if terms.grounds_at < 0:
            number = journal.position
            grounds = msgspec.structs.replace(terms.grounds, number=number)
            terms.grounds_at = journal.append(records.encode(grounds))
        if till.seen_at < 0:
            number, at_us = journal.position, time.time_ns() // 1_000
            seen = records.Seen(number=number, at_us=at_us, levels=till.view.levels)
            till.seen_at = journal.append(records.encode(seen))

    def retire(self, till: LocalTill, book: Book) -> None:
        """Lends nothing out of this lease any more; what is free in it goes back."""
        book.stop()
        if till.book is book:
            till.book = None
        till.retired[book.lease] = book
        self.give_back(till, book)

    def give_back(self, till: LocalTill, book: Book) -> None:
        """Writes down what goes back; o10 books it with the next shipment."""
        journal, at_us = self.own_journal, time.time_ns() // 1_000
        with journal.lock:
            gone = book.give_back()
            if gone:
                record = records.GivenBack(lease=book.lease.bytes, at_us=at_us, amount=gone)
                journal.append(records.encode(record))
        if book.is_done:
            till.retired.pop(book.lease, None)
            self._books.pop(book.lease, None)

    # ------------------------------------------------------------------ the journal

    @property
    def _path(self) -> Path:
        return self._client.folder / f"journal-{self.fence}.bin"

    def _begin(self, answer: LeaseAnswer) -> None:
        """Starts the journal of this process under its number."""
        if self.journal is not None:
            return
        self.fence, self.secret, self._stamp = answer.holder, answer.secret, answer.stamp
        journal, pid = Journal.create(self._path), os.getpid()
        started = records.Started(
            format=records.FORMAT,
            fence=self.fence,
            host=socket.gethostname()[:200],
            pid=pid,
            born=process_born(pid),
            at_us=time.time_ns() // 1_000,
        )
        journal.append(records.encode(started))
        self.journal = journal
        self._thread = threading.Thread(target=self._run, name="o10-lessee", daemon=True)
        self._thread.start()

    def ship_now(self) -> None:
        """Sends all that the journal says now and o10 does not have yet.

        What is written meanwhile goes with the next shipment, so that a busy router is not
        sending without a pause. Raises: the errors of the client; o10 has what was sent before.
        """
        goal = self.own_journal.position
        with self._shipping:
            self._ship()
            while self._shipped < goal and self._ship():
                pass

    def _ship(self) -> int:
        """Sends one piece; how many bytes o10 has that it had not."""
        journal, before = self.own_journal, set(self._books)
        content = whole_records(self._path, start=self._shipped, end=journal.position)
        begun, was = monotonic(), self._shipped
        shipment = Shipment(offset=was, content=content, named=self._named())
        answer = answer_in(self._post(journal_of(self.fence), shipment), _SHIPPED)
        self._shipped = max(was, answer.kept_to)
        self._hear(answer, begun, before)
        return self._shipped - was

    def _hear(self, answer: ShipmentAnswer, begun: float, before: set[UUID]) -> None:
        lives = {UUID(each.lease): each.lives_ms for each in answer.leases}
        for lease, (till, book) in list(self._books.items()):
            if lease in lives:
                book.renew(begun + lives[lease] / 1_000 - STOP_BEFORE_S)
            elif lease in before:
                # Closed by the books, or taken for lost: it lends nothing any more.
                book.stop()
                if till.book is book:
                    till.book = None
        for ended in answer.ended:
            self._take_in(ended, answer.booked_to)
        if answer.stamp != self._stamp:
            self._stamp = answer.stamp
            self._relearn()

    def _relearn(self) -> None:
        """Policy or prices changed: what was recalled goes back at once."""
        self._forget()
        former, self._terms = self._terms, {}
        for terms in former.values():
            till = terms.till
            if till.book is None:
                continue
            epochs, fresh = till.view.epochs, None
            try:
                fresh = self._borrow(terms.asked, terms)
            except O10Error as error:
                _log.info("the lease of a changed policy is given back: %s", error)
            stays = fresh is not None and fresh.till is till
            if not stays or till.view.epochs != epochs or not till.view.active:
                self._retire_all(till)

    def _retire_all(self, till: LocalTill) -> None:
        for book in [till.book, *list(till.retired.values())]:
            if book is not None:
                self.retire(till, book)

    def note_ended(self, book: Book, sequence: int, *, at: int) -> None:
        """A call ended here; `at` is where the journal says so. Its rest awaits the books."""
        self._unbooked[book.lease, sequence] = at

    def _named(self) -> tuple[tuple[str, int], ...]:
        """Which calls does this router ask about? Its ended ones, now and then the open."""
        self._rounds += 1
        found = [(str(lease), sequence) for lease, sequence in list(self._unbooked)]
        if self._rounds % ASK_OPEN_EVERY == 0:
            for lease, (_, book) in list(self._books.items()):
                found += [(str(lease), sequence) for sequence in list(book.open)]
        return tuple(found[:MAX_NAMED])

    def _take_in(self, ended: EndedCall, booked_to: int) -> None:
        """The books say how a call ended: ours is confirmed by it, or another was first."""
        lease, sequence = UUID(ended.lease), ended.sequence
        written = self._unbooked.get((lease, sequence))
        if written is None:
            # Open here: somebody else ended it.
            self._ended(lease, sequence)
        elif written >= booked_to:
            # Whether ours was first is known once ours was read.
            return
        self._unbooked.pop((lease, sequence), None)
        found = self._books.get(lease)
        if found is None:
            return
        till, book = found
        with contextlib.suppress(NotOpen), self.own_journal.lock:
            if ended.covered is None:
                book.drop(sequence)
            else:
                book.hear(sequence, ended.covered)
        if till.book is not book:
            self.give_back(till, book)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        """Ships, renews, borrows ahead, gives back; what fails is tried again."""
        ship_left_journals(self._client.folder, own=self._path, send=self._send_left)
        while not (self._closing or self.over):
            self._wake.wait(KEEP_EVERY_S)
            self._wake.clear()
            if not (self._closing or self.over):
                self._round()
        if self.over and self.journal is not None:
            # Its successor sends what can be sent of it.
            self.journal.close()

    def _round(self) -> None:
        try:
            for till in list(self._tills.values()):
                self._keep(till)
            self.ship_now()
        except Denied as error:
            _log.error("o10 takes no journal from this key: %s", error)
            self._stop_all()
        except (Conflict, Missing) as error:
            _log.error("o10 has ended this holder: %s", error)
            self._end_here()
        except O10Error as error:
            _log.info("o10 is away: %s", error)

    def _keep(self, till: LocalTill) -> None:
        book = till.book
        if book is None:
            return
        if monotonic() - till.used_at > IDLE_S:
            self.retire(till, book)
            return
        terms = self._terms.get(till.place)
        exact = book.granted <= till.pace.dearest
        if not till.low or exact or terms is None or monotonic() < till.ask_not_before:
            return
        if till.borrowing.acquire(blocking=False):
            try:
                least = till.pace.dearest
                self._borrow(terms.asked, terms, want=Want.LEASE, least=least)
            finally:
                till.borrowing.release()

    def _stop_all(self) -> None:
        for till, book in list(self._books.values()):
            book.stop()
            if till.book is book:
                till.book = None
        self._forget()

    def _end_here(self) -> None:
        """For o10 this holder is over: nothing is lent out of it any more, another begins."""
        self._stop_all()
        self.over = True

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Gives back what is free, writes the last record, sends the rest.

        Calls that are still open stay o10's to end: by their token, or at their expiry.
        """
        if self._closing:
            return
        self._closing = True
        self._forget()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        _open.discard(self)
        if self.journal is None or self.over or self.pid != os.getpid():
            return
        for till in list(self._tills.values()):
            self._retire_all(till)
        self.journal.append(records.encode(records.Ended(at_us=time.time_ns() // 1_000)))
        try:
            self.ship_now()
        except O10Error as error:
            _log.warning("the journal of this router is sent by the next one: %s", error)
            self.journal.close()
        else:
            self.journal.close()
            self._path.unlink(missing_ok=True)

    def _send_left(self, fence: int, shipment: Shipment) -> int:
        """Sends a piece of another process's journal; up to where is it kept?"""
        return answer_in(self._post(journal_of(fence), shipment), _SHIPPED).kept_to

    def _post(self, path: str, body: Any) -> Outcome:
        outcome = self._client.send_once(Ask("POST", path, msgspec.json.encode(body)))
        if isinstance(outcome, Lost):
            # Nobody else waits for a timeout here; the client has its own way of asking.
            self._away_until = monotonic() + ASK_EVERY_S
        return outcome


def close_all() -> None:
    """What is to be told before this process ends? Called at its exit."""
    for keeper in list(_open):
        keeper.close(timeout_s=1.0)


atexit.register(close_all)


def journal_of(fence: int) -> str:
    """Where does o10 take the journal of this holder?"""
    return f"/api/v1/lease-holders/{fence}/journal"


def _worst(known: Terms, fields: Mapping[str, Any]) -> int:
    asked = fields.get("max_output_tokens")
    wanted = known.told.default_output if asked is None else asked
    return known.worst(bound=fields["input_tokens"], wanted=wanted, n=fields.get("n") or 1)
