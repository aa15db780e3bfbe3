"""How is a hold written down, found again and changed? The `reservation` cache.

Locks: the tree before the reservation, the reservation before any insert. The path of a
reservation never changes, so it is read first without a lock, to know which tree to lock.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.errors import ReservationUnknown
from o10.wire.token import looks_like_token
from policies.core.question import question_labels
from policies.operations import statements
from policies.operations.balances import Cells
from policies.operations.questions import Asked, Numbers
from policies.operations.token_keys import read_token

INSERT_RESERVATION = """
INSERT INTO reservation (id, state, held, caller, actor_id, use_case, root, path_ids,
    path_periods, dims_id, run_id, model, venue, region, tier, offer_id, venue_id, model_id,
    price_version, policy_version, decision_id, decision, shape, input_bound,
    max_output_tokens, amount_nanos, open_nanos, settled_nanos, attempts, authorized_at,
    expires_at)
VALUES (%s, 'open', %s, %s, %s, %s, %s, %s::int[], %s::timestamptz[], %s, %s, %s, %s, %s, %s,
    %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, 0, 0, %s, %s)
"""

_COLUMNS = """
id, state, held, caller, actor_id, use_case, root, path_ids, path_periods, dims_id, run_id,
model, venue, region, tier, offer_id, venue_id, model_id, price_version, policy_version,
decision, shape, input_bound, max_output_tokens, amount_nanos, open_nanos, settled_nanos,
attempts, authorized_at, expires_at, lease, sequence, alias_of
"""
READ_RESERVATION = f"SELECT {_COLUMNS} FROM reservation WHERE id = %s"
# Two hosts may have answered one request id; the second is a name for the first.
FIND_RESERVATION = f"""
SELECT {_COLUMNS} FROM reservation
WHERE id = coalesce((SELECT alias_of FROM reservation WHERE id = %s), %s)
"""
READ_RESERVATIONS = f"SELECT {_COLUMNS} FROM reservation WHERE id = ANY(%s::uuid[])"
LOCK_RESERVATION = READ_RESERVATION + " FOR UPDATE"

END_RESERVATION = """
UPDATE reservation SET state = %s, open_nanos = %s, settled_nanos = settled_nanos + %s,
    attempts = attempts + %s, ended_at = coalesce(ended_at, %s)
WHERE id = %s
"""

EXTEND_RESERVATION = """
UPDATE reservation SET amount_nanos = amount_nanos + %s, open_nanos = open_nanos + %s,
    expires_at = %s, shape = %s::jsonb, model = %s, venue = %s, region = %s, tier = %s,
    offer_id = %s, venue_id = %s, model_id = %s, price_version = %s, policy_version = %s,
    input_bound = %s, max_output_tokens = %s
WHERE id = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReservation:
    """What is held for a call just decided? Units: nanos, tokens; `amount` 0 in shadow."""

    id: UUID
    holds: bool
    caller: str
    numbers: Numbers
    asked: Asked
    decision_id: UUID
    decision: UUID
    facts: Mapping[str, Any]
    input_bound: int
    max_output_tokens: int
    amount: int
    worst: int
    authorized_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """What is known of a reservation?

    Units: nanos; `open` is still held or, once expired, unsettled; `settled` was booked.
    `lease` = its money lies in that lease, under the number `sequence`; None = it is a hold of
    its own. Expired inside a lease: its money is unsettled with the lease, `open` is 0.
    """

    id: UUID
    state: str
    holds: bool
    caller: str
    actor_id: int
    use_case: int
    root: int
    path_ids: tuple[int, ...]
    path_periods: tuple[datetime, ...]
    dims_id: int
    run_id: str
    model: str
    venue: str
    region: str
    tier: str
    offer_id: int
    venue_id: int
    model_id: int
    price_version: int
    policy_version: int
    decision: UUID
    shape: Mapping[str, Any]
    input_bound: int
    max_output_tokens: int
    amount: int
    open: int
    settled: int
    attempts: int
    authorized_at: datetime
    expires_at: datetime
    lease: UUID | None = None
    sequence: int = 0
    alias_of: UUID | None = None

    @property
    def cells(self) -> Cells:
        """Which balance rows hold its money?"""
        return Cells(self.root, self.path_ids, self.path_periods)

    @property
    def offer(self) -> str:
        """How is the reserved offer named?"""
        return str(self.shape.get("offer", ""))

    @property
    def at_most(self) -> int:
        """What is booked when nobody says what it cost? The rest of the hold.

        Nothing held any more (shadow, or written off): the worst case that was decided.
        """
        worst = int(self.shape.get("worst_nanos", self.amount))
        return self.open or max(0, worst - self.settled)

    @property
    def origin_ms(self) -> int:
        """When was it made? Unix milliseconds, from its own id: uids of its moves share it."""
        return self.id.int >> 80

    def draft(self, **fields: Any) -> ledger.Draft:
        """Which entry tells of a move of this reservation? The fields all of them share.

        Effective at the instant of authorize, so that every move falls into the same period.
        """
        common: dict[str, Any] = {
            "ledger_id": ledger.COMPANY_LEDGER,
            "effective_at": self.authorized_at,
            "envelope_id": self.cells.leaf,
            "use_case_id": self.use_case,
            "dims_id": self.dims_id,
            "offer_id": self.offer_id,
            "venue_id": self.venue_id,
            "model_id": self.model_id,
            "actor_id": self.actor_id,
            "price_version": self.price_version,
            "policy_version": self.policy_version,
            "decision": self.decision,
            "reservation": self.id,
        }
        return ledger.Draft(**{**common, **fields})


