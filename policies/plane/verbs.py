"""Which verbs does the decision plane answer, and how: parse, one facade call, bytes.

The same functions run in the hot door (app.py) and under Django (views.py); a test drives one
table of requests through both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from o10.access.body import idempotency_key_of, read_body
from o10.access.checks import check
from o10.access.doors import JSON, KEYED, Operation
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Action
from o10.kernel.errors import Forbidden
from o10.wire.decisions import Decision, Extended, Released, Settled
from o10.wire.decoding import decode
from o10.wire.requests import (
    MAX_AUTHORIZE_BYTES,
    MAX_SETTLE_BYTES,
    Authorize,
    Extend,
    Release,
    Settle,
)
from policies import facade

PREFIX = "/api/v1/"


@dataclass(frozen=True, slots=True)
class Verb:
    """What does one path of the plane do? `run` returns the finished answer's bytes."""

    name: str
    operation: Operation
    run: Callable[[Mapping[str, Any], Caller, datetime], bytes]


def authorize(environ: Mapping[str, Any], caller: Caller, now: datetime) -> bytes:
    """May this call spend? Holds its worst case."""
    _check_role(caller, Action.AUTHORIZE)
    return facade.authorize(request=_parse(environ, Authorize), caller=caller, now=now)


def dry_run(environ: Mapping[str, Any], caller: Caller, now: datetime) -> bytes:
    """Might this call spend? Holds nothing."""
    _check_role(caller, Action.DRY_RUN)
    return facade.dry_run(request=_parse(environ, Authorize), caller=caller, now=now)


def settle(environ: Mapping[str, Any], caller: Caller, now: datetime) -> bytes:
    """What did the attempt use? Books it, late or over the hold too."""
    check(caller=caller, action=Action.SETTLE)
    return facade.settle(request=_parse(environ, Settle), caller=caller, now=now)


def release(environ: Mapping[str, Any], caller: Caller, now: datetime) -> bytes:
    """Was nothing billed? Gives the hold back."""
    check(caller=caller, action=Action.RELEASE)
    return facade.release(request=_parse(environ, Release), caller=caller, now=now)


def extend(environ: Mapping[str, Any], caller: Caller, now: datetime) -> bytes:
    """May the hold live longer, cover more, or move to another offer?"""
    check(caller=caller, action=Action.EXTEND)
    return facade.extend(request=_parse(environ, Extend), caller=caller, now=now)


def _operation(action: Action, takes: type, gives: type) -> Operation:
    return Operation(action=action, takes={JSON: takes}, gives={JSON: gives}, headers=KEYED)


VERBS = MappingProxyType(
    {
        PREFIX + verb.name: verb
        for verb in (
            Verb("authorize", _operation(Action.AUTHORIZE, Authorize, Decision), authorize),
            Verb("authorize:dry-run", _operation(Action.DRY_RUN, Authorize, Decision), dry_run),
            Verb("settle", _operation(Action.SETTLE, Settle, Settled), settle),
            Verb("release", _operation(Action.RELEASE, Release, Released), release),
            Verb("extend", _operation(Action.EXTEND, Extend, Extended), extend),
        )
    }
)
"""By path."""

_LIMITS = MappingProxyType(
    {
        Authorize: MAX_AUTHORIZE_BYTES,
        Settle: MAX_SETTLE_BYTES,
        Release: MAX_SETTLE_BYTES,
        Extend: MAX_SETTLE_BYTES,
    }
)


def _check_role(caller: Caller, action: Action) -> None:
    """A role that never spends is refused here; a key whose own verbs or use cases are
    narrower gets a decision, KEY_NOT_SCOPED, so that its router learns what to do.
    """
    if action not in ROLE_ACTIONS[caller.role]:
        raise Forbidden(action=action.value, role=caller.role.value)


def _parse(environ: Mapping[str, Any], kind: type[Any]) -> Any:
    limit = _LIMITS[kind]
    request = decode(kind, read_body(environ, max_bytes=limit), max_bytes=limit)
    key = idempotency_key_of(environ, request_id=request.request_id)
    if key == request.request_id:
        return request
    return msgspec.structs.replace(request, request_id=key)
