"""How do proof, checkpoint and neighbours in the chain stand in their template?"""

from collections.abc import Sequence
from typing import Any

from ledger import facade
from ledger.web.shown import entry_url, kind_word, signed_exact
from o10.kernel import figures


def show_proof(proof: facade.ProofView | None) -> dict[str, Any] | None:
    """How does the leaf lead to the signed root? None while no checkpoint covers the entry."""
    if proof is None:
        return None
    head = proof.head
    hashes = "hash" if len(proof.steps) == 1 else "hashes"
    return {
        "subtitle": f"leaf to root: {len(proof.steps)} {hashes}, {proof.bytes_long} bytes",
        "steps": [
            {
                "side": step.span.side.value,
                "first": step.span.first,
                "last": step.span.last,
                "hash": step.hash.hex(),
            }
            for step in proof.steps
        ],
        "result": {
            "ok": proof.holds,
            "root": head.root.hex() if proof.root is None else proof.root.hex(),
            "text": (
                f"They give the root that is signed at size {head.size:,}. "
                "L and R: the sibling stands left or right; "
                "each step is SHA-256(01 ‖ left ‖ right)."
                if proof.holds
                else f"Signed at size {head.size:,} is {head.root.hex()[:8]}…; "
                "the entry or the tree was changed."
            ),
        },
    }


def show_checkpoint(
    proof: facade.ProofView, *, chain: str, keys: Sequence[str], time_zone: str
) -> dict[str, Any]:
    """What was signed, when and by which key?"""
    head = proof.head
    return {
        "note": head.note,
        "facts": [
            {"term": "Size", "text": figures.count_exact(head.size)},
            {"term": "Root", "hash": head.root.hex()},
            {"term": "Chain head", "hash": chain},
            {"term": "Signed", "text": figures.instant(head.signed_at, time_zone=time_zone)},
            {"term": "By key", "code": head.key_id.hex()},
            {"term": "Verify", "code": "o10 ledger_verify --full"},
        ],
        "keys": "\n".join(keys),
    }


def show_chain(
    detail: facade.EntryDetail, *, currency: str, finding_seq: int
) -> list[dict[str, Any]]:
    """Which entries stand around this one? Oldest first, each with what it moved."""
    return [
        {
            "seq": line.seq,
            "kind": kind_word(line.kind),
            "title": _title(line),
            "amount": _moved(line, currency),
            "leaf": line.leaf,
            "chain": line.chain,
            "url": entry_url(line),
            "here": line.seq == detail.line.seq,
            "broken": line.seq == finding_seq,
        }
        for line in detail.around
    ]


def _title(line: facade.EntryLine) -> str:
    return line.use_case or line.envelope or kind_word(line.kind)


def _moved(line: facade.EntryLine, currency: str) -> str:
    if line.amount:
        return signed_exact(line.amount, currency).text
    if line.held:
        return f"held {signed_exact(line.held, currency).text}"
    if line.unsettled:
        return f"unsettled {signed_exact(line.unsettled, currency).text}"
    return "moves nothing"
