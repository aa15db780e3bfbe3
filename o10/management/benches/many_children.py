"""Is a use case with ten thousand users as fast as one with ten, and is any of them over?

Each user has an envelope below the use case's; calls name the user (`customer`), 15 % of them
at a frontier model. A million calls would take too long, so each round draws users who have not
called before and each of them makes his hundred calls, in random order among all the others;
the ten make as many together. The first calls are among them: money for a user who has not
called is there when the workers have borrowed ahead for all of them, and the bench waits for
that once, after the first users have called, and says how long it took.
Both use cases are asked by the same connections in turn; what was allowed to each user is
counted from the answers and compared with its cap, and with the database.
"""

import itertools
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from o10.kernel import clock
from o10.management.benches import server as servers
from o10.management.benches.crew import connect
from o10.management.benches.drive import (
    Request,
    Script,
    build_request,
    drive,
    percentile,
)
from o10.management.benches.load import (
    Sample,
    column,
    first_number,
    measure,
    middle,
    take_turns,
)
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
EACH = 100
"""Calls of each user who was drawn."""
DRAWN = 300
"""Users of one round: 30,000 calls, of which one in a hundred is somebody's first."""
ROUND_S = 60.0
FIRST_DRAWN = 50
STOCK_S = 90.0
STILL_S = 3.0
FEW_SLUG, MANY_SLUG = "ten-users", "many-users"
_TOLD = {
    "calls/s": "rate",
    "p50 us": "p50_us",
    "p99 us": "p99_us",
    "processor us": "cpu_us",
    "bookkeeper us": "books_us",
    "PostgreSQL us": "database_us",
}


@dataclass(slots=True)
class _Crowd:
    """The users of one use case, and what each was allowed, in nanos, by the answers.

    `first` are the waits of the first call of each, in ns.
    """

    slug: str
    parent: str
    users: Sequence[str]
    calls: dict[str, tuple[Request, Request]] = field(default_factory=dict)
    allowed: dict[str, int] = field(default_factory=dict)
    first: "array[int]" = field(default_factory=lambda: array("q"))
    denied: int = 0


def compare(
    running: Site, scene: Scene, *, rounds: int, many: int = MANY
) -> tuple[list[Ratio], dict[str, Any]]:
    """p50 with many children over p50 with ten (goal <= 1.2), and whether all caps held."""
    few = _open(scene, FEW_SLUG, [f"few-{n:05}" for n in range(FEW)], cap=WIDE // 100)
    crowd = _open(scene, MANY_SLUG, [f"user-{n:05}" for n in range(many)], cap=CAP)
    tight = [f"tight-{n:05}" for n in range(TIGHT)]
    _add(scene, crowd, tight, cap=TIGHT_CAP)
    facts: dict[str, Any] = {"many: children": many, "many: frontier share": FRONTIER_SHARE}
    chance = random.Random(1)  # noqa: S311 - repeatable
    fresh = chance.sample(crowd.users, len(crowd.users))
    cold = _turn(running, crowd, _draws([fresh[:FIRST_DRAWN]]))()
    facts["many: first users, nothing lent ahead: p50 us"] = round(cold.p50_us, 1)
    facts["many: first users, nothing lent ahead: p99 us"] = round(cold.p99_us, 1)
    del crowd.first[:]
    leases, seconds = _await_stock(crowd.slug)
    facts["many: leases of the users afterwards"] = leases
    facts["many: until then, s"] = round(seconds, 1)
    groups = [fresh[at : at + DRAWN] for at in range(FIRST_DRAWN, len(fresh), DRAWN)]
    said = take_turns(
        {
            few.slug: _turn(running, few, _draws([few.users] * (rounds + 1))),
            crowd.slug: _turn(running, crowd, _draws(groups)),
        },
        rounds=rounds,
    )
    facts["many: first calls of a user, p50 us"] = round(percentile(crowd.first, 0.5), 1)
    facts["many: first calls of a user, p99 us"] = round(percentile(crowd.first, 0.99), 1)
    _exhaust(running, crowd, tight)
    facts["many: calls refused"] = crowd.denied
    facts["many: calls of each user drawn"] = EACH
    facts["many: asked again"] = sum(each.asked_again for each in said[crowd.slug])
    facts |= {
        f"many: {name}: {what}, c={CONNECTIONS}": middle(samples, field_)
        for name, samples in said.items()
        for what, field_ in _TOLD.items()
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


def _draws(groups: Sequence[Sequence[str]]) -> Iterator[list[tuple[str, bool]]]:
    """The calls of each group in random order: whose, and whether at the frontier model.

    Whatever the group, as many calls as DRAWN users make, or as its own make if it is one of
    many; 15 of a hundred at the frontier.
    """
    chance = random.Random(2)  # noqa: S311 - repeatable
    dear = round(EACH * FRONTIER_SHARE)
    for users in groups:
        times = DRAWN // len(users) if len(users) == FEW else 1
        calls = [(user, at < dear) for user in users for at in range(EACH)] * times
        chance.shuffle(calls)
        yield calls


def _turn(
    running: Site, crowd: _Crowd, draws: Iterator[list[tuple[str, bool]]]
) -> Callable[[], Sample]:
    def turn() -> Sample:
        calls = iter(next(draws))

        def make(waits: "array[int]") -> list[Script]:
            return [_spread(crowd, calls, waits) for _ in range(CONNECTIONS)]

        return measure(running, running[PLANE], make, seconds=ROUND_S)

    return turn


def _spread(crowd: _Crowd, calls: Iterator[tuple[str, bool]], waits: "array[int]") -> Script:
    number = first_number()
    for user, dear in calls:
        number += 1
        first = user not in crowd.allowed
        status, body, nanos = yield crowd.calls[user][dear].numbered(number)
        _note(crowd, user, status, body)
        waits.append(nanos)
        if first:
            crowd.first.append(nanos)


def _await_stock(slug: str) -> tuple[int, float]:
    """How many leases have the users once no more are made, and after how many seconds?"""
    begun = last_at = time.monotonic()
    before = -1
    while time.monotonic() - begun < STOCK_S:
        now = _leases(slug)
        if now != before:
            before, last_at = now, time.monotonic()
        elif time.monotonic() - last_at > STILL_S:
            break
        time.sleep(0.2)
    servers.drain()
    return before, last_at - begun


def _leases(slug: str) -> int:
    statement = """
        SELECT count(*) FROM lease l JOIN policies_use_case u ON u.id = l.use_case
        WHERE u.slug = %s AND l.state = 'open'
    """
    with connect("default") as connection:
        row = connection.execute(statement, [slug]).fetchone()
    return int(row[0]) if row else 0


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
