"""How does anything fail? Families of errors with a stable code, fields and retry advice.

A denied call is not here: it is an answer (`o10.wire.decisions.Decision`). An error carries
data, never a sentence for a person and never an HTTP status; `o10.problems` makes both. A
concrete class stands beside the function that raises it; those raised by several apps stand
at the end of this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Retry(StrEnum):
    """May the caller send this again?"""

    NO = "no"
    """Never as sent."""
    SAME = "same"
    """Now or soon, unchanged, with the same idempotency key."""
    LATER = "later"
    """After the state that forbids it has been read again or has changed."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """Which field of the request is wrong, and how?

    Shape: `pointer` is a JSON pointer (`/usage/input_tokens`, empty for the whole body);
    `code` is stable lower_snake; `message` is one English sentence that names the limit
    broken.
    """

    pointer: str
    code: str
    message: str


class O10Error(Exception):
    """What do all failures have in common? A code, a retry advice, fields, field errors."""

    code: ClassVar[str] = "internal"
    retry: ClassVar[Retry] = Retry.NO

    def __init__(self, *, errors: Sequence[FieldError] = (), **fields: object) -> None:
        self.errors = tuple(errors)
        self.fields = fields
        super().__init__(self._line())

    def __getattr__(self, name: str) -> object:
        # Only reached when normal lookup fails; `fields` itself may be absent while unpickling.
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.errors, self.fields))

    def _line(self) -> str:
        parts = [f"{name}={value!r}" for name, value in self.fields.items()]
        parts += [f"{error.pointer or '/'}: {error.message}" for error in self.errors]
        return f"{self.code} ({', '.join(parts)})" if parts else self.code


def _rebuild(
    kind: type[O10Error], errors: tuple[FieldError, ...], fields: dict[str, object]
) -> O10Error:
    return kind(errors=errors, **fields)


class Rejected(O10Error):
    """Can this never succeed as sent? (400, 413, 415, 422 at the door)"""

    code = "validation_failed"
    retry = Retry.NO


class Denied(O10Error):
    """Is this caller not allowed to? (401, 403 at the door)"""

    code = "forbidden"
    retry = Retry.NO


class Missing(O10Error):
    """Is nothing there for this caller? (404 at the door)"""

    code = "not_found"
    retry = Retry.NO


class Conflict(O10Error):
    """Does the present state forbid it? (409, 412 at the door)"""

    code = "conflict"
    retry = Retry.LATER


class Unavailable(O10Error):
    """Is something away, so that the same request may work later? (429, 503 at the door)

    Shape: the field `retry_after_s` (whole seconds) becomes Retry-After; `what` names what is
    away.
    """

    code = "unavailable"
    retry = Retry.SAME


class Corrupt(O10Error):
    """Is an invariant broken? Stop the line. (500 and an alarm at the process edge)"""

    code = "corrupt"
    retry = Retry.NO


class ValidationFailed(Rejected):
    """Does a field break a rule? `errors` names each one."""

    code = "validation_failed"


class MalformedBody(Rejected):
    """Is the body no JSON, or JSON of another shape than an object?"""

    code = "malformed_body"


class UnsupportedMediaType(Rejected):
    """Is the content type one this path does not read? Fields: `got`, `accepted`."""

    code = "unsupported_media_type"


class TooLarge(Rejected):
    """Is the body above the limit of the path? Fields: `limit_bytes`."""

    code = "too_large"


class UnitMismatch(Rejected):
    """Do two amounts have different currencies or units? Fields: `expected`, `got`."""

    code = "unit_mismatch"


class Unauthorized(Denied):
    """Is there no valid key or session?"""

    code = "unauthorized"


class Forbidden(Denied):
    """Does the role or key not allow this action? Fields: `action`."""

    code = "forbidden"


class SelfApproval(Denied):
    """Do maker and checker coincide?"""

    code = "self_approval"


class TokenInvalid(Denied):
    """Is the reservation token unreadable, unknown by key, or signed by nobody we know?"""

    code = "token_invalid"


class NotFound(Missing):
    """Is the named thing absent, or hidden from this caller? Fields: `kind`, `id`."""

    code = "not_found"


class ReservationUnknown(Missing):
    """Is there no reservation of that id?"""

    code = "reservation_unknown"


class IdempotencyMismatch(Conflict):
    """Was this key used before with another body?"""

    code = "idempotency_mismatch"
    retry = Retry.NO


class ReservationFinalized(Conflict):
    """Has the reservation ended already (settled or released)?"""

    code = "reservation_finalized"
    retry = Retry.NO


class PeriodClosed(Conflict):
    """Is the period closed? Fields: `period`, `closed_at`."""

    code = "period_closed"
    retry = Retry.NO


class NotSealedYet(Conflict):
    """Does the entry have no position in the ledger yet? Read again within a second or two."""

    code = "not_sealed_yet"


class PreconditionFailed(Conflict):
    """Has somebody else changed it since it was read (If-Match)?"""

    code = "precondition_failed"


class RateLimited(Unavailable):
    """Did this caller send more than its rate? Fields: `retry_after_s`."""

    code = "rate_limited"
    retry = Retry.LATER


class ServiceUnavailable(Unavailable):
    """Which part is away (database, policy snapshot)? Fields: `what`, `retry_after_s`."""

    code = "unavailable"
