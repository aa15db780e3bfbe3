"""What exactly is asked? A request, its price, its place among the envelopes, before money."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.wire.requests import Authorize
from policies.core import estimate, levers
from policies.core.checks import case_of, denies_model
from policies.core.envelope import Balance
from policies.core.question import Left, Question, model_of, question_labels
from policies.core.snapshot import Place, UseCaseRule
from policies.operations import statements
from policies.operations.balances import Cells, in_path_order
from policies.operations.throttle import hour_left_of
from policies.queries.current_policy import CurrentPolicy
from policies.queries.prices import Priced, Reach, find_price
from policies.queries.standing import SUM_RUN

NOWHERE = Cells(0, (), ())


@dataclass(frozen=True, slots=True)
class Asked:
    """What do we know about a request under one policy, and which rows hold its money?

    `reach` says for which other calls its price holds, too.
    """

    question: Question
    policy: CurrentPolicy
    rule: UseCaseRule | None
    place: Place | None
    cells: Cells
    bound: int | None
    offer: ledger.OfferKey | None
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which small integers stand for the call in its entries? 0 = none."""

    actor: int = 0
    dims: int = 0
    offer: int = 0
    venue: int = 0
    model: int = 0


def ask(
    *,
    request: Authorize,
    caller: Caller,
    policy: CurrentPolicy,
    now: datetime,
    verb: Action,
    prices: ledger.PriceState | None = None,
) -> Asked:
    """What is asked, in the terms of `decide`? With `prices` the database is not asked."""
    rule = policy.snapshot.use_cases.get(request.use_case)
    bound = estimate.input_bound(input_tokens=request.input_tokens, prompt=request.prompt)
    found = None
    if rule is not None:
        labels = question_labels(request)
        found = policy.snapshot.place_of(use_case=rule, labels=labels, at=now)
    place = found if isinstance(found, Place) else None
    rightsized = None
    if rule is not None and levers.rightsizing(rule):
        rightsized = _rightsized(request, rule, bound, now, policy.currency, prices)
    priced = rightsized or _price(request, rule, bound, now, policy.currency, prices)
    question = Question(
        request=request,
        scoped=may_spend(caller, request.use_case, verb),
        now=now,
        currency=policy.currency,
        price=priced.price if priced else None,
        place=found,
        rightsized=rightsized is not None,
    )
    offer, reach = (priced.key, priced.reach) if priced else (None, None)
    return Asked(question, policy, rule, place, cells_of(place), bound, offer, reach)


def may_spend(caller: Caller, use_case: str, verb: Action) -> bool:
    """Is this use case within the scope of the key, and the verb among its own?"""
    in_scope = caller.use_case_slugs is None or use_case in caller.use_case_slugs
    return in_scope and verb in caller.verbs


def cells_of(place: Place | None) -> Cells:
    """Which balance rows belong to this place?"""
    if place is None:
        return NOWHERE
    return Cells(
        place.path[0].root,
        tuple(rule.id for rule in place.path),
        tuple(period.start for period in place.periods),
    )


def left_from(asked: Asked, found: Sequence[statements.Row]) -> Left:
    """What is left, by rows that were read without a lock? A period not begun is empty."""
    if asked.place is None:
        return Left()
    path = tuple(
        balance or Balance(envelope_id=rule.id, cap=rule.cap_nanos, epoch=rule.epoch)
        for rule, balance in zip(
            asked.place.path, in_path_order(asked.cells, found), strict=True
        )
    )
    return Left(path, run_spent(asked), hour_left(asked))


def run_spent(asked: Asked) -> int:
    """How much has the run of this call spent and held so far? Nanos; 0 without a limit."""
    path = asked.place.path if asked.place else ()
    limited = any(rule.per_run_nanos is not None for rule in path)
    run_id = asked.question.request.run_id
    if asked.rule is None or not run_id or not limited:
        return 0
    row = statements.row(SUM_RUN, [asked.rule.id, run_id])
    return row[0] if row else 0


def hour_left(asked: Asked) -> int | None:
    """How much do the levers leave of this hour? Nanos; None where none limits it."""
    limits = levers.throttles(asked.rule) if asked.rule and asked.rule.levers else ()
    return hour_left_of(limits, now=asked.question.now) if limits else None


