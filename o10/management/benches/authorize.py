"""What does a decision cost, against a bare Django view and against SQL for each call?

All sides are granian servers with the same settings on this machine, driven by the same
connections in turn. The hello view has no middleware and no database. The SQL form is the
strict door of the web port: the same decision, one transaction a call.
"""

from collections.abc import Callable

from django.conf import settings
from django.core.management import get_commands

from o10.management.benches import local_lease, many_children
from o10.management.benches.drive import Request, build_request
from o10.management.benches.litellm_peer import (
    installed_litellm,
    peer_refusal,
    peer_reservation,
)
from o10.management.benches.load import (
    Sample,
    asks,
    column,
    in_process,
    measure,
    middle,
    take_turns,
)
from o10.management.benches.provider import MODEL
from o10.management.benches.proxy import INSTALL, Installed
from o10.management.benches.result import Bench, Ratio, Side, ratio
from o10.management.benches.scene import Scene, found_scene, open_use_case
from o10.management.benches.server import BOOKS, PLANE, WEB, Site, beside, site

CONNECTIONS = 16
WORKERS = 2
SECONDS = 2.0
CALM_SECONDS = 1.0
HELLO, BARE = "hello", "bare"
PEER = "LiteLLM's reserve_budget_for_request, in memory, in its own process"
APPS = "o10.management.benches"
HOT = "hot"

Samples = dict[str, list[Sample]]
Turn = Callable[[], Sample]


def run(*, rounds: int, seconds: float = SECONDS) -> Bench:
    """What is authorize over hello in p50, p99 and processor time, and over SQL in calls/s?"""
    scene = found_scene()
    open_use_case(scene, HOT)
    with site(workers=WORKERS, names=(PLANE, BOOKS, WEB)) as running:
        running.begin(
            beside(running[PLANE], f"{APPS}.{name}:application", name=name)
            for name in (HELLO, BARE)
        )
        busy = take_turns(_sides(running, scene, CONNECTIONS, seconds), rounds=rounds)
        peer = installed_litellm()
        alone = _sides(running, scene, 1, CALM_SECONDS)
        if peer is not None:
            alone[PEER] = lambda: in_process(p50_us=peer_reservation(peer).value)
        calm = take_turns(alone, rounds=rounds)
        ratios = [*_ratios(busy), *_against_the_peer(peer, busy, calm)]
        facts = _facts(busy, calm)
        if peer is None:
            facts["LiteLLM"] = f"not measured: {INSTALL} installs it"
        local = local_lease.compare(running, scene, rounds=rounds, seconds=CALM_SECONDS)
        many = many_children.compare(running, scene, rounds=rounds)
    return Bench(
        name="authorize",
        ratios=(*ratios, *local[0], *many[0]),
        facts=facts | local[1] | many[1],
    )


def the_call(scene: Scene, slug: str) -> Request:
    """1,200 tokens in and at most 800 out: 4,500,000 nanos at most."""
    body = {
        "request_id": Request.NUMBER,
        "use_case": slug,
        "model": MODEL,
        "input_tokens": 1_200,
        "max_output_tokens": 800,
    }
    return build_request(path="/api/v1/authorize", key=scene.key, body=body)


def _sides(running: Site, scene: Scene, connections: int, seconds: float) -> dict[str, Turn]:
    asked = the_call(scene, HOT)
    greeted = build_request(path="/", method="GET")
    sides = {
        HELLO: (greeted, b"hello"),
        PLANE: (asked, b'"decision":"allow"'),
        WEB: (asked, b'"decision":"allow"'),
        BARE: (asked, b'"decision":"allow"'),
    }

    def turn(name: str) -> Turn:
        request, good = sides[name]
        make = asks(request, good=good, connections=connections)
        return lambda: measure(running, running[name], make, seconds=seconds)

    return {name: turn(name) for name in sides}


def _ratios(busy: Samples) -> list[Ratio]:
    def against_hello(name: str, goal: str, field: str, unit: str = "us") -> Ratio:
        return ratio(
            name=name,
            goal=goal,
            a=("authorize with held money", column(busy[PLANE], field)),
            b=("Django hello", column(busy[HELLO], field)),
            unit=unit,
        )

    return [
        against_hello("D1 p50 of authorize over Django hello, c=16", "<= 0.35", "p50_us"),
        against_hello(
            "D2 processor time of authorize over Django hello, c=16", "<= 0.35", "cpu_us"
        ),
        ratio(
            name="D3 authorize/s of one hot envelope, leased over SQL for each call, c=16",
            goal=">= 20",
            a=("decision plane", column(busy[PLANE], "rate")),
            b=("one transaction a call", column(busy[WEB], "rate")),
            unit="calls/s",
        ),
        against_hello("D12 p99 of authorize over Django hello, c=16", "<= 1.5", "p99_us"),
    ]


def _against_the_peer(peer: Installed | None, busy: Samples, calm: Samples) -> list[Ratio]:
    if peer is None:
        return []
    refused = peer_refusal(peer)
    ours = middle(busy[PLANE], "cpu_us")
    share = [each / refused.value for each in column(busy[PLANE], "cpu_us")]
    return [
        ratio(
            name=f"D4 p50 of authorize over HTTP, c=1, over LiteLLM {peer.version}'s own check",
            goal="<= 0.3",
            a=("authorize over HTTP", column(calm[PLANE], "p50_us")),
            b=(PEER, column(calm[PEER], "p50_us")),
            unit="us",
        ),
        Ratio(
            name="D5 processor time of authorize over that of a call LiteLLM refuses",
            value=ours / refused.value,
            goal="<= 0.05",
            a=Side("decision workers", ours, "us"),
            b=Side(refused.configuration, refused.value, "us"),
            spread=(min(share), max(share)),
        ),
    ]


def _facts(busy: Samples, calm: Samples) -> dict[str, str | int | float]:
    facts: dict[str, str | int | float] = {
        "connections": CONNECTIONS,
        "workers": WORKERS,
        "leased": str(settings.O10_HOT_PATH and "keep_books" in get_commands()),
    }
    for name, samples in busy.items():
        facts[f"{name}: calls/s"] = middle(samples, "rate")
        facts[f"{name}: p50 us"] = middle(samples, "p50_us")
        facts[f"{name}: p99 us"] = middle(samples, "p99_us")
        facts[f"{name}: processor us/call"] = middle(samples, "cpu_us")
        facts[f"{name}: driver us/call"] = middle(samples, "driver_us")
        facts[f"{name}: asked again (broken or 503)"] = sum(s.asked_again for s in samples)
    for name in (PLANE, WEB):
        facts[f"{name}: bookkeeper us/call"] = middle(busy[name], "books_us")
        facts[f"{name}: PostgreSQL us/call"] = middle(busy[name], "database_us")
        facts[f"{name}: in the books calls/s"] = middle(busy[name], "booked_rate")
    for name, samples in calm.items():
        facts[f"{name}: p50 us, c=1"] = middle(samples, "p50_us")
        facts[f"{name}: p99 us, c=1"] = middle(samples, "p99_us")
    return facts
