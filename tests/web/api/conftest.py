"""How does a test call the API? With a key of a role, as a script would."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from o10.access import keys, operations
from o10.access.roles import Role
from o10.kernel import clock as kernel_clock
from policies import facade as policies
from tests.company import Company, caller, committed_company
from tests.conftest import NOW
from tests.operations.ledger.conftest import (  # noqa: F401 - fixtures of a sealed ledger
    key_file,
    ledger,
    opened,
    seal_all,
)

PREFIX = "/api/v1/"
Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def forgetful():
    """What one test learned about keys is no news for the next."""
    keys.forget()
    yield
    keys.forget()


@pytest.fixture(scope="module")
def company(
    database_urls: Any, django_db_setup: None, django_db_blocker: Any
) -> Iterator[Company]:
    """A company committed for all tests of a module."""
    yield from committed_company(database_urls, django_db_blocker, NOW)


@dataclass(frozen=True)
class Script:
    """A program with a key."""

    client: Client
    secret: str
    key_id: str

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}", **headers}

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.client.get(PREFIX + path, query or {}, headers=self._headers(headers))

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.send("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self.send("PATCH", path, body, **headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any = b"",
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(
            method, PREFIX + path, raw, content_type, headers=self._headers(named)
        )


@pytest.fixture
def script(clock) -> Callable[..., Script]:
    """Makes a program with a key of this role."""

    def make(role: Role = Role.ROUTER, **changes: Any) -> Script:
        wanted = {
            "name": f"{role.value} script",
            "role": role,
            "use_cases": None,
            "actor": operations.COMMAND_LINE,
            "now": clock.at,
        } | changes
        made = operations.create_key(**wanted)
        return Script(Client(raise_request_exception=False), made.secret.text, made.id)

    return make


def agreed(answer: Any) -> dict[str, str]:
    """What was made, once everybody who is needed has agreed to what was asked?"""
    assert answer.status_code == 202, answer.content
    asked = answer.json()["approval"]
    for need in asked["needs"]:
        role = Role(need.partition("|")[0])
        view = policies.approve(
            approval=asked["id"], actor=caller(role, f"usr_{role}"), now=kernel_clock.now()
        )
    assert view.state == "approved"
    return view.result


def problem(answer: Any) -> dict[str, Any]:
    """The problem+json of this answer, checked for its form."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content[:300]
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["code"] and told["title"] and told["detail"]
    assert told["retry"] in {"no", "same", "later"}
    assert "Traceback" not in answer.content.decode()
    return told
