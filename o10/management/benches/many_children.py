"""Is a use case with ten thousand users as fast as one with ten, and is any of them over?

Each user has an envelope below the use case's; calls name the user (`customer`), 15 % of them
at a frontier model. Both use cases are asked by the same connections in turn; what was allowed
to each user is counted from the answers and compared with its cap, and with the database.
"""

import itertools
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from o10.kernel import clock
from o10.management.benches import server as servers
from o10.management.benches.crew import connect
from o10.management.benches.drive import Request, Script, build_request, drive
from o10.management.benches.load import Sample, column, first_number, measure, take_turns
from o10.management.benches.provider import MODEL
from o10.management.benches.result import Ratio, Side, ratio
from o10.management.benches.scene import NANOS, WIDE, Scene, open_use_case
from o10.management.benches.server import PLANE, Site
from policies import facade as policies

FRONTIER = "openai/gpt-5.4"
FRONTIER_SHARE = 0.15
FEW, MANY = 10, 10_000
BATCH = 10_000
CAP = NANOS
"""Of one of many: well over a hundred calls. One of ten gets a wide one."""
TIGHT, TIGHT_CAP = 20, NANOS // 20
"""So many more users whose cap is so small that their calls are refused in the end."""
CONNECTIONS = 16
CHANGE_S = 5.0
TOUCH_S = 120.0
"""Whoever was not called by then is met for the first time in a measured round."""
FEW_SLUG, MANY_SLUG = "ten-users", "many-users"


@dataclass(slots=True)
class _Crowd:
    """The users of one use case, and what each was allowed, in nanos, by the answers."""

    slug: str
    parent: str
    users: Sequence[str]
    calls: dict[str, tuple[Request, Request]] = field(default_factory=dict)
    allowed: dict[str, int] = field(default_factory=dict)
    denied: int = 0


