"""Do owned machines cost their hours, and is what was computed from them told?"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.core.hardware import (
    PPM,
    Machine,
    find_machine_problem,
    machine_as_said,
    machine_basis,
    machine_of,
)

UNIT = 10**9
RIG = Machine(
    name="gpu-rig",
    purchase=90_000 * UNIT,
    residual=10_000 * UNIT,
    life_hours=40_000,
    planned_ppm=800_000,
    power=4 * UNIT // 10,
    hosting=2 * UNIT // 10,
    staff=1 * UNIT // 10,
    hours=730,
    used_hours=438,
)


def test_the_worked_example_of_the_page():
    """$80,000 over 40,000 h at 80 % = $2.50 an hour, plus $0.70 running; 584 h planned."""
    assert RIG.hour == 32 * UNIT // 10
    assert RIG.used == 438 * 32 * UNIT // 10 == 1_401_600_000_000
    assert RIG.waste == 467_200_000_000
    assert (
        machine_basis([RIG], "USD") == "gpu-rig: $3.20 an hour; 438 of 584 planned hours used"
    )
    assert machine_basis([RIG, RIG], "USD") == "2 machines: gpu-rig, gpu-rig"


def test_hours_beyond_the_plan_are_used_and_waste_nothing():
    busy = replace(RIG, used_hours=730)
    assert (busy.used, busy.waste) == (730 * 32 * UNIT // 10, 0)
    idle = replace(RIG, used_hours=0)
    assert (idle.used, idle.waste) == (0, 584 * 32 * UNIT // 10)


@given(
    st.integers(0, 10**6 * UNIT),
    st.integers(1, 10**6),
    st.integers(1, PPM),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_used_and_waste_are_never_negative_and_are_kept_as_they_were(
    purchase, life, planned, hours, used
):
    machine = replace(
        RIG,
        purchase=purchase,
        residual=purchase // 3,
        life_hours=life,
        planned_ppm=planned,
        hours=hours,
        used_hours=min(hours, used),
    )
    assert machine.used >= 0
    assert machine.waste >= 0
    assert machine_of(machine_as_said(machine)) == machine


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"name": ""}, "name"),
        ({"power": -1}, "power"),
        ({"residual": 90_001 * UNIT}, "residual"),
        ({"life_hours": 0}, "life_hours"),
        ({"planned_ppm": 0}, "planned_utilisation"),
        ({"planned_ppm": PPM + 1}, "planned_utilisation"),
        ({"hours": -1, "used_hours": -1}, "hours"),
        ({"used_hours": 731}, "used_hours"),
        ({}, ""),
    ],
)
def test_what_cannot_be_is_named(change, part):
    assert find_machine_problem(replace(RIG, **change))[0] == part
