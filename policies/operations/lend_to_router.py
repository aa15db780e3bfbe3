"""Under which terms may a router decide by itself, and how much money is lent to it?

A router is one more holder: it borrows through `grant_lease`, the same cap, and writes the same
journal. What it is told is what a decision worker knows of a usual call (core.terms), as
integers and two answers with gaps. Whatever is not usual it asks o10 for, call by call.
Source: decision-plane.md section 9; docs/algorithms/local-leases.md.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel.errors import Conflict, NotFound, ServiceUnavailable
from o10.lease import records
from o10.wire.leasing import (
    ROUTER_TTL_S,
    Bracket,
    LeaseAnswer,
    LeaseAsk,
    LentSlice,
    LocalTerms,
    LocalView,
    Want,
)
from o10.wire.requests import Authorize
from policies.core.checks import case_of
from policies.core.envelope import Balance
from policies.core.slices import next_slice
from policies.core.terms import Terms, terms_of
from policies.core.till import View, has_run_limit, per_call_least, view_of
from policies.models import LeaseHolder
from policies.operations import statements
from policies.operations.grant_exact import PolicyChanged
from policies.operations.grant_lease import Lent, grant_lease
from policies.operations.open_holder import open_holder, this_host
from policies.operations.questions import Asked, ask
from policies.operations.teller.look import look_at
from policies.operations.teller.samples import grounds_of, sample_of
from policies.operations.teller.teller import lease_id, micros
from policies.operations.teller.wording import Wording, wording_of
from policies.operations.token_keys import router_secret, signing_key
from policies.queries.current_policy import CurrentPolicy, current_policy

LENT_MOST: Final = 20_000_000_000
"""Nanos that all processes with one key may hold at once, beyond single calls: 20 dollars."""
WAIT_MS: Final = 500
_FIELDS: Final = 6
"""id, token, worst case, the same in nanos, output, expiry: they change with every call."""
_PER_LEVEL: Final = 4
"""held, left, settled and cap of each level follow them."""
_LABELS: Final = {"environment": "environment", "customer": "customer", "run": "run_id"}
_TRIES: Final = 4

READ_LENT = """
SELECT coalesce(sum(l.granted_nanos - l.returned_nanos - l.settled_nanos - l.expired_nanos), 0)
FROM lease l JOIN lease_holder h ON h.fence = l.fence
WHERE h.kind = 'router' AND h.caller = %s AND h.ended_at IS NULL
  AND l.state IN ('open', 'draining')
"""


class HolderElsewhere(Conflict):
    """Is this holder another key's, another host's, or over? It begins anew. Fields: `id`."""

    code = "conflict"


@dataclass(frozen=True, slots=True)
class _Place:
    """What was asked, and what do its balances say?"""

    asked: Asked
    terms: Terms
    path: tuple[Balance, ...]
    lent: Lent | None


def lend_to_router(*, ask_of: LeaseAsk, caller: Caller, now: datetime) -> LeaseAnswer:
    """Which terms have calls like this one, and what is lent for them?

    Raises: HolderElsewhere (`conflict`); ServiceUnavailable (`unavailable`) while the policy
    changes faster than it can be read, or the tree is locked too long.
    """
    signing_key(now=now)
    fence = holder_of(ask_of.holder, caller=caller, now=now)
    for _ in range(_TRIES):
        policy = current_policy()
        prices = ledger.price_book()
        try:
            found = _find(ask_of, caller, policy, prices, fence, now)
        except PolicyChanged:
            continue
        answer = LeaseAnswer(
            holder=fence,
            host=this_host(),
            secret=router_secret(fence),
            stamp=stamp_of(policy, prices),
        )
        if found is None:
            return answer
        return _with_terms(answer, found, ask_of, caller, prices, now)
    raise ServiceUnavailable(what="a steady policy", retry_after_s=1)


def holder_of(fence: int | None, *, caller: Caller, now: datetime) -> int:
    """Which holder is this router process? A new one when it has no number yet.

    Raises: HolderElsewhere (`conflict`).
    """
    if fence is None:
        return open_holder(
            host=this_host(), pid=0, born=0, kind="router", caller=caller.key_id, now=now
        )
    row = LeaseHolder.objects.filter(fence=fence).first()
    mine = row is not None and row.kind == "router" and row.caller == caller.key_id
    if row is None or not mine:
        raise NotFound(kind="holder", id=str(fence))
    if row.ended_at is not None or row.host != this_host():
        raise HolderElsewhere(id=str(fence))
    return fence


def stamp_of(policy: CurrentPolicy, prices: ledger.PriceState) -> str:
    """Which text changes whenever a router's terms may?"""
    return f"{policy.snapshot.version}.{prices.version}"