def reservation_values(new: NewReservation) -> list[object]:
    """With which parameters does INSERT_RESERVATION write this hold down?"""
    asked, price = new.asked, new.asked.question.price
    request, numbers = asked.question.request, new.numbers
    labels = question_labels(request)
    return [
        new.id,
        new.holds,
        new.caller,
        numbers.actor,
        asked.rule.id if asked.rule else 0,
        asked.cells.root,
        *asked.cells.as_arrays,
        numbers.dims,
        labels.get("run", ""),
        price.model if price else (request.model or ""),
        price.venue if price else (request.venue or ""),
        (price.region if price else request.region) or "",
        price.tier if price else "",
        numbers.offer,
        numbers.venue,
        numbers.model,
        price.price_version if price else 0,
        asked.policy.snapshot.version,
        new.decision_id,
        new.decision,
        json.dumps(_shape(new), ensure_ascii=False),
        new.input_bound,
        new.max_output_tokens,
        new.amount,
        new.amount,
        new.authorized_at,
        new.expires_at,
    ]


def _shape(new: NewReservation) -> dict[str, Any]:
    """What must be known to decide again on an extend, and to book without usage?"""
    price = new.asked.question.price
    return {
        "use_case": new.asked.question.request.use_case,
        "worst_nanos": str(new.worst),
        "offer": price.offer if price else "",
        **new.facts,
    }


def named(reference: str) -> UUID:
    """Which reservation does an id or a token name?

    Raises: TokenInvalid (`token_invalid`); ReservationUnknown for what is neither.
    """
    if looks_like_token(reference):
        promise = read_token(reference)
        if not promise.sequence:
            return promise.lease
        return ids.uid(
            scope="reservation",
            key=promise.reservation_key,
            origin_ms=promise.lease.int >> 80,
        )
    try:
        return ids.uuid_of(reference, "rsv")
    except ids.IdMalformed as error:
        raise ReservationUnknown(id=reference[:40]) from error


def find_hold(reservation: UUID) -> Hold:
    """What is known of this reservation, read without a lock? Of an alias, the first's.

    Raises: ReservationUnknown (`reservation_unknown`).
    """
    found = statements.row(FIND_RESERVATION, [reservation, reservation])
    return _hold(found, reservation)


def find_holds(reservations: Sequence[UUID]) -> dict[UUID, Hold]:
    """What is known of these, read without a lock? Those that are not there lack."""
    found = statements.rows(READ_RESERVATIONS, [list(reservations)])
    return {row[0]: _hold(row, row[0]) for row in found}


def lock_hold(reservation: UUID) -> Hold:
    """What is known of it, while nobody else can change it? Lock its tree before.

    Raises: ReservationUnknown (`reservation_unknown`).
    """
    return _hold(statements.row(LOCK_RESERVATION, [reservation]), reservation)


def end_hold(
    *, hold: Hold, state: str, open_nanos: int, settled: int, attempts: int, now: datetime
) -> None:
    """Writes the new state down. `settled` and `attempts` are added to what stands there."""
    ended = now if state != "open" else None
    statements.run(END_RESERVATION, [state, open_nanos, settled, attempts, ended, hold.id])


def _hold(row: statements.Row | None, reservation: UUID) -> Hold:
    if row is None:
        raise ReservationUnknown(id=ids.id_of("rsv", reservation))
    fields = list(row)
    fields[7], fields[8] = tuple(fields[7]), tuple(fields[8])
    # Django has the driver hand out jsonb as text.
    fields[21] = json.loads(fields[21])
    return Hold(*fields)
