"""How is the usual call answered in microseconds? By known terms and a known wording.

Five look-ups, a handful of integers, one record, one answer. It gives the bytes that the full
way (policies.operations.teller.authorizing) would give; a test compares them call by call.
Source: decision-plane.md sections 1 and 7.
"""

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from o10.lease import records
from o10.wire import token
from policies.core.terms import worst_of
from policies.operations.authorize import TTL_S
from policies.operations.teller.known import Known
from policies.operations.teller.samples import values_of
from policies.operations.teller.teller import Answered, Call, Teller, micros


@lru_cache(maxsize=64)
def _second_text(second: int) -> str:
    return str(msgspec.to_builtins(datetime.fromtimestamp(second, UTC)))[:-1]


def _instant_text(us: int) -> str:
    """How does the encoder write this instant? The same second is met ten thousand times."""
    second, rest = divmod(us, 1_000_000)
    return f"{_second_text(second)}.{rest:06d}Z" if rest else f"{_second_text(second)}Z"


def answer_usual(  # noqa: C901 - one look at each thing that may be unusual
    teller: Teller, call: Call, known: Known
) -> Answered | None:
    """What is answered? None = this call is decided in full."""
    request = call.request
    # Whatever a check looks at beside the tokens stands in this key, or its call has no terms.
    found = teller.terms.get(
        (call.caller.key_id, request.use_case, request.model, request.venue, request.region)
    )
    bound = request.input_tokens
    if found is None or bound is None or request.prompt is not None:
        return None
    terms, above, most, until = found
    till = teller.tills.get(teller.place_key(request))
    snapshot = known.policy.snapshot
    if till is None or till.version != snapshot.version:
        return None
    if not till.begins <= call.now < till.ends or call.now >= until:
        return None
    if not above < bound <= most:
        return None
    asked_output = request.max_output_tokens
    wanted = terms.default_output if asked_output is None else asked_output
    if wanted > terms.output_most or (wanted and not terms.output_priced):
        return None
    if request.cached_input_tokens and not terms.cache_priced:
        return None
    worst = worst_of(terms, bound=bound, wanted=wanted, n=request.n)
    if worst > till.per_call_least or (till.run_limited and request.run_id):
        return None
    now_us = micros(call.now)
    ttl_s = request.ttl_s or TTL_S
    expires_ms = now_us // 1_000 + ttl_s * 1_000
    expires = _instant_text(now_us + ttl_s * 1_000_000)
    journal = teller.journal
    with journal.lock:
        book, view, names = till.book, till.view, till.names
        if book is None or view is None or names is None:
            return None
        wording = till.wordings.get(
            (id(terms), asked_output is None, view.passed, view.binding)
        )
        if wording is None or not view.soft_least <= worst - book.free < view.soft_most:
            return None
        if not book.reserve(worst, at=call.mono):
            return None
        try:
            offset = journal.position
            number = names.number(str(offset))
            signed = token.sign_parts(
                known.signer.id,
                book.lease.bytes,
                offset,
                worst,
                snapshot.version,
                expires_ms,
                wanted,
                key=known.signer.secret,
            )
            free = book.free
            values = values_of(
                view,
                reservation=number,
                signed=signed,
                worst=worst,
                granted=wanted,
                expires=expires,
                free=free,
            )
            answer = wording.write(values)
            journal.append(
                records.encode(
                    records.Reserved(
                        lease=book.lease.bytes,
                        grounds=till.grounds[id(terms)],
                        seen=view.offset,
                        at_us=now_us,
                        free_before=free + worst,
                        amount=worst,
                        input_bound=bound,
                        max_output_tokens=wanted,
                        expires_ms=expires_ms,
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
        teller.name(number, book.lease, offset)
        till.reserved += worst
        till.calls += 1
    till.used_at = call.mono
    return Answered(answer, offset)