def _find(
    ask_of: LeaseAsk,
    caller: Caller,
    policy: CurrentPolicy,
    prices: ledger.PriceState,
    fence: int,
    now: datetime,
) -> _Place | None:
    """None = such calls are decided by o10."""
    asked = ask(
        request=_request(ask_of),
        caller=caller,
        policy=policy,
        now=now,
        verb=Action.AUTHORIZE,
        prices=prices,
    )
    terms = terms_of(case_of(asked.question, asked.rule))
    if terms is None or asked.place is None or asked.offer is None:
        return None
    offer = prices.book.find_offer(asked.offer)
    if offer is None or offer.windows:
        # A price that changes with the hour of the day is no fixed term.
        return None
    if ask_of.want is Want.TERMS:
        return _Place(asked, terms, look_at(asked.place, asked.cells), None)
    room = max(0, LENT_MOST - _lent(caller))

    def size(remaining: int | None, active: int) -> int:
        wanted = next_slice(
            remaining=remaining,
            active_workers=active,
            w99=ask_of.dearest,
            burn_1s=ask_of.burn,
            worst=ask_of.least,
        )
        return max(ask_of.least, min(wanted, room))

    lent = grant_lease(
        cells=asked.cells,
        place=asked.place,
        size=size,
        least=max(1, ask_of.least),
        lease=lease_id(fence),
        fence=fence,
        ttl_s=ROUTER_TTL_S,
        use_case_id=terms.rule.id,
        actor_id=0,
        policy_version=policy.snapshot.version,
        now=now,
        wait_ms=WAIT_MS,
    )
    return _Place(asked, terms, lent.path, lent if isinstance(lent, Lent) else None)


def _with_terms(
    answer: LeaseAnswer,
    found: _Place,
    ask_of: LeaseAsk,
    caller: Caller,
    prices: ledger.PriceState,
    now: datetime,
) -> LeaseAnswer:
    place, lent = found.asked.place, found.lent
    if place is None:
        return answer
    free = ask_of.free if lent is None else lent.amount
    view = view_of(found.path, place=place, at=0.0, offset=0, free=free)
    told = _terms(found, view, caller, prices, now)
    lease = None
    if lent is not None:
        lives = (lent.expires_at - now).total_seconds()
        lease = LentSlice(
            lease=str(lent.lease), granted=lent.amount, lives_ms=max(0, int(lives * 1_000))
        )
    if told is None and lease is None:
        return answer
    return msgspec.structs.replace(
        answer,
        terms=told,
        lease=lease,
        view=LocalView(
            levels=tuple(
                (b.cap, b.settled, b.held, b.unsettled, b.contingency) for b in found.path
            ),
            soft_least=view.soft_least,
            soft_most=view.soft_most,
            form=_form(view),
            binding=view.binding,
            epochs=tuple(rule.epoch for rule in place.path),
            active=all(rule.state == "active" for rule in place.path),
        ),
    )


def _terms(
    found: _Place, view: View, caller: Caller, prices: ledger.PriceState, now: datetime
) -> LocalTerms | None:
    """Everything of a decision that does not change with the call; None = too unusual."""
    asked, terms, place = found.asked, found.terms, found.asked.place
    if place is None or asked.offer is None or asked.bound is None or not terms.output_priced:
        return None
    given = _answer(asked, terms, view, defaulted=0)
    defaulted = _answer(asked, terms, view, defaulted=1)
    if given is None or defaulted is None:
        return None
    above, most = ledger.bracket_of(asked.offer, input_tokens=asked.bound, book=prices)
    ends = min(period.end for period in place.periods)
    edges = [each for each in _edges(prices, asked) if each > now]
    kinds = asked.policy.snapshot.label_kinds(terms.rule.slug)
    asked_model = asked.question.request.model
    return LocalTerms(
        place=_place_name(asked),
        labels=tuple(_LABELS[kind] for kind in kinds),
        ends_us=micros(min([ends, *edges])),
        input_price=terms.input_price,
        output_price=terms.output_price,
        fixed_nanos=terms.fixed_nanos,
        default_output=terms.default_output,
        output_most=terms.output_most,
        above=above,
        most=terms.bound_most if most is None else min(most, terms.bound_most),
        cache_priced=terms.cache_priced,
        output_priced=terms.output_priced,
        per_call_least=per_call_least(place),
        run_limited=has_run_limit(place) > 0,
        model=terms.price.model,
        models=tuple(dict.fromkeys(filter(None, (terms.price.model, asked_model)))),
        tier=str(terms.price.tier),
        currency=asked.policy.currency,
        policy_version=asked.policy.snapshot.version,
        given=given[0],
        given_fields=given[1],
        defaulted=defaulted[0],
        defaulted_fields=defaulted[1],
        brackets=_brackets(asked, terms, prices, now),
        grounds=records.encode(grounds_of(asked, caller, number=0)),
    )


