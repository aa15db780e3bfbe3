"""Does a burst get answers, and does nobody wait behind another envelope's lock?"""

import json
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from o10.management.benches.drive import Request, Script, build_request, drive
from o10.management.benches.provider import MODEL
from o10.management.benches.scene import NANOS, Scene, found_company, open_department
from o10.management.benches.scene import open_use_case as open_use_case_in
from o10.management.benches.server import Site

from .plane_world import balances, real_site, tree_locked

CALLERS = 1_000
LOCKED_S = 3.0
PROMPT_S = 1.0
"""Whoever does not need the locked tree is answered in less."""


@pytest.fixture
def scene(committed_db: Any) -> Scene:
    """Three departments without a company above them: three trees."""
    scene = found_company()
    for slug in ("busy", "warm", "cold"):
        open_department(scene, f"{slug}-dept", nanos=1_000 * NANOS)
    return scene


@pytest.fixture
def site(committed_db: Any, scene: Scene) -> Iterator[Site]:
    with real_site(committed_db) as running:
        yield running


def open_use_case(scene: Scene, slug: str) -> Any:
    return open_use_case_in(scene, slug, nanos=500 * NANOS, department=f"{slug}-dept")


def the_call(scene: Scene, use_case: str) -> Request:
    body = {
        "request_id": Request.NUMBER,
        "use_case": use_case,
        "model": MODEL,
        "input_tokens": 1_200,
        "max_output_tokens": 800,
    }
    return build_request(path="/api/v1/authorize", key=scene.key, body=body)


def ask_once(request: bytes, heard: list[tuple[int, bytes, int]]) -> Script:
    answer = yield request
    heard.append(answer)


def ask_for(request: Request, *, first: int, seconds: float, waits: "array[int]") -> Script:
    """Asks now and then, never as fast as it can: the machine is not what is tested."""
    number, end = first, time.monotonic() + seconds
    while time.monotonic() < end:
        status, body, nanos = yield request.numbered(number)
        assert status == 200, body
        assert json.loads(body)["decision"] == "allow"
        waits.append(nanos)
        number += 1
        yield 0.02


def fire(site: Site, request: Request, *, first: int) -> list[tuple[int, bytes, int]]:
    """1,000 callers at the same moment, each on a connection of its own, none of them twice."""
    heard: list[tuple[int, bytes, int]] = []
    drive(
        port=site["plane"].port,
        scripts=[ask_once(request.numbered(first + n), heard) for n in range(CALLERS)],
        stalled_s=20.0,
        whole=True,
    )
    return heard


def check_answers(heard: list[tuple[int, bytes, int]]) -> Counter[int]:
    """200 or 503 that says when to come back; nothing else, and nobody is forgotten."""
    assert len(heard) == CALLERS
    for status, answer, _ in heard:
        head, _, body = answer.partition(b"\r\n\r\n")
        if status == 503:
            assert b"\r\nretry-after: " in head.lower()
            assert json.loads(body)["code"] == "unavailable"
            continue
        assert status == 200, answer
        assert json.loads(body)["decision"] == "allow"
    return Counter(status for status, _, _ in heard)


def test_each_of_a_thousand_callers_gets_an_answer(site: Site, scene: Scene) -> None:
    open_use_case(scene, "busy")
    heard = fire(site, the_call(scene, "busy"), first=0)
    answered = check_answers(heard)
    assert answered[200] > 0
    worst = 4_500_000
    held = balances()["use_case/busy"]["held"]
    # What was allowed is held, and at most what was asked for and lent around it.
    assert answered[200] * worst <= held <= 500 * NANOS


def test_nobody_waits_behind_the_lock_of_another_envelope(
    committed_db: Any, site: Site, scene: Scene
) -> None:
    busy = open_use_case(scene, "busy")
    for slug in ("warm", "cold"):
        open_use_case(scene, slug)
    warm, cold = the_call(scene, "warm"), the_call(scene, "cold")
    # A lease for one of the others, in both workers; the third has never been asked for.
    before = array("q")
    drive(
        port=site["plane"].port,
        scripts=[ask_for(warm, first=n * 1_000, seconds=0.6, waits=before) for n in range(8)],
    )
    waits = {"warm": array("q"), "cold": array("q")}
    heard: list[tuple[int, bytes, int]] = []
    with tree_locked(committed_db, busy.id):
        burst = threading.Thread(
            target=lambda: heard.extend(fire(site, the_call(scene, "busy"), first=10**6))
        )
        begun = time.monotonic()
        burst.start()
        time.sleep(0.2)
        drive(
            port=site["plane"].port,
            scripts=[
                ask_for(request, first=(9 + n) * 10**6, seconds=LOCKED_S, waits=waits[name])
                for n, (name, request) in enumerate(
                    pair for pair in (("warm", warm), ("cold", cold)) for _ in range(4)
                )
            ],
            stalled_s=20.0,
        )
        assert time.monotonic() - begun < LOCKED_S + 3 * PROMPT_S
    burst.join(20)
    check_answers(heard)
    for name, those in waits.items():
        assert len(those) > 20, name
        assert max(those) < PROMPT_S * 1e9, f"{name} waited {max(those) / 1e9:.1f} s"
