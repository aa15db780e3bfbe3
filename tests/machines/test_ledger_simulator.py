"""Do the books hold after every step of a life full of crashes, repeats and clock jumps?

Each seed is one life in a fixed order (`simulator.py`); a failing seed fails again. The close
of a period is not part of it.
"""

import random
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger import facade as ledger
from o10.kernel import ids
from policies import facade as policies
from tests.operations.policies.company import (
    NOW,
    ask,
    forget_everything,
    make_books,
    make_tree,
    pay,
)

from .simulator import Simulator

EACH_KIND = 3
"""How often does each kind of step happen in a life?"""
MORE_CRASHES = 8
MUST_HAPPEN = (
    "authorized",
    "clock backwards",
    "clock forwards",
    "denied",
    "expired",
    "extended",
    "older fence refused",
    "released",
    "repeated",
    "reversed",
    "reversed again",
    "sealed",
    "sealer crashed",
    "second sealer sent away",
    "settled",
    "settled again",
    "settled in parts",
    "settled late",
    "usage",
    "verified",
    "writer crashed",
    "written off",
)


@pytest.mark.parametrize(
    "seed",
    [
        *(pytest.param(seed, id=f"life {seed}") for seed in (1, 2, 3)),
        *(
            pytest.param(seed, id=f"life {seed}", marks=pytest.mark.soak)
            for seed in range(100, 140)
        ),
    ],
)
def test_a_life_of_crashes_repeats_and_clock_jumps_leaves_sound_books(
    committed_db: Any, tmp_path: Path, seed: int, record_property: Any
) -> None:
    make_books()
    life = Simulator(seed=seed, urls=committed_db, key_file=tmp_path / "key.pem")
    try:
        plan = Simulator.kinds() * EACH_KIND + ["writer_crash", "sealer_crash"] * MORE_CRASHES
        random.Random(seed).shuffle(plan)
        for name in plan:
            life.step(name)
            life.check()
        life.seal_all()
        life.check()
    finally:
        life.close()
        forget_everything()
    for name, count in sorted(life.tally.items()):
        record_property(name, count)
        sys.stdout.write(f"{count:5} {name}\n")
    # A life in which something never happened would prove nothing about it.
    assert [name for name in MUST_HAPPEN if not life.tally[name]] == []


def test_a_late_settle_of_the_whole_hold_taken_back_moves_the_balances(
    committed_db: Any,
) -> None:
    """Settled falls and unsettled rises by the same money: net zero, and still two moves."""
    make_books()
    make_tree()
    answer = ask()
    policies.expire_due(now=NOW + timedelta(minutes=11))
    late = pay(answer, usage=(1_200, 800), now=NOW + timedelta(hours=1))
    ledger.reverse(
        uid=ids.uuid_of(late["entry_id"]),
        key="k",
        reason="wrong price",
        requested_by="usr_maker",
        approved_by="usr_checker",
        actor_id=0,
        now=NOW + timedelta(hours=2),
    )
    assert policies.check_conservation() == []
