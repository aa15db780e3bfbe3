"""Which bytes answered a settle, release or extend the first time?"""

from datetime import datetime
from uuid import UUID

from o10.kernel.errors import Corrupt
from policies.operations import statements

INSERT_ANSWER = """
INSERT INTO policies_answer_log (uid, verb, reservation, answer, at) VALUES (%s, %s, %s, %s, %s)
"""
READ_ANSWER = "SELECT answer FROM policies_answer_log WHERE uid = %s"


class AnswerLost(Corrupt):
    """Is a write there without the answer that was sent for it? Fields: `uid`."""

    code = "answer_lost"


def keep_answer(
    *, uid: UUID, verb: str, reservation: UUID, answer: bytes, now: datetime
) -> None:
    """Writes the answer down in the transaction of what it tells of."""
    statements.run(INSERT_ANSWER, [uid, verb, reservation, answer, now])


def find_answer(uid: UUID) -> bytes | None:
    """Which bytes were sent for this uid, if any were?"""
    row = statements.row(READ_ANSWER, [uid])
    return None if row is None else bytes(row[0])


def first_answer(uid: UUID) -> bytes:
    """Which bytes were sent first?

    Raises: AnswerLost (`answer_lost`), an invariant broken.
    """
    answer = find_answer(uid)
    if answer is None:
        raise AnswerLost(uid=str(uid))
    return answer
