"""How is a usual settle answered in a microsecond? By example, like an allowed call.

The answers of attempts that raise no flag and cost no more than their hold differ in an id and
four texts. Every other attempt is answered in full, by the same code as the example.
"""

from uuid import UUID

from o10.kernel import ids
from o10.kernel.money import Nanos, amount_text
from o10.wire.decisions import encode
from policies.operations.answers import settled_answer
from policies.operations.teller.wording import Sample, Wording, rare_number, wording_of

_wordings: dict[str, Wording | None] = {}


def receipt(*, uid: UUID, currency: str, cost: Nanos, refunded: Nanos) -> bytes:
    """What does the router hear of an attempt without flags that its hold covers?"""
    if currency not in _wordings:
        _wordings[currency] = wording_of(lambda: _sample(currency))
    wording = _wordings[currency]
    if wording is None:
        return _in_full(uid, currency, cost, refunded)
    return wording.write(_values(uid, cost, refunded))


def _sample(currency: str) -> Sample:
    uid = UUID(int=ids.new_uuid().int ^ rare_number(digits=15))
    cost, refunded = rare_number(digits=13), rare_number(digits=12)
    return Sample(_in_full(uid, currency, cost, refunded), _values(uid, cost, refunded))


def _values(uid: UUID, cost: Nanos, refunded: Nanos) -> list[str]:
    return [
        ids.text_of(uid.int),
        amount_text(cost),
        str(cost),
        amount_text(refunded),
        str(refunded),
    ]


def _in_full(uid: UUID, currency: str, cost: Nanos, refunded: Nanos) -> bytes:
    return encode(
        settled_answer(
            uid=uid,
            currency=currency,
            cost=cost,
            refunded=refunded,
            overrun=0,
            late=0,
            flags=(),
        )
    )
