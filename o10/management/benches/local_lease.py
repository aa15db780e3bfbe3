"""What does a decision cost in a router that decides by itself, against asking for it?

The router's client in this process, its journal on this disk, its leases and its books at the
server beside it. Only authorize is timed; calls are settled in between, so that money comes
back as it does in a router. The other side is one connection that asks the decision plane.
"""

import gc
import tempfile
from array import array
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from o10.client import Client, Lessee
from o10.client.exchange import Patience
from o10.management.benches.drive import Request, build_request, percentile
from o10.management.benches.load import (
    Sample,
    asks,
    column,
    first_number,
    measure,
    middle,
    take_turns,
)
from o10.management.benches.provider import MODEL
from o10.management.benches.result import Ratio, ratio
from o10.management.benches.scene import Scene, open_use_case
from o10.management.benches.server import PLANE, Site

SLUG = "local-lease"
WARM_UP = 512
ROUND = 4_096
IN_FLIGHT = 32
"""Calls open at a time, as in a router; they are settled together."""
CALL = {"use_case": SLUG, "model": MODEL, "input_tokens": 1_200, "max_output_tokens": 800}
USED = {"input_tokens": 1_200, "output_tokens": 100}
LOCAL = "in the router"


def compare(
    running: Site, scene: Scene, *, rounds: int, seconds: float
) -> tuple[list[Ratio], dict[str, Any]]:
    """p50 in process over p50 of one connection to the plane (goals: 0.2, and 12 us)."""
    open_use_case(scene, SLUG)
    body = CALL | {"request_id": Request.NUMBER}
    asked = build_request(path="/api/v1/authorize", key=scene.key, body=body)
    make = asks(asked, good=b'"decision":"allow"', connections=1)
    with (
        tempfile.TemporaryDirectory() as state,
        Client(
            base_url=f"http://127.0.0.1:{running[PLANE].port}",
            key=scene.key,
            state_dir=state,
            patience=Patience(total_s=10.0),
        ) as client,
        Lessee(client) as lessee,
    ):
        sides: dict[str, Callable[[], Sample]] = {
            LOCAL: lambda: _decide(lessee),
            PLANE: lambda: measure(running, running[PLANE], make, seconds=seconds),
        }
        _decide(lessee, calls=WARM_UP)
        said = take_turns(sides, rounds=rounds)
        facts = {
            "local: p50 us": round(middle(said[LOCAL], "p50_us"), 2),
            "local: p99 us": round(middle(said[LOCAL], "p99_us"), 2),
            "local: decided by the plane": lessee.remote,
        }
    return [
        ratio(
            name="D14 p50 of a local decision over one asked of the plane, c=1",
            goal="<= 0.2",
            a=(LOCAL, column(said[LOCAL], "p50_us")),
            b=("decision plane over HTTP", column(said[PLANE], "p50_us")),
            unit="us",
        )
    ], facts


def _decide(lessee: Lessee, *, calls: int = ROUND) -> Sample:
    """How long does one authorize take, call by call?"""
    waits = array("q")
    gc.collect()
    first = first_number()
    for start in range(first, first + calls, IN_FLIGHT):
        open_calls = []
        for number in range(start, start + IN_FLIGHT):
            request_id = f"{number:012}"
            begun = perf_counter_ns()
            decision = lessee.authorize(**CALL, request_id=request_id)
            waits.append(perf_counter_ns() - begun)
            open_calls.append(decision)
        for decision in open_calls:
            if decision.reservation is not None:
                lessee.settle(reservation=decision.reservation.token, usage=USED)
    busy_s = sum(waits) / 1e9
    return Sample(
        rate=calls / busy_s,
        booked_rate=0.0,
        p50_us=percentile(waits, 0.50),
        p99_us=percentile(waits, 0.99),
        cpu_us=0.0,
        books_us=0.0,
        database_us=0.0,
        driver_us=0.0,
        asked_again=0,
    )