def compare(
    running: Site, scene: Scene, *, rounds: int, seconds: float, many: int = MANY
) -> tuple[list[Ratio], dict[str, Any]]:
    """p50 with many children over p50 with ten (goal <= 1.2), and whether all caps held."""
    few = _open(scene, FEW_SLUG, [f"few-{n:05}" for n in range(FEW)], cap=WIDE // 100)
    crowd = _open(scene, MANY_SLUG, [f"user-{n:05}" for n in range(many)], cap=CAP)
    tight = [f"tight-{n:05}" for n in range(TIGHT)]
    _add(scene, crowd, tight, cap=TIGHT_CAP)
    facts: dict[str, Any] = {"many: children": many, "many: frontier share": FRONTIER_SHARE}
    first = [_touch_all(running, each) for each in (few, crowd)]
    facts["many: first calls of each child, per second"] = round(first[1].rate, 1)
    facts["many: first calls of each child, p50 us"] = round(first[1].p50_us, 1)
    facts["many: first calls of each child, p99 us"] = round(first[1].p99_us, 1)
    facts["many: first calls of each child, asked again"] = first[1].asked_again
    said = take_turns(
        {each.slug: _turn(running, each, seconds) for each in (few, crowd)}, rounds=rounds
    )
    _exhaust(running, crowd, tight)
    facts["many: calls refused"] = crowd.denied
    facts["many: asked again"] = sum(each.asked_again for each in said[crowd.slug])
    facts |= {
        f"many: {name}: p50 us, c={CONNECTIONS}": round(column(samples, "p50_us")[-1], 1)
        for name, samples in said.items()
    }
    caps = dict.fromkeys(crowd.users, CAP) | dict.fromkeys(tight, TIGHT_CAP)
    return [
        ratio(
            name=f"p50 of authorize with {many:,} children over ten, c={CONNECTIONS}",
            goal="<= 1.2",
            a=(f"{many:,} children", column(said[crowd.slug], "p50_us")),
            b=("ten children", column(said[few.slug], "p50_us")),
            unit="us",
        ),
        _fullest(crowd, caps),
        _over_in_the_database(crowd.slug),
        _change_reaches_all(running, scene, crowd),
    ], facts


def _open(scene: Scene, slug: str, users: Sequence[str], *, cap: int) -> _Crowd:
    parent = open_use_case(scene, slug)
    crowd = _Crowd(slug=slug, parent=parent.id, users=users)
    _add(scene, crowd, users, cap=cap)
    return crowd


def _add(scene: Scene, crowd: _Crowd, users: Sequence[str], *, cap: int) -> None:
    """Envelopes for these users, and the two requests each of them makes."""
    drafts = [
        policies.EnvelopeDraft(
            scope_kind="customer",
            scope_slug=user,
            parent=crowd.parent,
            amount_nanos=cap,
            soft_thresholds_ppm=(),
            allow_overallocation=True,
        )
        for user in users
    ]
    for at in range(0, len(drafts), BATCH):
        policies.create_envelopes(
            drafts=drafts[at : at + BATCH], actor=scene.finops, now=clock.now()
        )
    for user in users:
        crowd.calls[user] = (
            _request(scene, crowd.slug, user, MODEL),
            _request(scene, crowd.slug, user, FRONTIER),
        )


def _request(scene: Scene, slug: str, user: str, model: str) -> Request:
    body = {
        "request_id": Request.NUMBER,
        "use_case": slug,
        "customer": user,
        "model": model,
        "input_tokens": 1_200,
        "max_output_tokens": 800,
    }
    return build_request(path="/api/v1/authorize", key=scene.key, body=body)


def _turn(running: Site, crowd: _Crowd, seconds: float) -> Any:
    def make(waits: "array[int]") -> list[Script]:
        return [_spread(crowd, waits) for _ in range(CONNECTIONS)]

    return lambda: measure(running, running[PLANE], make, seconds=seconds)


def _spread(crowd: _Crowd, waits: "array[int]") -> Script:
    chance = random.Random(first_number())  # noqa: S311 - repeatable
    for number in itertools.count(first_number()):
        user = crowd.users[int(chance.random() * len(crowd.users))]
        request = crowd.calls[user][chance.random() < FRONTIER_SHARE]
        status, body, nanos = yield request.numbered(number)
        _note(crowd, user, status, body)
        waits.append(nanos)


def _touch_all(running: Site, crowd: _Crowd) -> Sample:
    """The first call of each child at each worker: what a warm-up cannot leave out."""
    todo = iter([user for user in crowd.users for _ in range(2)])

    def make(waits: "array[int]") -> list[Script]:
        return [_each(crowd, todo, waits) for _ in range(CONNECTIONS)]

    return measure(running, running[PLANE], make, seconds=TOUCH_S)


def _exhaust(running: Site, crowd: _Crowd, users: Sequence[str]) -> None:
    """More calls than fit, of all these users at once."""
    todo = [user for user in users for _ in range(30)]
    random.Random(1).shuffle(todo)  # noqa: S311 - repeatable
    each = iter(todo)
    drive(
        port=running[PLANE].port,
        retries=60,
        scripts=[_each(crowd, each, array("q")) for _ in range(CONNECTIONS)],
    )
    servers.drain()


def _each(crowd: _Crowd, todo: Any, waits: "array[int]") -> Script:
    number = first_number()
    for user in todo:
        number += 1
        status, body, nanos = yield crowd.calls[user][0].numbered(number)
        _note(crowd, user, status, body)
        waits.append(nanos)


def _note(crowd: _Crowd, user: str, status: int, body: bytes) -> None:
    if status != 200:
        raise ValueError(f"answered {status}: {body[:300]!r}")
    at = body.find(b'"amount_nanos":"', body.find(b'"reservation":{')) + 16
    if b'"decision":"allow' in body:
        nanos = int(body[at : body.index(b'"', at)])
        crowd.allowed[user] = crowd.allowed.get(user, 0) + nanos
    else:
        crowd.denied += 1


def _fullest(crowd: _Crowd, caps: dict[str, int]) -> Ratio:
    """Nothing is settled here: what was allowed is held, and has to fit."""
    user = max(crowd.allowed, key=lambda each: crowd.allowed[each] / caps[each])
    held, cap = crowd.allowed[user], caps[user]
    return Ratio(
        name="money allowed over the cap, fullest child, by the answers",
        value=held / cap,
        goal="<= 1.000000",
        a=Side(f"allowed to {user}", held / NANOS, "dollars"),
        b=Side("cap", cap / NANOS, "dollars"),
        spread=(held / cap, held / cap),
    )


def _over_in_the_database(slug: str) -> Ratio:
    """Children and parent, by their balances."""
    statement = """
        SELECT count(*), count(*) FILTER (WHERE b.settled_nanos - b.unguarded_nanos
            + b.held_nanos + b.unsettled_nanos > b.cap_nanos)
        FROM envelope_balance b JOIN policies_envelope e ON e.id = b.envelope_id
        WHERE e.root = (SELECT p.root FROM policies_envelope p
            JOIN policies_use_case u ON u.id = p.use_case_id
            WHERE u.slug = %s AND p.scope_kind = 'use_case')
    """
    with connect("default") as connection:
        row = connection.execute(statement, [slug]).fetchone()
    known, over = (int(each) for each in row or (0, 0))
    return Ratio(
        name="envelopes over their cap, children and parents, by their balances",
        value=over / max(known, 1),
        goal="<= 0",
        a=Side("over", over, "envelopes"),
        b=Side("all", known, "envelopes"),
        spread=(0.0, over / max(known, 1)),
    )


def _change_reaches_all(running: Site, scene: Scene, crowd: _Crowd) -> Ratio:
    """Calls get smaller: how long until every worker refuses one of 1,200 tokens?"""
    server = running[PLANE]
    sockets = servers.even_sockets(server, len(server.workers()))
    seconds: list[float] = []
    begun = clock.now()
    policies.change_use_case(
        slug=crowd.slug,
        change=policies.UseCaseChange(max_input_tokens=1_000, reason="shorter calls"),
        actor=scene.finops,
        now=begun,
    )
    done = clock.now()
    drive(
        port=server.port,
        sockets=sockets,
        scripts=[_until_refused(crowd, done, seconds) for _ in sockets],
    )
    slowest = max(seconds, default=CHANGE_S)
    return Ratio(
        name="seconds until a change of the policy is obeyed by every worker, over one",
        value=slowest,
        goal="<= 1.0",
        a=Side("slowest worker", slowest, "s"),
        b=Side("promised", 1.0, "s"),
        spread=(min(seconds, default=CHANGE_S), slowest),
    )


def _until_refused(crowd: _Crowd, since: Any, seconds: list[float]) -> Script:
    request = crowd.calls[crowd.users[0]][0]
    for number in itertools.count(first_number()):
        status, body, _ = yield request.numbered(number)
        passed = (clock.now() - since).total_seconds()
        if status == 200 and b'"decision":"deny"' in body:
            seconds.append(passed)
            return
        if passed > CHANGE_S:
            seconds.append(CHANGE_S)
            return
        yield 0.005
