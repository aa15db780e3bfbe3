"""Does the OpenAPI document say what the doors do, and does a change to it show?"""

import json
import os
import re
from pathlib import Path

import jsonschema_rs
import pytest

from o10.openapi import document, list_doors, short_names
from o10.problems import ANSWERS
from o10.wire.reasons import REASONS

SNAPSHOT = Path(__file__).resolve().parents[3] / "docs" / "api" / "openapi.json"


def test_the_document_is_the_one_that_was_reviewed():
    """Set UPDATE_SNAPSHOTS=1 to write it anew, and read the difference."""
    made = json.dumps(document(), indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(made)
    assert made == SNAPSHOT.read_text()


def test_every_door_and_method_is_in_it_once():
    told = document()
    wanted = {
        (re.sub(r"<\w+:(\w+)>", r"{\1}", route), method.lower())
        for route, view in list_doors()
        for method in view.operations
    }
    found = {(path, method) for path, methods in told["paths"].items() for method in methods}
    assert found == wanted
    ids = [
        each["operationId"] for methods in told["paths"].values() for each in methods.values()
    ]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere():
    told = document()
    text = json.dumps(told)
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert name in told["components"]["schemas"]
    assert told["openapi"].startswith("3.1")


def test_two_types_of_one_name_have_a_schema_each():
    text = '"ledger.web.a.AsOf" "reports.web.a.AsOf" "reports.web.b.AsOf" "Alone"'
    named = dict.fromkeys(text.replace('"', "").split())
    short = short_names(text, named).replace('"', "").split()
    assert short == ["LedgerAsOf", "ReportsAAsOf", "ReportsBAsOf", "Alone"]


WITHOUT_A_BODY = {"/api/v1/imports/{public}:confirm"}
"""What is confirmed was sent before; there is nothing to add to it."""


def test_every_answer_may_be_a_problem_and_every_body_has_a_shape():
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            assert "application/problem+json" in operation["responses"]["422"]["content"]
            assert operation["summary"], (path, method)
            if method in {"post", "patch"} and path not in WITHOUT_A_BODY:
                assert operation["requestBody"]["required"]
                for content in operation["requestBody"]["content"].values():
                    assert content["schema"]


def test_the_wire_types_accept_the_example_of_the_contract():
    example = {
        "request_id": "c0ffee-1",
        "use_case": "support-assistant",
        "model": "openai/gpt-5.4",
        "venue": None,
        "input_tokens": 1200,
        "max_output_tokens": 800,
        "mode": "balanced",
        "tags": {"feature": "triage"},
    }
    schemas = document()["components"]["schemas"]
    whole = schemas["Authorize"] | {"components": {"schemas": schemas}}
    validator = jsonschema_rs.Draft202012Validator(whole)
    assert validator.is_valid(example)
    assert not validator.is_valid(example | {"input_tokens": -1})
    assert not validator.is_valid(example | {"input_token": 1})
    assert not validator.is_valid({"input_tokens": 1})


@pytest.mark.django_db
def test_schema_and_page_need_nothing_from_elsewhere(client):
    schema = client.get("/api/schema")
    assert schema.status_code == 200
    assert schema.json()["info"]["title"] == "o10"
    page = client.get("/api/docs")
    assert page.status_code == 200
    text = page.content.decode()
    for outside in ("http://", "https://"):
        assert f'src="{outside}' not in text
        assert f'href="{outside}' not in text
    assert "<script>" not in text
    for code in ANSWERS:
        assert f'id="problem-{code}"' in text
    for reason in REASONS:
        assert f'id="reason-{reason}"' in text
    for path in document()["paths"]:
        assert path in text
