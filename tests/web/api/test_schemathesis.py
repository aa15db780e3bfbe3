"""Does every door keep to the OpenAPI document, whatever it is sent? Bounded attack."""

import msgspec
import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import (
    CHECKS,
    load_all_checks,
    not_a_server_error,
)

from o10.access import operations
from o10.access.roles import Role
from o10.problems import render_problem
from policies.plane.app import PlaneApp
from tests.conftest import NOW

load_all_checks()


@schemathesis.serializer("application/x-ndjson")
def lines_of(_context, value):
    """One document a line; what is no list is one line."""
    rows = value if isinstance(value, list) else [value]
    return b"\n".join(
        row if isinstance(row, bytes) else msgspec.json.encode(row) for row in rows
    )


KEPT = (
    not_a_server_error,
    *CHECKS.get_by_names(
        ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    ),
)
BY_ROUTER = ("authorize", "settle", "release", "extend", "usage")
api = schemathesis.openapi.from_wsgi(
    "/api/schema", PlaneApp(get_wsgi_application(), render_problem)
)


@pytest.fixture(scope="module")
def secrets(company):
    def make(role):
        return operations.create_key(
            name=role.value,
            role=role,
            use_cases=None,
            actor=operations.COMMAND_LINE,
            now=NOW,
        ).secret.text

    return {role: make(role) for role in (Role.ROUTER, Role.FINOPS)}


def _attack(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


@api.parametrize()
@_attack(5)
def test_no_input_breaks_a_promise_of_the_document(case, secrets):
    _keeps_its_promises(case, secrets)


@pytest.mark.soak
@api.parametrize()
@_attack(100)
def test_no_input_of_many_breaks_a_promise_of_the_document(case, secrets):
    _keeps_its_promises(case, secrets)


def _keeps_its_promises(case, secrets):
    spends = case.path.removeprefix("/api/v1/").startswith(BY_ROUTER)
    secret = secrets[Role.ROUTER if spends else Role.FINOPS]
    case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=list(KEPT))