def numbers_of(*, asked: Asked, caller: Caller, now: datetime) -> Numbers:
    """Which numbers has this call in entries? Made when first needed.

    Call it before any lock: a new meaning may wait for another transaction, which must not
    wait for us.
    """
    actor = actor_number(caller.actor, now=now)
    dims = 0
    if asked.rule is not None:
        dims = _intern(
            ledger.Domain.DIMS,
            dims_of(
                asked.question.request,
                department=asked.rule.department_slug,
                caller_id=caller.key_id,
            ),
            actor,
            now,
        )
    if asked.offer is None:
        return Numbers(actor, dims)
    offer = ledger.offer_numbers(
        key=asked.offer, ledger_id=ledger.COMPANY_LEDGER, actor=actor, now=now
    )
    return Numbers(actor, dims, offer.offer_id, offer.venue_id, offer.model_id)


def actor_number(caller_id: str, *, now: datetime) -> int:
    """Which number has this key or person in entries?"""
    return _intern(ledger.Domain.ACTOR, {"id": caller_id}, 0, now)


def _intern(
    domain: ledger.Domain, meaning: Mapping[str, Any], actor: int, now: datetime
) -> int:
    return ledger.intern(domain, meaning, ledger_id=ledger.COMPANY_LEDGER, actor=actor, now=now)


def dims_of(request: Authorize, *, department: str, caller_id: str) -> Mapping[str, Any]:
    """To what is the spend of this call attributed? Only what was said."""
    said = {
        "department": department,
        "key": caller_id,
        "environment": request.environment,
        "customer": request.customer,
        "task_type": request.task_type,
        "service_class": request.service_class.value if request.service_class else None,
        "step_kind": request.step_kind,
        "prompt_version": request.prompt_version,
        "tags": dict(request.tags),
    }
    return {name: value for name, value in said.items() if value}


def _rightsized(
    request: Authorize,
    rule: UseCaseRule,
    bound: int | None,
    now: datetime,
    currency: str,
    prices: ledger.PriceState | None,
) -> Priced | None:
    """Which price has the cheapest permitted model? None where it is the one asked for.

    A model is permitted where no check denies it; of equals the one with the lesser name.
    """
    asked = _price(request, rule, bound, now, currency, prices)
    least = None if asked is None else _cost(asked, request, rule, bound, now, currency)
    found: tuple[int, str, Priced] | None = None
    for name in levers.forced_models(rule):
        other = msgspec.structs.replace(request, model=name, venue=None)
        priced = _price(other, rule, bound, now, currency, prices)
        cost = None if priced is None else _cost(priced, other, rule, bound, now, currency)
        if priced is None or cost is None or (least is not None and cost >= least):
            continue
        if found is None or (cost, priced.price.offer) < found[:2]:
            found = (cost, priced.price.offer, priced)
    return None if found is None else found[2]


def _cost(
    priced: Priced,
    request: Authorize,
    rule: UseCaseRule,
    bound: int | None,
    now: datetime,
    currency: str,
) -> int | None:
    """What does the call cost at most at this price? None where the model is not permitted."""
    case = case_of(
        Question(
            request=request,
            scoped=True,
            now=now,
            currency=currency,
            price=priced.price,
            place=None,
        ),
        rule,
    )
    if denies_model(case):
        return None
    default = rule.default_max_output_tokens
    return estimate.worst_case(
        ceiling=estimate.ceiling(
            rates=priced.price.rates, may_write_cache=rule.may_write_cache
        ),
        input_bound=bound or 0,
        max_output_tokens=estimate.output_wanted(
            asked=request.max_output_tokens, default=default
        ),
        n=request.n,
    ).nanos


def _price(
    request: Authorize,
    rule: UseCaseRule | None,
    bound: int | None,
    now: datetime,
    currency: str,
    prices: ledger.PriceState | None,
) -> Priced | None:
    default = rule.default_max_output_tokens if rule else None
    return find_price(
        venue=request.venue,
        model=model_of(request, rule),
        region=request.region,
        tier=None,
        at=now,
        max_input_tokens=bound or 0,
        max_output_tokens=estimate.output_wanted(
            asked=request.max_output_tokens, default=default
        ),
        n=request.n,
        cached_input_tokens=request.cached_input_tokens,
        may_write_cache=bool(rule and rule.may_write_cache),
        currency=currency,
        book=prices,
    )
