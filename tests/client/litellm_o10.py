"""Which o10 says whatever a test needs? Answers in the shapes of the contract, and remembers.

For what the real one does not decide yet or cannot be made to do at will: routes to another
model, waits, silence. What it sends is built from the wire types, so it cannot drift.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from o10.kernel import ids
from o10.kernel.money import Money
from o10.wire.decisions import (
    Caps,
    Decision,
    EnvelopeView,
    Mode,
    MoneyView,
    Outcome,
    PolicyRef,
    ReasonEntry,
    Released,
    ReservationView,
    Route,
    Settled,
    encode,
)
from o10.wire.reasons import Reason

POLICY = PolicyRef(version=12, hash="00" * 32)
NOTHING = MoneyView.of(Money("USD", 0))


def decision(
    outcome: Outcome = Outcome.ALLOW,
    reason: Reason = Reason.OK_WITHIN_ENVELOPE,
    *,
    cap: int = 64,
    offer: str = "",
    retry_after_s: int | None = None,
    mode: Mode = Mode.ENFORCE,
    holds: bool = True,
) -> Decision:
    """A decision as o10 would word it."""
    venue, _, model = offer.partition("/")
    more: dict[str, Any] = {}
    if outcome.goes:
        more["caps"] = Caps(max_output_tokens=cap)
        if holds:
            more["reservation"] = ReservationView.of(
                public_id=ids.new_id("rsv"),
                token=f"token-{ids.new_uuid().hex}",
                money=Money("USD", 1_000_000),
                expires_at=datetime.now(UTC) + timedelta(minutes=10),
            )
    if offer:
        more["route"] = Route(
            offer=offer, model=model, venue=venue, region=None, price_version=41
        )
    if retry_after_s is not None:
        more["retry_after_s"] = retry_after_s
    return Decision(
        decision=outcome,
        would_decision=outcome,
        mode=mode,
        decision_id=ids.new_id("dec"),
        reasons=(ReasonEntry(code=reason, detail="Said by a test."),),
        envelopes=(
            EnvelopeView.of(
                public_id="env_0000000000000000000000000",
                name="Test",
                cap_nanos=10**9,
                settled_nanos=0,
                held_nanos=0,
                available_nanos=10**9,
                binding=True,
            ),
        ),
        policy=POLICY,
        **more,
    )


@dataclass
class Scripted:
    """What is answered next, and what was asked. `silent_s` waits before each answer."""

    port: int = 0
    says: Decision | None = None
    status: int = 200
    silent_s: float = 0.0
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, verb: str) -> list[dict[str, Any]]:
        """What was asked with this verb?"""
        with self._lock:
            return [body for name, body in self.heard if name == verb]

    def begin(self, says: Decision | None = None) -> None:
        """A new record, and this answer to every authorize (None: allow)."""
        with self._lock:
            self.heard.clear()
            self.raw.clear()
        self.says, self.status, self.silent_s = says, 200, 0.0

    def wait_for(
        self, verb: str, count: int = 1, seconds: float = 15.0
    ) -> list[dict[str, Any]]:
        """What was asked with this verb, once it was asked so often."""
        deadline = time.monotonic() + seconds
        while len(self.of(verb)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"no {verb} came: {self.heard}")
            time.sleep(0.05)
        return self.of(verb)

    def answer(self, verb: str, body: dict[str, Any], raw: bytes) -> tuple[int, bytes]:
        with self._lock:
            self.heard.append((verb, body))
            self.raw.append(raw)
        if self.silent_s:
            time.sleep(self.silent_s)
        if self.status != 200:
            problem = {"code": "unavailable", "detail": "Told to.", "retry": "later"}
            return self.status, json.dumps(problem).encode()
        if verb == "authorize":
            return 200, encode(self.says or decision())
        if verb == "release":
            return 200, encode(Released(entry_id=ids.new_id("ent"), refunded=NOTHING))
        if verb == "settle":
            told = Settled(
                entry_id=ids.new_id("ent"),
                cost=NOTHING,
                refunded=NOTHING,
                overrun=NOTHING,
                late=False,
                flags=(),
            )
            return 200, encode(told)
        return 200, b"{}"


@contextmanager
def scripted() -> Iterator[Scripted]:
    """It, on a port of its own."""
    script = Scripted()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, b"{}")

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            verb = self.path.rsplit("/", 1)[1]
            self._send(*script.answer(verb, json.loads(raw), raw))

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Door)
    script.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
