"""Which role may use which path? Every door of the API, every role, one table."""

import pytest

from o10.access.checks import can
from o10.access.roles import KEY_ROLES, ROLE_ACTIONS, Role
from o10.openapi import list_doors
from tests.company import caller

from .conftest import problem

DOORS = [
    (method, route, operation)
    for route, view in list_doors()
    for method, operation in view.operations.items()
]
CLOSED = [door for door in DOORS if door[2].action is not None]
NAMED = {
    "criterion": "kil_01h455vb4pex5vsknk084sn02q",
    "alert": "alt_01h455vb4pex5vsknk084sn02q",
    "rule": "alr_01h455vb4pex5vsknk084sn02q",
    "channel": "chn_01h455vb4pex5vsknk084sn02q",
    "delivery": "msg_01h455vb4pex5vsknk084sn02q",
    "public": "imp_01h455vb4pex5vsknk084sn02q",
    "period": "2026-10",
    "slug": "support-assistant",
    "approval": "apr_01h455vb4pex5vsknk084sn02q",
    "person": "usr_01h455vb4pex5vsknk084sn02q",
    "key": "key_01h455vb4pex5vsknk084sn02q",
    "envelope": "env_01h455vb4pex5vsknk084sn02q",
    "decision": "dec_01h455vb4pex5vsknk084sn02q",
    "entry": "ent_01h455vb4pex5vsknk084sn02q",
    "lease": "lse_01h455vb4pex5vsknk084sn02q",
    "holder": "7",
    "proposal": "ppr_01h455vb4pex5vsknk084sn02q",
    "row": "7",
    "commitment": "cmt_01h455vb4pex5vsknk084sn02q",
}
OPEN = {("GET", "/api/v1/ledger/checkpoint"), ("GET", "/api/v1/ledger/tile/<path:tile_path>")}


def path_of(route):
    for name, value in NAMED.items():
        route = route.replace(f"<str:{name}>", value)
    assert "<" not in route, route
    return route.removeprefix("/api/v1/")


def test_only_promises_to_outsiders_are_open():
    assert {
        (method, route) for method, route, operation in DOORS if operation.action is None
    } == OPEN


def test_there_are_doors():
    assert len(CLOSED) >= 15


@pytest.mark.parametrize(("method", "route", "operation"), CLOSED)
def test_a_stranger_gets_401_at_every_closed_door(company, client, method, route, operation):
    answer = client.generic(method, f"/api/v1/{path_of(route)}", b"{}", "application/json")
    assert (answer.status_code, problem(answer)["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("role", sorted(KEY_ROLES))
def test_each_role_passes_the_doors_of_its_row_and_no_other(company, script, role):
    way = script(Role(role))
    for method, route, operation in CLOSED:
        answer = way.send(method, path_of(route), b"{" if operation.takes else b"")
        allowed = operation.action in ROLE_ACTIONS[Role(role)]
        was_refused = answer.status_code == 403
        assert was_refused is not allowed, (method, route, answer.status_code, answer.content)


@pytest.mark.parametrize("role", sorted(Role))
def test_the_pair_of_check_and_can_agrees_with_the_table(role):
    who = caller(Role(role))
    for _, _, operation in CLOSED:
        assert can(caller=who, action=operation.action) is (
            operation.action in ROLE_ACTIONS[Role(role)]
        )
