"""From which example is the wording of an answer cut, and what do its calls have in common?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.money import Money, amount_text
from o10.lease import records
from o10.wire.decisions import ReservationView, encode
from policies.core.checks import case_of
from policies.core.decide import Ruling, decide
from policies.core.envelope import Balance
from policies.core.question import Left
from policies.core.snapshot import Place
from policies.core.terms import Terms, terms_of
from policies.core.till import View, soft_band
from policies.operations.answers import decision_answer
from policies.operations.questions import Asked
from policies.operations.teller.crowd import Form, Pattern, own_texts
from policies.operations.teller.known import Known
from policies.operations.teller.teller import Teller, micros
from policies.operations.teller.till import Till
from policies.operations.teller.wording import Sample, Wording, rare_number, wording_of

_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Untried:
    """Which wording is tried on the answer that is being written? If it fails, `learn`."""

    form: Form
    wording: Wording
    learn: Callable[[], None]


class Learned(NamedTuple):
    """Where are the grounds of such calls, and which wording is to be tried? 0 = nowhere."""

    grounds: int
    untried: Untried | None


NOTHING: Final = Learned(0, None)


def learn_from(
    teller: Teller, asked: Asked, caller: Caller, till: Till, known: Known
) -> Learned:
    """Keeps what the next call like this one needs, so that it is a usual one.

    Of a user among many the wording of another is handed out, to be tried on this answer.
    """
    request, view = asked.question.request, till.view
    terms = terms_of(case_of(asked.question, asked.rule))
    if terms is None or asked.offer is None or asked.bound is None or view is None:
        return NOTHING
    if not terms.output_priced:
        # An embedding has no output; the example is worded with some. Decided in full.
        return NOTHING
    if asked.reach is None or asked.reach.rivals:
        # Which offer is the cheapest depends on the tokens: such a call is decided in full.
        return NOTHING
    key = (caller.key_id, request.use_case, request.model, request.venue, request.region)
    kept = teller.terms.get(key)
    if kept is not None and kept[0] == terms:
        # One object as long as it says the same: wordings are kept by its identity.
        terms = kept[0]
    until = ledger.prices_hold_until(asked.offer, at=asked.question.now, book=known.prices)
    above, most = ledger.bracket_of(asked.offer, input_tokens=asked.bound, book=known.prices)
    bound_most = terms.bound_most if most is None else min(most, terms.bound_most)
    teller.terms[key] = (terms, above, bound_most, until)
    defaulted = request.max_output_tokens is None
    form = (id(terms), defaulted, view.passed, view.binding)
    with teller.journal.lock:
        grounds = till.grounds.get(id(terms)) or write_grounds(teller, asked, caller)
        till.grounds[id(terms)] = grounds
    if form in till.wordings:
        return Learned(grounds, None)
    crowd = teller.crowd_of(till)

    def learn() -> None:
        found = wording_of(lambda: sample_of(asked, till.place, view, terms, defaulted))
        till.wordings[form] = found
        if crowd is not None and found is not None:
            crowd.patterns[form] = Pattern(own_texts(till.place), found)

    pattern = None if crowd is None else crowd.pattern(form, version=till.version)
    if pattern is None:
        learn()
        return Learned(grounds, None)
    texts = own_texts(till.place)
    return Learned(grounds, Untried(form, pattern.for_texts(texts), learn))


def try_on(till: Till, untried: Untried, *, answer: bytes, values: Sequence[str]) -> None:
    """Keeps another user's wording if it says this very answer; else learns an own one."""
    if untried.wording.write(values) == answer:
        till.wordings[untried.form] = untried.wording
    else:
        untried.learn()


def values_of(
    view: View,
    *,
    reservation: int,
    signed: str,
    worst: int,
    granted: int,
    expires: str,
    free: int,
) -> list[str]:
    """Which values has an answer, in the order of its wording? `free` after it was held."""
    values = [
        ids.text_of(reservation),
        signed,
        amount_text(worst),
        str(worst),
        str(granted),
        expires,
    ]
    for left, held, settled, cap in view.levels:
        values.append(amount_text(held - free))
        values.append("" if left is None else amount_text(left + free))
        values.append(settled)
        values.append(cap)
    return values


def write_grounds(teller: Teller, asked: Asked, caller: Caller) -> int:
    """Where does the journal say on which grounds such calls are decided? Hold its lock."""
    grounds = grounds_of(asked, caller, number=teller.journal.position)
    return teller.journal.append(records.encode(grounds))


