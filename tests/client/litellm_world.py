"""Which world does a real proxy live in here? o10 as started by `o10 up`, and its two sides.

On one side clients with keys of the proxy, on the other a provider that keeps its own bill.
What is asserted is read from the provider's record and from the database, never from the guard.
"""

import asyncio
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from o10 import embedded
from o10.management.benches.proxy import INSTALL, Installed, Proxy, Upstream, installed_litellm
from tests.spine.conftest import Running

O10_MODEL = "openai/gpt-5.4-mini"
INPUT, OUTPUT = 750, 4_500
"""Nanos of one token of it at its list price."""
DEARER = "openai/gpt-5.4"
DEARER_INPUT, DEARER_OUTPUT = 2_500, 15_000
DOLLAR = 10**9


def the_installed_litellm() -> Installed:
    """The LiteLLM of this checkout; without it a test is skipped, and fails in the pipeline."""
    found = installed_litellm()
    if found is None and os.environ.get("CI") == "true":
        raise RuntimeError(f"the pipeline installs LiteLLM: {INSTALL}")
    if found is None:
        pytest.skip(f"LiteLLM is not installed: {INSTALL}", allow_module_level=True)
    return found


@dataclass(frozen=True)
class Heard:
    """What a client of the proxy heard."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    @property
    def metadata(self) -> Any:
        return self.told["error"]["metadata"]


def say(
    proxy: Proxy,
    path: str,
    body: dict[str, Any],
    *,
    key: str = "sk-plain",
    headers: dict[str, str] | None = None,
    leave_after: int = 0,
    timeout_s: float = 60,
) -> Heard:
    """One request; `leave_after` that many bytes of the answer the client is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), sent | (headers or {}))
    answer = connection.getresponse()
    read = answer.read(leave_after) if leave_after else answer.read()
    connection.close()
    return Heard(answer.status, {k.lower(): v for k, v in answer.getheaders()}, read)


def chat(model: str = "mini", **more: Any) -> dict[str, Any]:
    """A chat request whose prompt is counted above the provider's fixed 100 tokens."""
    messages = [{"role": "user", "content": "Which of these invoices is due? " * 16}]
    return {"model": model, "messages": messages, **more}


