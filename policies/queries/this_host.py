"""Which host is this, and where do the journals of its holders lie?

A host is one data directory (O10_HOME), named by a random id that is kept in it.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from django.conf import settings

FOLDER: Final = "plane"
HOST_FILE: Final = "host"


def plane_folder(home: Path) -> Path:
    """Where do the journals of this host lie? Made here, for its owner alone."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def host_of(home: Path) -> str:
    """How is this host named? The same for ever; made the first time it is asked.

    Of two processes that ask at once the first that links its file wins, for both.
    """
    path = plane_folder(home) / HOST_FILE
    if not path.exists():
        draft = path.with_name(f".{HOST_FILE}-{secrets.token_hex(8)}")
        draft.write_text(secrets.token_hex(16))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def this_host() -> str:
    """How is the host of this process named?"""
    return host_of(Path(settings.O10_HOME))


def journal_name(fence: int) -> str:
    """How is the journal of this holder named?"""
    return f"journal-{fence}.bin"
