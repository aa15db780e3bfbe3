"""How is the taking back of an entry asked for? By a request that a second person agrees to.

The ledger knows no requests. Policies puts its desk into this one slot when it starts; the page
of an entry asks there, and shows what waits. While the slot is empty nothing can be asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from o10.access.keys import Caller
from o10.kernel.errors import Unavailable
from o10.kernel.money import Nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCorrection:
    """Which request waits, what does it say, and where is it read?"""

    title: str
    maker: str
    url: str


class AskCorrection(Protocol):
    """How is it asked? `amount_nanos` None = it never happened, else the right amount."""

    def __call__(
        self,
        *,
        uid: UUID,
        amount_nanos: Nanos | None,
        reason: str,
        actor: Caller,
        now: datetime,
        key: str,
    ) -> WaitingCorrection:
        """Which request waits now?"""
        ...


@dataclass(frozen=True, slots=True)
class CorrectionDesk:
    """Who takes a request, who may make one, and which of them wait?"""

    ask: AskCorrection
    may_ask: Callable[[Caller], bool]
    waiting: Callable[[UUID, datetime], Sequence[WaitingCorrection]]


_desk: CorrectionDesk | None = None


def set_correction_desk(desk: CorrectionDesk) -> None:
    """Puts the desk into its slot. Called once, when policies starts."""
    global _desk  # noqa: PLW0603 - one slot for the whole process
    _desk = desk


def correction_desk() -> CorrectionDesk:
    """Where are corrections asked for?

    Raises: Unavailable while nobody takes them.
    """
    if _desk is None:
        raise Unavailable(reason="nobody takes corrections")
    return _desk
