"""How do jobs wait in files, without a reader ever seeing half of one?

Kombu's filesystem transport opens a file, then locks it, then writes: who reads in between
finds it empty and dies of it. Here a message and a table of queues appear whole, or not at all.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Kombu's channel, whose files come into being in one step."""

    def _put(self, queue: str, payload: Mapping[str, Any], **_: Any) -> None:
        # In the order of their names messages are taken, as kombu names them.
        name = f"{round(monotonic() * 1_000)}_{uuid4()}.{queue}.msg"
        file = Path(self.data_folder_out) / name
        os.replace(_written(file.parent, dumps(payload)), file)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        file = self._exchange_file(exchange)
        if not file.exists():
            empty = _written(file.parent, "[]")
            # Another process may have been first; its table holds.
            with contextlib.suppress(FileExistsError):
                os.link(empty, file)
            empty.unlink()
        super()._queue_bind(exchange, routing_key, pattern, queue)


class Transport(filesystem.Transport):
    """Jobs in the files of one machine."""

    Channel = Channel


def _written(folder: Path, text: str) -> Path:
    """A file under a name that nobody looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{uuid4().hex}.part"
    part.write_text(text)
    return part
