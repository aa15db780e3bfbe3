"""Does no door go around the second person? Pages and API ask; they never carry out."""

import ast
from collections.abc import Iterator

import pytest

from policies.core.approvals import RULES
from policies.operations.change_kinds import _kinds as REGISTERED
from tests.architecture.source import ROOT, code_files

CARRIED_OUT = {
    "envelope.create": ("create_envelope", "create_envelopes"),
    "envelope.raise": ("change_envelope",),
    "envelope.uncap": ("change_envelope",),
    "envelope.top_up": ("change_envelope",),
    "envelope.loosen": ("change_envelope",),
    "envelope.restore": ("change_envelope",),
    "envelope.confirm": (),
    "use_case.restore": ("change_use_case",),
    "use_case.confirm": (),
    "rollout.enforce": ("change_use_case",),
    "offer.approve": ("change_use_case",),
    "kill.create": ("apply_arm",),
    "kill.loosen": ("apply_loosen", "apply_retire"),
    "kill.override": ("apply_override",),
    "kill.override_violations": ("apply_override",),
    "kill.restore": ("apply_restore", "restore_alone"),
    "kill.trip": ("apply_trip",),
    "price.refresh": ("apply_refresh", "load_catalogue"),
    "price.contract": ("add_price", "withdraw_price"),
    "price.override": ("add_price", "withdraw_price"),
    "price.revaluation": ("revalue", "settle_fx"),
    "price.release": ("apply_release",),
    "commitment.set": ("set_commitment",),
    "plan.set": ("set_plan",),
    "outcome.value": ("apply_outcome_value",),
    "allocation.rule": ("apply_allocation_rule",),
    "allocation.run": ("run_allocation",),
    "change.signed": (),
    "reconcile.book": ("book_differences",),
    "accrual.book": ("book_accrual",),
    "period.close": ("seal_period", "apply_close"),
    "ledger.reversal": ("reverse",),
    "ledger.adjust": ("reverse",),
    "person.role": ("change_role", "deactivate_person"),
    "person.create": ("create_person", "change_role"),
    "key.create": ("create_key", "rotate_key"),
    "approval.policy": ("found_approval_policy",),
}
"""Kind of request to the operations by which it is carried out: no door may name them."""
APPS = {"facade", "ledger", "policies", "reports", "access", "operations"}
"""By these names doors reach operations; `reverse` alone is also a function of Django."""
OURS = {"ledger", "policies", "reports", "o10"}
DIRECT = {name for names in CARRIED_OUT.values() for name in names}


def doors() -> Iterator[str]:
    for path in code_files():
        name = path.relative_to(ROOT).as_posix()
        parts = name.split("/")
        is_web = len(parts) > 2 and parts[1] in {"web", "plane"}
        is_own = parts[0] == "o10" and len(parts) == 2
        if is_web or is_own or name in {"o10/access/web.py", "o10/access/views.py"}:
            yield name


def goes_around(source: str) -> list[str]:
    """Which direct operations does this door name?"""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in DIRECT:
            root = node.value
            if isinstance(root, ast.Name) and root.id in APPS:
                found.append(f"{node.lineno}: {root.id}.{node.attr}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            names = [each.name for each in node.names if each.name in DIRECT]
            found += [f"{node.lineno}: {name}" for name in names]
    return found


def test_every_kind_that_can_be_asked_for_says_how_it_is_carried_out():
    assert set(REGISTERED) == set(CARRIED_OUT)
    assert set(REGISTERED) <= set(RULES)


def test_the_names_are_those_of_operations():
    defined = {
        node.name
        for path in code_files()
        if "operations" in path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert defined >= DIRECT


def test_there_are_doors():
    assert len(list(doors())) > 60


def test_a_door_asks_and_never_carries_out():
    around = {door: goes_around((ROOT / door).read_text()) for door in doors()}
    assert {door: names for door, names in around.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from policies import facade\nfacade.change_envelope(a=1)",
        "from policies.operations.change_envelope import change_envelope",
        "from ledger import facade as ledger\nledger.reverse(uid=1)",
    ],
)
def test_a_way_around_is_found(source):
    assert goes_around(source)
