"""Who serves the admitted calls, and what do they bill? A process that knows nothing of o10.

It has prices and counts of its own and is asked once per call, after the answer that let the
call through. What it has written down is the judge of a cap: money that left.
Runs as `python -m o10.management.benches.provider SOCKET INPUT_NANOS OUTPUT_NANOS`.
"""

import contextlib
import hashlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODEL = "openai/gpt-5.4-mini"
INPUT_NANOS, OUTPUT_NANOS = 750, 4_500
"""What one token of it costs by the first price book."""
START_S = 20.0
CHUNK = 1 << 16
REPORT = b"report"
MANNERS = ("full", "some", "deaf", "at-")
"""full uses all that was granted; some a part that depends on the call; deaf three times it;
at-N uses N tokens where so many were granted."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What was served under one id? Units: tokens; nanos; `times` = how often it was asked."""

    input_tokens: int
    output_tokens: int
    nanos: int
    times: int


class Provider:
    """One line to the running provider: blocking, for one process."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._read = self._socket.makefile("rb")

    def serve(
        self, call: str, *, input_tokens: int, max_output_tokens: int, manner: str = "full"
    ) -> tuple[int, int]:
        """How many tokens in and out does the provider bill for this call?"""
        line = f"{call} {input_tokens} {max_output_tokens} {manner}\n"
        self._socket.sendall(line.encode())
        billed = self._read.readline().split()
        return int(billed[0]), int(billed[1])

    def bills(self) -> dict[str, Bill]:
        """What has everybody been served so far, by call?"""
        self._socket.sendall(REPORT + b"\n")
        return {call: Bill(*bill) for call, bill in json.loads(self._read.readline()).items()}

    def close(self) -> None:
        """Hangs up."""
        self._read.close()
        self._socket.close()


@contextlib.contextmanager
def provider(*, input_nanos: int, output_nanos: int) -> Iterator[Path]:
    """Where does the provider listen while it runs?

    Raises: TimeoutError.
    """
    with tempfile.TemporaryDirectory(prefix="o10-provider-") as folder:
        path = Path(folder) / "socket"
        prices = [str(input_nanos), str(output_nanos)]
        process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-m", __spec__.name, str(path), *prices],
            env={**os.environ},
            cwd=Path(__file__).parents[3],
        )
        try:
            deadline = time.monotonic() + START_S
            while not _listens(path):
                if time.monotonic() > deadline:
                    raise TimeoutError("the provider did not start")
                time.sleep(0.02)
            yield path
        finally:
            process.terminate()
            process.wait()


def _listens(path: Path) -> bool:
    try:
        Provider(path).close()
    except OSError:
        return False
    return True


def _billed_output(call: str, most: int, manner: str) -> int:
    if manner == "some":
        return hashlib.sha256(call.encode()).digest()[0] * most // 255
    if manner.startswith("at-"):
        return min(int(manner[3:]), most)
    return 3 * most if manner == "deaf" else most


class _Till:
    def __init__(self, *, input_nanos: int, output_nanos: int) -> None:
        self.input_nanos, self.output_nanos = input_nanos, output_nanos
        self.bills: dict[str, list[int]] = {}

    def answer(self, line: bytes) -> bytes:
        """One line for one line."""
        if line == REPORT:
            return json.dumps(self.bills).encode() + b"\n"
        call, asked, granted, manner = line.decode().split()
        if call in self.bills:
            self.bills[call][3] += 1
        else:
            made = _billed_output(call, int(granted), manner)
            nanos = int(asked) * self.input_nanos + made * self.output_nanos
            self.bills[call] = [int(asked), made, nanos, 1]
        bill = self.bills[call]
        return b"%d %d\n" % (bill[0], bill[1])


def _listen(path: str, till: _Till) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    left: dict[socket.socket, bytes] = {}
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                line, _ = listener.accept()
                ready.register(line, selectors.EVENT_READ)
                left[line] = b""
                continue
            line = key.fileobj  # type: ignore[assignment]
            try:
                data = line.recv(CHUNK)
            except OSError:
                data = b""
            if not data:
                ready.unregister(line)
                del left[line]
                line.close()
                continue
            *whole, left[line] = (left[line] + data).split(b"\n")
            for each in whole:
                with contextlib.suppress(OSError):
                    line.sendall(till.answer(each))


if __name__ == "__main__":
    _listen(
        sys.argv[1],
        _Till(input_nanos=int(sys.argv[2]), output_nanos=int(sys.argv[3])),
    )
