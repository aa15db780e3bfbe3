"""What does a real decision plane do while something it needs is away?

Run without a sealer, a worker or a clock's job: none of them is needed to decide.
"""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from o10.kernel import clock
from o10.management.benches.provider import MODEL
from o10.management.benches.scene import NANOS, Scene, found_company, open_use_case
from o10.management.benches.server import PLANE, Site, drain
from policies import facade as policies
from tests.machines.plane_world import assert_books_are_sound, balances, real_site

WORST = 4_500_000


@pytest.fixture
def scene(committed_db: Any) -> Scene:
    scene = found_company()
    open_use_case(scene, "support", nanos=2 * NANOS)
    return scene


@pytest.fixture
def site(committed_db: Any, scene: Scene) -> Iterator[Site]:
    with real_site(committed_db, workers=1) as running:
        yield running


class Router:
    """A connection for each call: the plane is what is tested."""

    def __init__(self, site: Site, scene: Scene) -> None:
        self.port, self.key, self.number = site[PLANE].port, scene.key, 0

    def post(self, verb: str, body: dict[str, Any]) -> tuple[int, dict[str, Any], str | None]:
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
        }
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            line.request("POST", f"/api/v1/{verb}", json.dumps(body), headers)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers["Retry-After"]
        finally:
            line.close()

    def ask(self) -> tuple[int, dict[str, Any], str | None]:
        self.number += 1
        return self.post(
            "authorize",
            {
                "request_id": f"degraded-{self.number}",
                "use_case": "support",
                "model": MODEL,
                "input_tokens": 1_200,
                "max_output_tokens": 800,
            },
        )

    def pay(self, answer: dict[str, Any]) -> tuple[int, dict[str, Any], str | None]:
        usage = {"input_tokens": 1_200, "output_tokens": 310}
        return self.post(
            "settle", {"reservation": answer["reservation"]["token"], "usage": usage}
        )


@contextmanager
def database_away(urls: Any) -> Iterator[None]:
    """Nobody gets in, and who was in is thrown out."""
    info = psycopg.conninfo.conninfo_to_dict(urls.superuser_url)
    name = info["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(**{**info, "dbname": "postgres"})
    with psycopg.connect(elsewhere, autocommit=True) as superuser:

        def refuse(refused: str) -> None:
            superuser.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {refused}')

        refuse("false")
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [name],
        )
        try:
            yield
        finally:
            refuse("true")


def test_without_a_database_live_leases_answer_and_settles_are_kept(
    committed_db: Any, site: Site, scene: Scene
) -> None:
    router = Router(site, scene)
    held = []
    for _ in range(30):
        status, answer, _ = router.ask()
        assert (status, answer["decision"]) == (200, "allow")
        held.append(answer)
        time.sleep(0.01)
    drain()
    with database_away(committed_db):
        allowed, refused = [], None
        for _ in range(2_000):
            status, answer, retry = router.ask()
            if status != 200:
                refused = status, answer["code"], retry
                break
            assert answer["decision"] == "allow"
            allowed.append(answer)
        # What was lent before is spent on; then it is said that no more can be had.
        assert allowed
        assert refused is not None
        assert refused[:2] == (503, "unavailable")
        assert int(refused[2] or 0) >= 1
        for answer in [*held, *allowed]:
            status, told, _ = router.pay(answer)
            assert status == 200, told
            assert told["cost"]["amount_nanos"] == str(1_200 * 750 + 310 * 4_500)
    connection.close()
    wait_for_the_keeper(router)
    drain()
    booked = balances()["use_case/support"]["settled"]
    assert booked == (len(held) + len(allowed)) * (1_200 * 750 + 310 * 4_500)
    assert_books_are_sound()


def wait_for_the_keeper(router: Router) -> None:
    """Back to normal without anybody's help; the call that shows it is given back."""
    deadline = time.monotonic() + 30
    while True:
        status, answer, _ = router.ask()
        if status == 200:
            assert answer["reservation"]["amount_nanos"] == str(WORST)
            token = answer["reservation"]["token"]
            assert router.post("release", {"reservation": token})[0] == 200
            return
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)


def test_a_change_of_a_cap_reaches_the_worker_within_a_second(site: Site, scene: Scene) -> None:
    router = Router(site, scene)
    for _ in range(10):
        router.ask()
    now = clock.now()
    envelope = policies.list_envelopes(now=now, use_case="support").items[-1].id
    change = policies.EnvelopeChange(state="frozen", reason="stop")
    policies.change_envelope(envelope=envelope, change=change, actor=scene.finops, now=now)
    begun = time.monotonic()
    while router.ask()[1]["decision"] == "allow":
        assert time.monotonic() - begun < 1.0
        time.sleep(0.01)
    drain()
    # What was free is back: only calls that are under way are still out.
    out = balances()["use_case/support"]["held"]
    assert out % WORST == 0
