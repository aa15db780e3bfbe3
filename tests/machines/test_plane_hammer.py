"""Does a tree of tight caps hold while workers and the bookkeeper are killed?"""

import random
import time
from collections import Counter
from typing import Any

import pytest

from o10.kernel import ids
from o10.management.benches import server as servers
from o10.management.benches.provider import INPUT_NANOS, OUTPUT_NANOS, Bill, Provider, provider
from o10.management.benches.scene import (
    found_company,
    open_department,
    open_use_case,
)
from o10.management.benches.server import BOOKS, Site

from .plane_hammer import Order, Routers, Seen, orders_of, start_routers
from .plane_world import (
    WORST,
    assert_books_are_sound,
    balances,
    expire_what_is_due,
    left_out_of_the_books,
    real_site,
    settles_by_reservation,
    standing,
    wait_until_nothing_is_held,
)

TREE = {
    "company/": 200,
    "department/service": 120,
    "department/growth": 110,
    "use_case/support": 80,
    "use_case/search": 70,
    "use_case/drafts": 90,
}
"""Caps in worst cases: no level can hold what stands below it."""
ABOVE = {"support": "service", "search": "service", "drafts": "growth"}


def make_tree(*, times: int) -> str:
    """The tree with caps so many times as wide; the router's key."""
    scene = found_company()
    company = TREE["company/"] * WORST * times
    for slug in ("service", "growth"):
        nanos = TREE[f"department/{slug}"] * WORST * times
        open_department(
            scene, slug, nanos=nanos, company=company if slug == "service" else None
        )
    for slug, department in ABOVE.items():
        nanos = TREE[f"use_case/{slug}"] * WORST * times
        open_use_case(scene, slug, nanos=nanos, department=department)
    return scene.key


@pytest.mark.parametrize(
    ("processes", "calls", "times", "kills"),
    [
        pytest.param(3, 240, 1, 4, id="short"),
        pytest.param(8, 12_000, 40, 60, id="long", marks=pytest.mark.soak),
    ],
)
def test_no_cap_gives_way_while_workers_and_the_bookkeeper_die(
    committed_db: Any, processes: int, calls: int, times: int, kills: int
) -> None:
    key = make_tree(times=times)
    with (
        provider(input_nanos=INPUT_NANOS, output_nanos=OUTPUT_NANOS) as path,
        real_site(committed_db) as site,
    ):
        template = Order(
            name="router",
            port=site["plane"].port,
            key=key,
            provider=path,
            use_cases=tuple(ABOVE),
            calls=calls,
        )
        routers = start_routers(orders_of(template, processes=processes))
        killed = _kill_until_done(site, routers, kills)
        seen = routers.seen()
        servers.drain()
        bills = Provider(path).bills()
        waited = wait_until_nothing_is_held(patience_s=20)
        assert waited < 20, balances()
        assert left_out_of_the_books() == {"put aside": 0, "differing": 0}
    assert killed >= min(kills, 3)
    _check_answers(seen, processes * calls, bills)
    _check_money(bills, times)
    _check_entries(seen, bills)
    assert_books_are_sound()


def _kill_until_done(site: Site, routers: Routers, kills: int) -> int:
    """A SIGKILL now and then, every third of the bookkeeper; the clock's job in between."""
    chance, killed, due = random.Random(3), 0, time.monotonic() + 0.8
    while not routers.are_done():
        time.sleep(0.1)
        expire_what_is_due()
        if killed >= kills or time.monotonic() < due:
            continue
        if killed % 3 == 1 and BOOKS in site:
            killed += bool(site.kill(BOOKS))
        else:
            killed += bool(site.kill_worker(chance, older_than_s=1.0))
        due = time.monotonic() + 0.7 + chance.random()
    return killed


def _check_answers(seen: Seen, asked: int, bills: dict[str, Bill]) -> None:
    assert seen.wrong == []
    assert seen.asked == asked
    assert seen.unanswered == 0
    # Some were let through and some were not, in each of the ways this test is about.
    assert len(seen.held) >= sum(TREE[name] for name in TREE if name.startswith("use")) // 2
    assert set(seen.denied) <= {"ENVELOPE_HARD_LIMIT", "PARENT_ENVELOPE_EXHAUSTED"}
    assert seen.denied and seen.released and seen.late
    assert set(bills) == set(seen.served) == set(seen.settled) | set(seen.late)
    assert not set(seen.released) & set(seen.served)


def _check_money(bills: dict[str, Bill], times: int) -> None:
    """By the provider's record and by the balances: never above, and the same money."""
    spent: Counter[str] = Counter()
    by_name = balances()
    for call, bill in bills.items():
        use_case = call.partition("/")[0]
        for name in ("company/", f"department/{ABOVE[use_case]}", f"use_case/{use_case}"):
            spent[name] += bill.nanos
    for name, cap in TREE.items():
        assert spent[name] <= cap * WORST * times, name
        assert standing(by_name[name]) <= cap * WORST * times, name
        assert by_name[name]["settled"] == spent[name], name
        assert by_name[name]["unguarded"] == 0, name


def _check_entries(seen: Seen, bills: dict[str, Bill]) -> None:
    """Each served call is settled once, for what the provider billed; no other is."""
    settled = settles_by_reservation()
    expected = {
        str(ids.uuid_of(reservation)): (1, bills[call].nanos)
        for call, reservation in seen.served.items()
    }
    assert len(expected) == len(seen.served), "two calls shared a reservation"
    assert settled == expected
