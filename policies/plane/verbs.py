"""Which verbs does the decision plane answer, and how: parse, one facade call, bytes.

The same functions run in the hot door (app.py) and under Django (views.py); a test drives one
table of requests through both.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec

from o10.access.body import idempotency_key_of, read_body
from o10.access.checks import check
from o10.access.doors import JSON, KEYED, Operation
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Action
from o10.kernel.errors import Forbidden, ReservationUnknown, ServiceUnavailable
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
OPENS_WITHIN_S = 2.0
"""A worker that has just started opens its till in less."""
Run = Callable[[Mapping[str, Any], Caller, datetime], bytes]


@dataclass(frozen=True, slots=True)
class Verb:
    """What does one path of the plane do? `run` returns the finished answer's bytes."""

    name: str
    operation: Operation
    run: Run


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


def _opened(find_teller: Callable[[], facade.Teller | None]) -> facade.Teller | None:
    until = time.monotonic() + OPENS_WITHIN_S
    while time.monotonic() < until:
        teller = find_teller()
        if teller is not None:
            return teller
        time.sleep(0.02)
    return None


def _without_a_till(
    verb: Verb, action: Action, environ: Mapping[str, Any], caller: Caller, now: datetime
) -> bytes:
    away = ServiceUnavailable(what="the till", retry_after_s=1)
    if action is Action.AUTHORIZE:
        raise away
    try:
        return verb.run(environ, caller, now)
    except ReservationUnknown as unknown:
        raise away from unknown


def leased_verbs(find_teller: Callable[[], facade.Teller | None]) -> Mapping[str, Verb]:
    """The same verbs, answered from a till where there is one (see `policies.plane.keeper`).

    A worker that has just started waits for it: its predecessor may have answered the same
    request, or ended the same call, in a journal that only a till can read. When none opens,
    no money is lent here (503), and calls end in the strict form if the books know them.
    """

    def leased(verb: Verb, action: Action, takes: type, answer: Callable[..., bytes]) -> Verb:
        def run(environ: Mapping[str, Any], caller: Caller, now: datetime) -> bytes:
            teller = find_teller() or _opened(find_teller)
            if teller is None:
                return _without_a_till(verb, action, environ, caller, now)
            if action is Action.AUTHORIZE:
                _check_role(caller, action)
                # The bytes first: whoever sends slowly keeps nobody else waiting.
                body = read_body(environ, max_bytes=_LIMITS[takes])
                read = partial(_decoded, environ, takes, body)
                return answer(teller, read=read, caller=caller, now=now)
            check(caller=caller, action=action)
            request = _parse(environ, takes)
            return answer(teller, request=request, caller=caller, now=now)

        return Verb(verb.name, verb.operation, run)

    own = {
        "authorize": (Action.AUTHORIZE, Authorize, facade.authorize_at),
        "settle": (Action.SETTLE, Settle, facade.settle_at),
        "release": (Action.RELEASE, Release, facade.release_at),
        "extend": (Action.EXTEND, Extend, facade.extend_at),
    }
    return MappingProxyType(
        {
            path: leased(verb, *own[verb.name]) if verb.name in own else verb
            for path, verb in VERBS.items()
        }
    )


def _check_role(caller: Caller, action: Action) -> None:
    """A role that never spends is refused here; a key whose own verbs or use cases are
    narrower gets a decision, KEY_NOT_SCOPED, so that its router learns what to do.
    """
    if action not in ROLE_ACTIONS[caller.role]:
        raise Forbidden(action=action.value, role=caller.role.value)


def _parse(environ: Mapping[str, Any], kind: type[Any]) -> Any:
    return _decoded(environ, kind, read_body(environ, max_bytes=_LIMITS[kind]))[0]


def _decoded(environ: Mapping[str, Any], kind: type[Any], body: bytes) -> tuple[Any, bytes]:
    request = decode(kind, body, max_bytes=_LIMITS[kind])
    key = idempotency_key_of(environ, request_id=request.request_id)
    if key == request.request_id:
        return request, body
    return msgspec.structs.replace(request, request_id=key), body