def grounds_of(asked: Asked, caller: Caller, *, number: int) -> records.Grounds:
    """On which grounds is such a call decided? `number` is where the record will stand."""
    rule, price, place = asked.rule, asked.question.price, asked.place
    if rule is None or price is None or place is None:
        raise LookupError("an allowed call has a rule, a price and a place")
    return records.Grounds(
        number=number,
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
        path_starts_us=tuple(micros(period.start) for period in place.periods),
        path_ends_us=tuple(micros(period.end) for period in place.periods),
        offer=price.offer,
        venue=price.venue,
        model=price.model,
        region=price.region or "",
        tier=price.tier,
        price_version=price.price_version,
        policy_version=asked.policy.snapshot.version,
        policy_hash=asked.policy.snapshot.hash,
    )


def allowed_answer(
    *, asked: Asked, ruling: Ruling, left_now: Left, reservation: UUID, view: ReservationView
) -> bytes:
    """How is an allowed call answered? Decision and reservation share their uuid."""
    return encode(
        decision_answer(
            asked=asked,
            ruling=ruling,
            left_now=left_now,
            decision_id=reservation,
            reservation=view,
            held=ruling.worst.nanos if ruling.worst else 0,
        )
    )


def sample_of(
    asked: Asked, place: Place, view: View, terms: Terms, defaulted: object
) -> Sample:
    """An answer really written, from numbers that occur nowhere else."""
    asked = _with_rare_numbers(asked, place, terms, defaulted)
    path = _rare_path(view, place)
    left_now = Left(path)
    ruling = decide(question=asked.question, snapshot=asked.policy.snapshot, left=left_now)
    worst = ruling.worst.nanos if ruling.worst else 0
    reservation = UUID(int=ids.new_uuid().int ^ rare_number(digits=15))
    expires = asked.question.now + timedelta(microseconds=rare_number(digits=14))
    signed = "".join(str(rare_number(digits=9)) for _ in range(10))
    reservation_view = ReservationView.of(
        public_id=ids.id_of("rsv", reservation),
        token=signed,
        money=Money(asked.policy.currency, worst),
        expires_at=expires,
    )
    answer = allowed_answer(
        asked=asked,
        ruling=ruling,
        left_now=left_now,
        reservation=reservation,
        view=reservation_view,
    )
    values = [
        ids.text_of(reservation.int),
        signed,
        amount_text(worst),
        str(worst),
        "" if defaulted else str(ruling.max_output_tokens),
        _encode_json(expires)[1:-1].decode(),
    ]
    for balance in path:
        spare = (balance.cap or 0) - balance.exposure - balance.contingency - worst
        values += [
            amount_text(balance.held + worst),
            "" if balance.cap is None else amount_text(spare),
            amount_text(balance.settled),
            "" if balance.cap is None else amount_text(balance.cap),
        ]
    return Sample(answer, values)


def _with_rare_numbers(asked: Asked, place: Place, terms: Terms, defaulted: object) -> Asked:
    """The same call, without limits that its rare numbers would pass."""
    open_path = tuple(
        replace(rule, per_call_nanos=None, per_run_nanos=None) for rule in place.path
    )
    request = msgspec.structs.replace(
        asked.question.request,
        input_tokens=asked.bound,
        prompt=None,
        max_output_tokens=None if defaulted else rare_number(digits=9),
    )
    price = terms.price
    question = replace(
        asked.question,
        request=request,
        price=price if defaulted else replace(price, max_output_tokens=None),
        place=Place(open_path, place.periods),
    )
    return replace(asked, question=question, place=question.place)


def _rare_path(view: View, place: Place) -> tuple[Balance, ...]:
    """Balances of rare numbers, with the same level binding and the same thresholds passed."""
    path = []
    for level, (balance, rule) in enumerate(zip(view.path, place.path, strict=True)):
        held = rare_number(digits=11)
        cap = rare_number(digits=17) + (0 if level == view.binding else 10**20)
        amount = (rule.amount_nanos if balance.cap is None else cap) or 0
        low, high = soft_band(
            amount=amount,
            thresholds=rule.soft_thresholds_ppm if amount else (),
            passed=view.passed[level],
        )
        # Well inside the band, wherever it lies.
        low, high = max(low, 10**12), min(high, cap)
        settled = low + (high - low) // 3 + rare_number(digits=10) - held
        path.append(
            replace(
                balance,
                cap=None if balance.cap is None else cap,
                settled=settled,
                held=held,
                unsettled=0,
                contingency=0,
                limit=cap,
            )
        )
    return tuple(path)