def _answer(
    asked: Asked, terms: Terms, view: View, *, defaulted: int
) -> tuple[str, tuple[int, ...]] | None:
    """The answer, with gaps for what changes with the call and the look at the balances."""
    place = asked.place
    if place is None:
        return None
    wording = wording_of(lambda: sample_of(asked, place, view, terms, defaulted))
    if wording is None:
        return None
    return _in_gaps(wording, len(view.levels))


def _in_gaps(wording: Wording, levels: int) -> tuple[str, tuple[int, ...]]:
    """The pattern, and which value stands at each of its gaps, in order."""
    gaps = [_gap(number) for number in range(_FIELDS + _PER_LEVEL * levels)]
    text = wording.write(gaps).decode()
    order = sorted((at, number) for number, gap in enumerate(gaps) for at in _all(text, gap))
    pattern = text.replace("%", "%%")
    for gap in gaps:
        pattern = pattern.replace(gap, "%s")
    return pattern, tuple(number for _, number in order)


def _gap(number: int) -> str:
    # No text of a decision holds a control character.
    return f"\x01{number}\x02"


def _all(text: str, part: str) -> list[int]:
    found, at = [], text.find(part)
    while at >= 0:
        found.append(at)
        at = text.find(part, at + 1)
    return found


def _brackets(
    asked: Asked, terms: Terms, prices: ledger.PriceState, now: datetime
) -> tuple[Bracket, ...]:
    """At which rates does a call of this offer settle, by how much input it had?

    Empty when a price is split inside one call, or of another currency: o10 settles such.
    """
    offer = prices.book.find_offer(asked.offer) if asked.offer else None
    if offer is None:
        return ()
    found = []
    edges = [-1, *offer.thresholds]
    for number, above in enumerate(edges):
        rated = ledger.rates_for(
            venue=terms.price.venue or None,
            model=terms.price.model,
            region=terms.price.region or None,
            tier=str(terms.price.tier) or None,
            at=now,
            total_input_tokens=above + 1,
            book=prices,
        )
        if rated is None or rated.steps or rated.rates.currency != asked.policy.currency:
            return ()
        found.append(
            Bracket(
                above=above,
                to=edges[number + 1] if number + 1 < len(edges) else None,
                per_million={
                    token_class.value: price
                    for token_class, price in rated.rates.per_million.items()
                },
                request_fee=rated.rates.request_fee_nanos,
            )
        )
    return tuple(found)


def _edges(prices: ledger.PriceState, asked: Asked) -> tuple[datetime, ...]:
    """At which instants do prices of this offer change?"""
    offer = prices.book.find_offer(asked.offer) if asked.offer else None
    return offer.edges if offer else ()


def _place_name(asked: Asked) -> str:
    path = ".".join(map(str, asked.cells.envelopes))
    return f"{path}@{'.'.join(str(micros(start)) for start in asked.cells.periods)}"


def _form(view: View) -> str:
    return f"{'.'.join(map(str, view.passed))}|{view.binding}"


def _request(ask_of: LeaseAsk) -> Authorize:
    return Authorize(
        use_case=ask_of.use_case,
        model=ask_of.model,
        venue=ask_of.venue,
        region=ask_of.region,
        environment=ask_of.environment,
        customer=ask_of.customer,
        run_id=ask_of.run_id,
        input_tokens=ask_of.input_tokens,
        max_output_tokens=ask_of.max_output_tokens,
        n=ask_of.n,
    )


def _lent(caller: Caller) -> int:
    row = statements.row(READ_LENT, [caller.key_id])
    return int(row[0]) if row else 0
