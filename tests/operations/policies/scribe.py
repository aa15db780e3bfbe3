"""A decision worker for tests: it borrows, and writes its journal by hand."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from o10.kernel.money import Money
from o10.lease import records
from o10.lease.journal import Journal
from o10.wire import token
from o10.wire.decisions import ReservationView, encode
from o10.wire.requests import Authorize, Release, Settle, UsageCounts
from policies.core.decide import decide
from policies.core.instants import unix_ms
from policies.core.question import Left
from policies.core.record import decision_record
from policies.operations import statements
from policies.operations.answers import decision_answer, settled_answer
from policies.operations.balances import READ_BALANCES
from policies.operations.booked_call import hold_of, reservation_of, settle_uid
from policies.operations.open_holder import journal_name, open_holder
from policies.operations.price_attempt import price_attempt
from policies.operations.questions import ask, left_from
from policies.operations.token_keys import signing_key
from policies.queries.current_policy import current_policy

from .company import MODEL, NOW, ROUTER
from .lender import lend

HOST = "host-a"


def micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


class Scribe:
    """One start of a worker. `rest` of its leases is kept as a holder would."""

    def __init__(self, folder: Path, *, host: str = HOST, now: datetime = NOW) -> None:
        self.fence = open_holder(host=host, pid=1, born=1, kind="plane", now=now)
        self.path = folder / journal_name(self.fence)
        self.journal = Journal.create(self.path)
        self.free: dict[UUID, int] = {}
        self.calls: dict[int, tuple[UUID, records.Reserved, records.Grounds]] = {}
        self.grounds: dict[Any, tuple[int, records.Grounds]] = {}
        self.write(
            records.Started(
                format=records.FORMAT,
                fence=self.fence,
                host=host,
                pid=1,
                born=1,
                at_us=micros(now),
            )
        )

    def write(self, record: records.Record) -> int:
        return self.journal.append(records.encode(record))

    def borrow(self, amount: int, **fields: Any) -> UUID:
        lent = lend(amount, fence=self.fence, **fields)
        self.free[lent.lease] = lent.amount
        return lent.lease

    def allow(
        self,
        lease: UUID,
        *,
        now: datetime = NOW,
        caller: Caller = ROUTER,
        use_case: str = "support",
        model: str | None = MODEL,
        input_tokens: int | None = 1_200,
        max_output_tokens: int | None = 800,
        amount: int | None = None,
        **fields: Any,
    ) -> int:
        """Reserves in this lease; the sequence. `amount` lies about what it holds."""
        request = Authorize(
            use_case=use_case,
            model=model,
            input_tokens=input_tokens,
            max_output_tokens=max_output_tokens,
            **fields,
        )
        policy = current_policy()
        asked = ask(
            request=request, caller=caller, policy=policy, now=now, verb=Action.AUTHORIZE
        )
        left_now = left_from(asked, statements.rows(READ_BALANCES, asked.cells.as_arrays))
        free = self.free[lease]
        seen = self.write(
            records.Seen(
                number=self.journal.position,
                at_us=0,
                levels=tuple(
                    (b.cap, b.settled, b.held, b.unsettled, b.contingency)
                    for b in left_now.path
                ),
            )
        )
        own = Left(tuple(replace(b, held=b.held - free) for b in left_now.path))
        ruling = decide(question=asked.question, snapshot=policy.snapshot, left=own)
        assert ruling.holds, ruling
        worst = ruling.worst.nanos if amount is None else amount
        grounds_at, grounds = self._grounds(asked, caller)
        sequence = self.journal.position
        reservation = reservation_of(lease, sequence)
        expires = now + timedelta(seconds=request.ttl_s or 600)
        key = signing_key(now=now)
        signed = token.sign(
            token.ReservationToken(
                key_id=key.id,
                lease=lease,
                sequence=sequence,
                amount_nanos=worst,
                policy_version=policy.snapshot.version,
                expires_at_ms=unix_ms(expires),
                max_output_tokens=ruling.max_output_tokens,
            ),
            key=key.secret,
        )
        view = ReservationView.of(
            public_id=ids.id_of("rsv", reservation),
            token=signed,
            money=Money(policy.currency, worst),
            expires_at=expires,
        )
        answer = decision_answer(
            asked=asked,
            ruling=ruling,
            left_now=own,
            decision_id=reservation,
            reservation=view,
            held=worst,
        )
        record = records.Reserved(
            lease=lease.bytes,
            grounds=grounds_at,
            seen=seen,
            at_us=micros(now),
            free_before=free,
            amount=worst,
            input_bound=asked.bound or 0,
            max_output_tokens=ruling.max_output_tokens,
            expires_ms=unix_ms(expires),
            request_id=request.request_id or "",
            request_hash=b"",
            request=msgspec.json.encode(request),
            answer=encode(answer),
        )
        assert self.write(record) == sequence
        self.free[lease] = free - worst
        self.calls[sequence] = (lease, record, grounds)
        return sequence

    def settle(
        self,
        sequence: int,
        *,
        of: "Scribe | None" = None,
        now: datetime = NOW,
        caller: Caller = ROUTER,
        usage: tuple[int, int] | None = (1_200, 310),
        counts: UsageCounts | None = None,
        cost: int | None = None,
        covered: int | None = None,
        **fields: Any,
    ) -> int:
        """Ends a call of this worker, or `of` another one; the offset of the record."""
        holder = of or self
        lease, reserved, grounds = holder.calls[sequence]
        if counts is None and usage is not None:
            counts = UsageCounts(input_tokens=usage[0], output_tokens=usage[1])
        request = Settle(
            reservation=ids.id_of("rsv", reservation_of(lease, sequence)),
            usage=counts,
            **fields,
        )
        hold = hold_of(reserved=reserved, grounds=grounds, sequence=sequence)
        currency = current_policy().currency
        bill = price_attempt(hold=hold, request=request, currency=currency)
        known = hold.at_most if bill.cost is None else bill.cost
        cost = known if cost is None else cost
        by_hold = min(cost, hold.amount)
        by_free = 0 if of else min(cost - by_hold, self.free[lease])
        covered = by_hold + by_free if covered is None else covered
        if of is None:
            self.free[lease] += hold.amount - covered
        answer = settled_answer(
            uid=settle_uid(hold.id, request.attempt),
            currency=currency,
            cost=cost,
            refunded=hold.amount - by_hold,
            overrun=cost - covered,
            late=0,
            flags=bill.flags,
        )
        return self.write(
            records.Settled(
                lease=lease.bytes,
                sequence=sequence,
                journal=holder.fence,
                at_us=micros(now),
                attempt=request.attempt,
                final=request.final,
                cost=cost,
                covered=covered,
                caller=caller.key_id,
                actor=caller.actor,
                request_hash=b"",
                request=msgspec.json.encode(request),
                answer=encode(answer),
            )
        )

    def release(
        self,
        sequence: int,
        *,
        of: "Scribe | None" = None,
        now: datetime = NOW,
        caller: Caller = ROUTER,
        reason: str | None = None,
    ) -> int:
        holder = of or self
        lease, reserved, _ = holder.calls[sequence]
        if of is None:
            self.free[lease] += reserved.amount
        request = Release(
            reservation=ids.id_of("rsv", reservation_of(lease, sequence)), reason=reason
        )
        return self.write(
            records.Released(
                lease=lease.bytes,
                sequence=sequence,
                journal=holder.fence,
                at_us=micros(now),
                caller=caller.key_id,
                actor=caller.actor,
                request_hash=b"",
                request=msgspec.json.encode(request),
                answer=b'{"entry_id":null}',
            )
        )

    def deny(
        self, *, now: datetime = NOW, caller: Caller = ROUTER, **fields: Any
    ) -> tuple[UUID, bytes]:
        """Refuses a call as `decide` does on what the balances say; id and answer."""
        request = Authorize(
            **{
                "use_case": "support",
                "model": MODEL,
                "input_tokens": 1_200,
                "max_output_tokens": 800,
                **fields,
            }
        )
        policy = current_policy()
        asked = ask(
            request=request, caller=caller, policy=policy, now=now, verb=Action.AUTHORIZE
        )
        left_now = left_from(asked, statements.rows(READ_BALANCES, asked.cells.as_arrays))
        ruling = decide(question=asked.question, snapshot=policy.snapshot, left=left_now)
        assert not ruling.would.goes, ruling
        decision = ids.new_uuid()
        record = decision_record(
            question=asked.question,
            ruling=ruling,
            snapshot=policy.snapshot,
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
        price = asked.question.price
        self.write(
            records.Denied(
                id=decision.bytes,
                caller=caller.key_id,
                actor=caller.actor,
                at_us=micros(now),
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
                policy_version=policy.snapshot.version,
                price_version=price.price_version if price else 0,
                offer=(offer.venue, offer.model, offer.region, str(offer.tier))
                if offer
                else None,
                attempt=request.attempt,
                request_id=request.request_id or "",
                request_hash=b"",
                request=msgspec.json.encode(request),
                record=msgspec.json.encode(record),
                answer=answer,
            )
        )
        return decision, answer

    def give_back(self, lease: UUID, *, now: datetime = NOW, amount: int | None = None) -> int:
        gone = self.free[lease] if amount is None else amount
        self.free[lease] -= min(gone, self.free[lease])
        self.write(records.GivenBack(lease=lease.bytes, at_us=micros(now), amount=gone))
        return gone

    def end(self, *, now: datetime = NOW) -> None:
        """Stops in good order."""
        self.write(records.Ended(at_us=micros(now)))
        self.journal.close()

    def die(self) -> None:
        """Is gone, as after SIGKILL: the kernel drops its lock on the journal."""
        self.journal.close()

    def reservation(self, sequence: int) -> UUID:
        return reservation_of(self.calls[sequence][0], sequence)

    def _grounds(self, asked: Any, caller: Caller) -> tuple[int, records.Grounds]:
        rule, price, place = asked.rule, asked.question.price, asked.place
        key = (rule.id, price.offer, asked.cells, caller.key_id)
        if key not in self.grounds:
            grounds = records.Grounds(
                number=self.journal.position,
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
                policy_version=asked.policy.snapshot.version,
                policy_hash=asked.policy.snapshot.hash,
            )
            self.grounds[key] = (self.write(grounds), grounds)
        return self.grounds[key]
