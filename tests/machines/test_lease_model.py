"""Can leased money pass a cap, be spent twice or be lost, in any order of anything?

Every state of some small worlds is visited: grants, calls, bills at every worker, strict bills
and detaches at every host, crashes, hosts that are lost and come back, caps that are cut,
signals and bookings that come late. P1-P5, P7 and P8 of decision-plane.md hold in each of them.
"""

from dataclasses import replace

import pytest

from o10.lease.book import Reuse
from tests.machines.lease_model import search
from tests.machines.lease_world import Rare, World

MOST = 150_000

WORLDS = {
    "two workers under one root, a crash, a cap that is cut": World(
        paths=((0, 1), (0, 2)),
        caps=(2, 2, 2),
        hosts=(0, 0),
        leases=2,
        calls=1,
        costs=(2,),
        rare=Rare(cuts=1, crashes=1),
    ),
    "three levels, two calls, a crash, a call that leaves its lease": World(
        paths=((0, 1, 2),),
        caps=(3, 3, 2),
        hosts=(0, 0),
        leases=1,
        sizes=(2,),
        costs=(0, 2),
        rare=Rare(crashes=1, detaches=1),
    ),
    "one host alone lends again at once": World(
        paths=((0, 1, 2),),
        caps=(3, 3, 2),
        hosts=(0, 0),
        leases=1,
        sizes=(2,),
        costs=(0, 1),
        rare=Rare(crashes=1, detaches=1),
        reuse=Reuse.AT_ONCE,
    ),
    "two hosts bill the same two calls": World(
        paths=((0, 1, 2),),
        caps=(3, 3, 2),
        hosts=(0, 1),
        leases=1,
    ),
    "a host is lost with its journal, and comes back": World(
        paths=((0, 1),),
        caps=(3, 3),
        hosts=(0, 1),
        leases=1,
        calls=1,
        sizes=(3,),
        amounts=(2,),
        costs=(1, 3),
        rare=Rare(crashes=1, aways=1, detaches=1),
    ),
}
KINDS = {
    "grant",
    "reserve",
    "end",
    "give back",
    "retire",
    "lapse",
    "hear",
    "crash",
    "close",
    "cut",
    "away",
    "back",
    "expire",
    "write off",
    "write off call",
    "time is up",
    "sweep",
    "detach",
    "strict end",
    "book reserved",
    "book ended",
    "book given back",
}


@pytest.fixture(scope="module")
def searched():
    return {name: search(world, most=MOST) for name, world in WORLDS.items()}


@pytest.mark.parametrize("name", WORLDS)
def test_no_order_of_moves_breaks_an_invariant(searched, name):
    found = searched[name]
    assert (found.violation, found.trace) == ("", ())
    assert found.whole, f"more than {MOST} states"
    assert found.ends > 0


def test_every_kind_of_move_was_made(searched):
    assert set().union(*(found.kinds for found in searched.values())) == KINDS
    assert sum(found.moves for found in searched.values()) > 500_000


SMALL = World(paths=((0, 1), (0, 2)), caps=(2, 2, 2), hosts=(0, 0), leases=1, calls=1)
BUGS = {
    "ignore held money": (replace(SMALL, leases=2, calls=0), "P1"),
    "off-by-one cap": (replace(SMALL, leases=2, calls=0), "P1"),
    "lose idempotency": (SMALL, "P4"),
    "double settle": (SMALL, "P3"),
    "hold kept after settle": (SMALL, "P2"),
    "release without effect": (SMALL, "P2"),
    "close an unread journal": (replace(SMALL, rare=Rare(crashes=1)), "P2"),
    "expire what still lends": (replace(SMALL, rare=Rare(aways=1)), "P7"),
    "keep what was not spent": (replace(SMALL, hosts=(0, 1)), "P2"),
    "sweep what is not booked": (replace(SMALL, reuse=Reuse.AT_ONCE), "P2"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_caught(bug):
    world, invariant = BUGS[bug]
    sound = search(world, most=MOST)
    assert sound.whole
    assert not sound.violation
    broken = search(replace(world, bug=bug), most=MOST)
    assert broken.violation.startswith(invariant), broken


def test_what_a_call_did_not_use_may_not_be_lent_again_before_it_is_booked():
    # Another host ends the same call with another cost, and is booked first.
    world = replace(SMALL, hosts=(0, 1))
    assert not search(world, most=MOST).violation
    broken = search(replace(world, reuse=Reuse.AT_ONCE), most=MOST)
    assert broken.violation.startswith("P2")
    assert [step.split()[0] for step in broken.trace] == [
        "grant",
        "reserve",
        "end",
        "book",
        "strict",
        "hear",
        "book",
    ]


@pytest.mark.soak
@pytest.mark.parametrize(
    "world",
    [
        World(
            paths=((0, 1, 2), (0, 3)),
            caps=(3, 3, 2, 2),
            hosts=(0, 1),
            leases=2,
            calls=1,
            costs=(0, 1),
            rare=Rare(cuts=1, detaches=1),
        ),
        World(
            paths=((0, 1, 2),),
            caps=(3, 3, 2),
            hosts=(0, 1),
            leases=1,
            calls=2,
            sizes=(2,),
            costs=(0, 2),
            rare=Rare(crashes=1, aways=1),
        ),
    ],
    ids=["two leases, three levels, two hosts", "a lost host with two calls"],
)
def test_no_order_of_moves_breaks_an_invariant_in_larger_worlds(world):
    found = search(world, most=1_500_000)
    assert (found.violation, found.trace) == ("", ())