@dataclass
class Company:
    """The company of the tests: makes use cases, reads what was booked."""

    o10: Running
    _keys: dict[str, str] = field(default_factory=dict)

    def use_case(self, slug: str, amount: str = "1.00", **more: Any) -> str:
        """A use case of this name with an envelope of this many dollars; its slug."""
        self._post(
            "finops",
            "/api/v1/use-cases",
            {
                "slug": slug,
                "name": slug,
                "department": "engineering",
                "owner": "owner.eng@northwind.example",
                "floor_class": "lean",
            },
        )
        asked = self._post(
            "finops",
            "/api/v1/envelopes",
            {
                "scope": {"kind": "use_case", "slug": slug},
                "period": {"kind": "month", "time_zone": "UTC"},
                "amount": amount,
                "currency": "USD",
                "hard": True,
            }
            | more,
        )
        approval = asked["approval"]["id"]
        self._post("controller", f"/api/v1/approvals/{approval}:approve", {"reason": "a test"})
        self._wait_in_force(slug)
        return slug

    def _wait_in_force(self, slug: str, *, seconds: float = 20.0) -> None:
        """Every worker of the plane has heard of the envelope: it may take a second."""
        body = {"use_case": slug, "model": "openai/gpt-5.4-mini", "input_tokens": 1}
        deadline = time.monotonic() + seconds
        seen = 0
        while seen < 6:
            # Each connection is taken by one of the workers.
            _, answer = self.o10.post("/api/v1/authorize:dry-run", body)
            named = [each["name"] for each in answer.get("envelopes", ())]
            seen = seen + 1 if any(slug in name for name in named) else 0
            assert time.monotonic() < deadline, answer
        # A dry run looks into the database; the tills of the same workers hear of it by then.
        time.sleep(0.7)

    def _post(self, role: str, path: str, body: dict[str, Any]) -> Any:
        if role not in self._keys:
            made = self.o10.manage("create_key", "--name", f"litellm-{role}", "--role", role)
            self._keys[role] = "o10_" + made.split("o10_")[1].split()[0]
        connection = http.client.HTTPConnection("127.0.0.1", self.o10.port, timeout=20)
        headers = {
            "Authorization": f"Bearer {self._keys[role]}",
            "Content-Type": "application/json",
        }
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        read = answer.read()
        assert answer.status in {200, 201, 202}, read
        return json.loads(read)

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What does the database say?"""
        url = embedded.cluster_at(self.o10.home).superuser_url("o10")
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(query, list(arguments)).fetchall()

    def balance(self, slug: str) -> dict[str, int]:
        """Settled, held, unsettled, unguarded of the use case's envelope. Nanos."""
        found = self.rows(
            """
            SELECT COALESCE(SUM(b.settled_nanos), 0), COALESCE(SUM(b.held_nanos), 0),
                   COALESCE(SUM(b.unsettled_nanos), 0), COALESCE(SUM(b.unguarded_nanos), 0)
            FROM envelope_balance b JOIN policies_envelope e ON e.id = b.envelope_id
            JOIN policies_use_case u ON u.id = e.use_case_id
            WHERE u.slug = %s AND e.scope_kind = 'use_case'
            """,
            slug,
        )
        names = ("settled", "held", "unsettled", "unguarded")
        return dict(zip(names, map(int, found[0]), strict=True))

    def reservations(self, slug: str) -> list[dict[str, Any]]:
        """Every reservation of the use case, oldest first."""
        names = ("state", "amount", "open", "settled", "attempts", "model")
        found = self.rows(
            """
            SELECT r.state, r.amount_nanos, r.open_nanos, r.settled_nanos, r.attempts, r.model
            FROM reservation r JOIN policies_use_case u ON u.id = r.use_case
            WHERE u.slug = %s ORDER BY r.authorized_at, r.id
            """,
            slug,
        )
        return [dict(zip(names, row, strict=True)) for row in found]

    def wait_settled(self, slug: str, *, seconds: float = 30.0) -> dict[str, int]:
        """The balance once no reservation of the use case is open."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            states = {each["state"] for each in self.reservations(slug)}
            now = self.balance(slug)
            if states and "open" not in states and not now["held"]:
                return now
            time.sleep(0.2)
        raise AssertionError(f"still open: {self.balance(slug)} {self.reservations(slug)}")


def billed(
    calls: list[dict[str, Any]], *, prices: Callable[[str], tuple[int, int]] | None = None
) -> int:
    """What does the provider bill for these calls? Nanos, by the list price of the model."""
    total = 0
    for call in calls:
        put_in, put_out = prices(call["model"]) if prices else (INPUT, OUTPUT)
        total += call["billed_input"] * put_in + call["billed_output"] * put_out
    return total


@contextmanager
def fresh(upstream: Upstream, **manners: dict[str, Any]) -> Iterator[Upstream]:
    """The provider with these manners and an empty record."""
    upstream.behave(**manners)
    upstream.forget()
    yield upstream


def many(
    proxy: Proxy, bodies: list[dict[str, Any]], *, key: str, concurrency: int
) -> list[Heard]:
    """All of these requests, so many at a time, each answer in place."""
    return asyncio.run(_many(proxy, bodies, key, concurrency))


async def _many(
    proxy: Proxy, bodies: list[dict[str, Any]], key: str, concurrency: int
) -> list[Heard]:
    answers: list[Heard | None] = [None] * len(bodies)
    waiting = iter(enumerate(bodies))

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for place, body in waiting:
            raw = json.dumps(body).encode()
            writer.write(
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
                f"authorization: Bearer {key}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(raw)}\r\n\r\n".encode()
                + raw
            )
            answers[place] = await _read(reader)
        writer.close()

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return [each for each in answers if each is not None]


async def _read(reader: asyncio.StreamReader) -> Heard:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        if name:
            headers[name.lower()] = value.strip()
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readline()).strip() or b"0", 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(int(head[0].split()[1]), headers, body)


os.environ.setdefault("NO_PROXY", "127.0.0.1")
