"""Does each closed month still say what its `period_close` entry says, line by line?

The rows of the period table and the leaves of the balances root are caches of what was sealed:
compared with the document of the entry, and, where all entries were read, with what they add up
to at that point.
"""

import json
from collections.abc import Mapping
from typing import Any

from ledger.core import verify
from ledger.core.entry import Kind
from ledger.operations.verify_walk import Walk
from ledger.queries.integrity import Finding

_CLOSES = """
SELECT s.seq, e.uid::text, d.body FROM ledger_entry e
JOIN ledger_document d ON d.hash = e.doc
JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id
WHERE e.ledger_id = %s AND e.kind = %s ORDER BY s.seq
"""
_ROWS = """
SELECT period, first_seq, last_seq, encode(root, 'hex'), encode(balances_root, 'hex')
FROM ledger_period WHERE ledger_id = %s AND status = 'closed'
"""
_LINES = """
SELECT line FROM ledger_period_balance WHERE ledger_id = %s AND period = %s ORDER BY place
"""
_STATED = ("first_seq", "last_seq", "root", "balances_root")


def check_periods(cursor: Any, walk: Walk) -> None:
    """What differs is added to the findings of the audit."""
    ledger_id = walk.ledger.id
    cursor.execute(_ROWS, [ledger_id])
    rows = {row[0]: row[1:] for row in cursor.fetchall()}
    cursor.execute(_CLOSES, [ledger_id, int(Kind.PERIOD_CLOSE)])
    for seq, uid, encoded in cursor.fetchall():
        body = json.loads(bytes(encoded))
        if body.get("late") != verify.LATE_RULE:
            continue
        found = rows.pop(body["period"], None)
        stated = tuple(body[name] for name in _STATED)
        if found != stated:
            _say(walk, seq, uid, "ledger_period", stated, found or "open", body["period"])
        _check_lines(cursor, walk, seq, uid, body)
    for period, found in rows.items():
        _say(walk, 0, "", "ledger_period", "an entry that closes it", found, period)


def _check_lines(cursor: Any, walk: Walk, seq: int, uid: str, body: Mapping[str, Any]) -> None:
    cursor.execute(_LINES, [walk.ledger.id, body["period"]])
    lines = [bytes(row[0]) for row in cursor.fetchall()]
    root = verify.root_of([verify.leaf_of(line) for line in lines]).hex()
    if root != body["balances_root"]:
        _say(walk, seq, uid, "balances_root", body["balances_root"], root, body["period"])
        return
    close = next((each for each in walk.replay.closes if each.seq == seq), None)
    if close is None or walk.audit.from_seq:
        return
    publics = walk.replay.exposure.publics
    for line in map(json.loads, lines):
        place = publics.get(line["envelope"], 0), close.start
        sums = close.balances.get(place)
        expected = sums.settled if sums else None, close.caps.get(place)
        stated = int(line["settled_nanos"]), _integer(line["cap_nanos"])
        if expected != stated:
            _say(walk, seq, uid, "settled_nanos", expected, stated, line["envelope"])


def _integer(value: object) -> int | None:
    return None if value is None else int(str(value))


def _say(
    walk: Walk, seq: int, uid: str, column: str, expected: object, found: object, what: str
) -> None:
    walk.audit.findings.append(
        Finding("period_changed", seq, uid, column, str(expected), str(found), what)
    )
