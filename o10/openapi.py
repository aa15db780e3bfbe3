"""What can be called, with which body and answer? OpenAPI 3.1, and a page that reads it.

drf-spectacular walks the doors of the ordinary API; the bodies and answers are the msgspec
types that the doors decode and encode, so that the document cannot say anything else.
"""

import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, URLResolver, get_resolver, path, reverse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import OpenApiParameter

from o10.access.doors import JSON, Operation
from o10.access.views import Door
from o10.problems import ANSWERS, MEDIA_TYPE
from o10.wire.reasons import REASONS

PREFIX = "/api/v1/"
_REF = "#/components/schemas/{name}"
_SETTINGS = {
    "TITLE": "o10",
    "DESCRIPTION": "Policy, ledger and proofs of what a company spends on AI inference.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": PREFIX,
    "POSTPROCESSING_HOOKS": ["o10.openapi.add_wire"],
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong? RFC 9457; `code` is stable, `retry` is no, same or later."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retry: str
    errors: list["ProblemField"] | msgspec.UnsetType = msgspec.UNSET


class ProblemField(msgspec.Struct, frozen=True, kw_only=True):
    """Which field is wrong? `field` is a JSON pointer."""

    field: str
    code: str
    message: str


class KeyScheme(OpenApiAuthenticationExtension):
    """How does the document call the key? HTTP bearer; a session is for people's browsers."""

    target_class = "o10.access.rest.KeyOrSession"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        """The bearer scheme."""
        return {"type": "http", "scheme": "bearer", "description": "A key, `o10_…`."}


class DoorSchema(AutoSchema):
    """How is a door described? By its operation, nothing guessed."""

    @property
    def operation(self) -> Operation:
        """What does the method being described do?"""
        return self.view.operations[self.method]

    def is_excluded(self) -> bool:
        """Only methods that are answered."""
        return self.method not in getattr(self.view, "operations", {})

    def get_operation_id(self) -> str:
        """Stable, from method and path."""
        return operation_id(self.method, self.path)

    def get_tags(self) -> list[str]:
        """The resource."""
        return [self.path.removeprefix(PREFIX).split("/")[0]]

    def get_summary(self) -> str:
        """First line of the view's docstring."""
        return (inspect.getdoc(type(self.view)) or "").partition("\n")[0]

    def get_description(self) -> str:
        """Docstring of the method."""
        return inspect.getdoc(getattr(self.view, self.method.lower())) or ""

    def get_auth(self) -> list[dict[str, list[str]]]:
        """None for what is open to everyone."""
        return super().get_auth() if self.operation.action is not None else []

    def get_override_parameters(self) -> list[OpenApiParameter]:
        """Query and headers."""
        query = [
            OpenApiParameter(name, str, "query", "required" in told, description=told)
            for name, told in self.operation.query.items()
        ]
        headers = [
            OpenApiParameter(name, str, "header", description=told)
            for name, told in self.operation.headers.items()
        ]
        return query + headers

    def get_request_serializer(self) -> dict[str, dict[str, Any]]:
        """Media type to schema."""
        return _contents(self.operation.takes)

    def get_response_serializers(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Status and media type to schema."""
        status = str(self.operation.status)
        answers = {
            (status, media): schema for media, schema in _contents(self.operation.gives).items()
        }
        if self.operation.waits is not None:
            answers[("202", JSON)] = _contents({JSON: self.operation.waits})[JSON]
        for code in _problem_codes(self.operation):
            answers[(code, MEDIA_TYPE)] = {"$ref": _REF.format(name="Problem")}
        return answers


_PROBLEM_TOLD = {
    status: ", ".join(
        f"`{code}`" for code, told in ANSWERS.items() if str(told.status) == status
    )
    for status in {str(told.status) for told in ANSWERS.values()}
}
"""Which codes may come with a status."""


def operation_id(method: str, path: str) -> str:
    """Which stable name has this operation? `post_ledger_entries`."""
    words = path.removeprefix(PREFIX).replace("{", "").replace("}", "")
    for mark in "/:-":
        words = words.replace(mark, "_")
    return f"{method.lower()}_{words.strip('_')}"


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole OpenAPI document, made once per process."""
    with patched_settings(_SETTINGS):
        made: dict[str, Any] = SchemaGenerator(api_version=None).get_schema(public=True)
    return made


def add_wire(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Adds the doors without DRF and the types of all bodies (a hook of drf-spectacular)."""
    for route, view in _plain_doors():
        result["paths"][route] = {
            method.lower(): _plain_operation(route, method, operation, view)
            for method, operation in view.operations.items()
        }
    result["paths"] = dict(sorted(result["paths"].items()))
    for methods in result["paths"].values():
        for operation in methods.values():
            _describe(operation)
    components = result.setdefault("components", {})
    components["schemas"] = dict(sorted(_wire_types()[1].items()))
    result["servers"] = [{"url": "/"}]
    return result


def _describe(operation: dict[str, Any]) -> None:
    """Says what drf-spectacular leaves open: bodies are required, answers have a sentence."""
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
    for status, answer in operation["responses"].items():
        answer["description"] = "The answer." if status < "300" else _PROBLEM_TOLD[status]


def list_doors() -> list[tuple[str, Any]]:
    """Which paths state their operations, and which view answers each?"""
    return list(_doors(get_resolver().url_patterns, ""))


def schema(request: HttpRequest) -> HttpResponse:
    """GET /api/schema."""
    return HttpResponse(
        msgspec.json.encode(document()),
        content_type="application/vnd.oai.openapi+json;version=3.1",
    )


def docs(request: HttpRequest) -> HttpResponse:
    """GET /api/docs: the document, the problems and the reasons on one page of ours."""
    made = document()
    shown = {
        "head": {"headline": "API", "subline": "What can be called, and what it answers."},
        "links": [{"label": "OpenAPI document", "url": reverse("api-schema")}],
        "operations": list(_told_operations(made)),
        "problems": [
            {
                "code": code,
                "status": told.status,
                "title": told.title,
                "detail": told.sentences[-1],
            }
            for code, told in ANSWERS.items()
        ],
        "reasons": [
            {
                "number": spec.number,
                "code": str(reason),
                "meaning": spec.meaning,
                "step": spec.next_step,
            }
            for reason, spec in REASONS.items()
        ],
    }
    return render(request, "api/docs.html", shown)


def _told_operations(made: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for route, methods in made["paths"].items():
        for method, told in methods.items():
            yield {
                "id": told["operationId"],
                "method": method.upper(),
                "path": route,
                "summary": _plain(told.get("summary", "")),
                "description": _plain(told.get("description", "")),
                "parameters": [
                    {"name": each["name"], "description": _plain(each.get("description", ""))}
                    for each in told.get("parameters", [])
                ],
                "body": _named(told.get("requestBody", {}).get("content", {})),
                **_success(told["responses"]),
            }


def _plain(text: str) -> str:
    """Without the marks of code, which a page shows by its typeface."""
    return text.replace("`", "")


def _success(responses: Mapping[str, Any]) -> dict[str, Any]:
    status = min(responses)
    return {"status": status, "shapes": _named(responses[status].get("content", {}))}


def _named(content: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"media": media, "shape": _shape(described.get("schema", {}))}
        for media, described in content.items()
    ]


def _shape(described: Mapping[str, Any]) -> str:
    if "$ref" in described:
        return str(described["$ref"]).rpartition("/")[2]
    if "anyOf" in described:
        return " or ".join(_shape(each) for each in described["anyOf"])
    if described.get("type") == "array":
        return f"list of {_shape(described['items'])}"
    return str(described.get("format") or described.get("type") or "")


def _plain_operation(
    route: str, method: str, operation: Operation, view: Any
) -> dict[str, Any]:
    """A door without DRF: the spend verbs."""
    answers = {
        str(operation.status): {
            "description": "",
            "content": _content_objects(_contents(operation.gives)),
        }
    }
    problem = _content_objects({MEDIA_TYPE: {"$ref": _REF.format(name="Problem")}})
    for code in _problem_codes(operation):
        answers[code] = {"description": "", "content": problem}
    return {
        "operationId": operation_id(method, route),
        "summary": view.summary,
        "tags": [route.removeprefix(PREFIX).partition(":")[0]],
        "parameters": [
            {"in": "header", "name": name, "schema": {"type": "string"}, "description": told}
            for name, told in operation.headers.items()
        ],
        "requestBody": {
            "required": True,
            "content": _content_objects(_contents(operation.takes)),
        },
        "security": [{"key": []}],
        "responses": answers,
    }


def _content_objects(contents: Mapping[str, Any]) -> dict[str, Any]:
    return {media: {"schema": described} for media, described in contents.items()}


def _contents(kinds: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    described, _ = _wire_types()
    made: dict[str, dict[str, Any]] = {}
    for media, kind in kinds.items():
        if kind is None:
            binary = media == "application/octet-stream"
            made[media] = {"type": "string"} | ({"format": "binary"} if binary else {})
        else:
            made[media] = described[kind]
    return made


def _problem_codes(operation: Operation) -> list[str]:
    codes = ["404", "405", "422", "500", "503"]
    if operation.action is not None:
        codes += ["401", "403", "429"]
    if operation.takes:
        codes += ["400", "409", "412", "413", "415"]
    if not operation.takes and operation.action is not None:
        codes += ["409"]
    return sorted(codes)


@lru_cache(maxsize=1)
def _wire_types() -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """The schema of each body's type, and the named schemas they refer to."""
    kinds: dict[Any, None] = {Problem: None, ProblemField: None}
    for _, view in list_doors():
        for operation in view.operations.values():
            bodies = (
                *operation.takes.values(),
                *operation.gives.values(),
                operation.waits,
            )
            kinds |= {kind: None for kind in bodies if kind is not None}
    made = msgspec.json.schema_components(list(kinds), ref_template=_REF)
    references, named = json.loads(short_names(json.dumps(made), made[1]))
    for described in named.values():
        if "description" in described:
            described["description"] = inspect.cleandoc(described["description"])
    return dict(zip(kinds, references, strict=True)), named


def short_names(text: str, named: Mapping[str, Any]) -> str:
    """Types of one name are told apart by their app: `LedgerAsOf`; two of one app by their
    module as well.
    """
    dotted = [name.split(".") for name in named if "." in name]
    by_app = Counter((parts[0], parts[-1]) for parts in dotted)
    for parts in dotted:
        alone = by_app[parts[0], parts[-1]] == 1
        words = [parts[0]] if alone else [parts[0], parts[-2]]
        short = "".join(word.title().replace("_", "") for word in words) + parts[-1]
        text = text.replace(f'{".".join(parts)}"', f'{short}"')
    return text


def _plain_doors() -> Iterator[tuple[str, Any]]:
    for route, view in list_doors():
        if not inspect.isclass(view):
            yield route, view


def _doors(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every path with operations: view classes of DRF, and plain functions that state them."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _doors(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", pattern.callback)
            if getattr(view, "operations", None):
                yield f"/{route}", view


# Set here and not by DRF's setting, which would load this module while DRF loads its views.
Door.schema = DoorSchema()

urlpatterns = [
    path("schema", schema, name="api-schema"),
    path("docs", docs, name="api-docs"),
]
