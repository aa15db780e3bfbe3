"""Which checkpoints does this verifier hold the ledger to? Files of its own, outside of it."""

from collections.abc import Sequence
from pathlib import Path

from ledger.core import verify


def read_trusted_notes(paths: Sequence[Path]) -> list[str]:
    """Which signed notes stand in these files?

    Raises: ValueError for a file that is no note; OSError for one that cannot be read.
    """
    notes = []
    for path in paths:
        note = path.read_text()
        verify.Checkpoint.parse(note)
        notes.append(note)
    return notes


def keep_trusted_note(*, path: Path, note: str) -> None:
    """Keeps the note as this verifier's own: the ledger must extend it from now on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    verify.keep_trust(path, note)
