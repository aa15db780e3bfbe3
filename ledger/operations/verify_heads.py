"""Do signed heads state what the entries add up to, and is what was kept still extended?"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ledger.core import verify
from ledger.core.checkpoint import VerifierKey
from ledger.operations.verify_walk import Signed, Walk, say
from ledger.queries.integrity import Finding

OLDER: Final = "an older backup stands here, or the end of the ledger was cut off"


def check_state(cursor: Any, walk: Walk) -> None:
    """Is the sealer's state row what the walk arrived at?"""
    cursor.execute(
        "SELECT chain, ranges FROM ledger_seal_state WHERE ledger_id = %s", [walk.ledger.id]
    )
    row = cursor.fetchone()
    if row is None:
        return
    ranges = walk.frontier.compact().to_bytes()
    for column, expected, found in (
        ("chain", walk.chain, bytes(row[0])),
        ("ranges", ranges, bytes(row[1])),
    ):
        if expected != found:
            say(walk.audit, "seal_state", column, expected.hex(), found.hex())


def check_checkpoints(
    walk: Walk,
    checkpoints: Sequence[Signed],
    *,
    kept: Sequence[verify.Checkpoint],
    keys: Sequence[VerifierKey],
) -> None:
    """Is each checkpoint signed by a known key over what the entries add up to?"""
    audit = walk.audit
    known = [verify.Key(key.name, key.key_id, key.public) for key in keys]
    for own in kept:
        head = walk.heads.get(own.size)
        if head is not None and head[0] != own.root:
            what = f"the ledger no longer extends the checkpoint kept at {own.size}"
            say(audit, "history_rewritten", "root", own.root.hex(), head[0].hex(), what)
    for size, root, chain, note in checkpoints:
        if size < audit.from_seq:
            continue
        if size > audit.size:
            say(audit, "ledger_shorter", "size", f">= {size}", str(audit.size), OLDER)
            continue
        for fault in _note_faults(walk, size, root, chain, note, known):
            say(audit, *fault, f"checkpoint at {size}")
    audit.note = checkpoints[-1][3] if checkpoints else ""
    for seq, uid, body in walk.replay.references:
        head = walk.heads.get(int(body["size"]))
        stated = bytes.fromhex(body["root"]), bytes.fromhex(body["chain"])
        if head is not None and head[1] and head != stated:
            audit.findings.append(
                Finding("checkpoint_ref", seq, uid, "doc", head[0].hex(), body["root"])
            )


def _note_faults(
    walk: Walk, size: int, root: bytes, chain: bytes, note: str, known: Sequence[verify.Key]
) -> Iterator[tuple[str, str, str, str]]:
    head = walk.heads.get(size)
    try:
        stated = verify.Checkpoint.parse(note)
    except verify.NoteError as error:
        yield "note_malformed", "note", "a signed note", str(error)
        return
    if (stated.origin, stated.size) != (walk.ledger.origin, size):
        found = f"{stated.origin} {stated.size}"
        yield "checkpoint_changed", "note", f"{walk.ledger.origin} {size}", found
    if head is not None and not head[0] == stated.root == root:
        wrong = stated.root if stated.root != head[0] else root
        yield "checkpoint_changed", "root", head[0].hex(), wrong.hex()
    if head is not None and head[1] and head[1] != chain:
        yield "checkpoint_changed", "chain", head[1].hex(), chain.hex()
    right, wrong_keys = stated.signers(known)
    if wrong_keys or not right:
        signed = ", ".join(f"{name}+{key_id.hex()}" for name, key_id, _ in stated.lines)
        expected = ", ".join(str(key) for key in known)
        yield "signature_invalid", "note", f"a signature of {expected}", signed


def read_checkpoints(cursor: Any, ledger_id: int) -> list[Signed]:
    """Which checkpoints are there, smallest first?"""
    cursor.execute(
        "SELECT size, root, chain, note FROM ledger_checkpoint WHERE ledger_id = %s"
        " ORDER BY size",
        [ledger_id],
    )
    return [(size, bytes(root), bytes(chain), note) for size, root, chain, note in cursor]
