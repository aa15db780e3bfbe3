"""How does a command speak to the policy API? One kept connection per thread."""

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long did it take (seconds)?"""

    status: int
    body: dict[str, Any]
    seconds: float


class PolicyConnection:
    """Posts to one base URL under one key; retries with the same body when a socket breaks."""

    def __init__(self, *, base_url: str, key: str, attempts: int = 40) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._attempts = attempts
        self._local = threading.local()

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Asks and waits. A 503 or a broken connection is tried again with the same body.

        Raises: ConnectionError when nobody answered `attempts` times.
        """
        sent = json.dumps(body).encode()
        started = time.perf_counter()
        for attempt in range(self._attempts):
            try:
                status, read = self._once(path, sent)
            except (OSError, http.client.HTTPException):
                self._local.connection = None
                time.sleep(min(1.0, 0.05 * 2**attempt))
                continue
            if status == 503:
                time.sleep(min(1.0, 0.05 * 2**attempt))
                continue
            answer = json.loads(read) if read else {}
            return Answer(status, answer, time.perf_counter() - started)
        raise ConnectionError(f"no answer from {self._host}:{self._port}{path}")

    def _once(self, path: str, sent: bytes) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
            self._local.connection = connection
        connection.request("POST", path, body=sent, headers=self._headers)
        response = connection.getresponse()
        return response.status, response.read()
