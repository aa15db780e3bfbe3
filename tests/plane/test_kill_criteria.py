"""Does a runaway loop stop within a second? Real till, journal, bookkeeper and watcher."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connections

from o10.kernel import clock
from o10.wire.requests import Authorize, Finish, Settle, UsageCounts
from policies import facade as policies
from policies.models import Reservation
from policies.plane.keeper import Keeper
from policies.queries.kill_drill import drill
from policies.queries.kill_rows import get_criterion, scope_of, spec_of
from policies.queries.this_host import plane_folder
from tests.home import GIVEN_URL, HOME
from tests.machines.replay import findings_of_entries
from tests.operations.policies.company import (
    DOLLAR,
    FINANCE,
    MODEL,
    ROUTER,
    make_books,
    make_envelope,
    make_tree,
    make_use_case,
)

pytestmark = pytest.mark.skipif(bool(GIVEN_URL), reason="the command reads the embedded server")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 40.0
AT_ONCE_S = 1.0
LOOPS = 20
ROUNDS = ("loop-a", "loop-b", "loop-c")


@pytest.fixture
def plane(committed_db: Any) -> Iterator[Keeper]:
    """One decision worker with its keeper; the books are kept by the command."""
    folder = plane_folder(HOME)
    _clear(folder)
    now = clock.now()
    make_books(now=now)
    make_tree(company=10**6 * DOLLAR, department=10**6 * DOLLAR, use_case=4 * DOLLAR, now=now)
    for slug in ROUNDS:
        make_use_case(slug=slug, now=now)
        make_envelope(slug=slug, amount=10**4 * DOLLAR, now=now)
    books = subprocess.Popen(
        [sys.executable, "manage.py", "keep_books"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    keeper = Keeper()
    keeper.start()
    _wait_for(lambda: keeper.teller)
    try:
        yield keeper
    finally:
        keeper.stop()
        books.kill()
        books.wait(PATIENCE_S)
        connections["default"].close()
        _clear(folder)


def _clear(folder: Path) -> None:
    for path in folder.glob("journal-*.bin"):
        path.unlink()


def _wait_for(what: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def _arm(slug: str, **fields: Any) -> str:
    now = clock.now()
    spec = policies.KillSpec(
        **{
            "metric": "repeat_loop",
            "threshold": str(LOOPS),
            "window_s": 600,
            "min_sample": 5,
            "consecutive": 1,
            "lever": "freeze",
        }
        | fields
    )
    public = policies.create_criterion(
        draft=policies.CriterionDraft(
            name="Runaway loop", scope_kind="use_case", scope_slug=slug, spec=spec
        ),
        actor=FINANCE,
        now=now,
    )
    policies.apply_arm(criterion=public, actor="usr_b", now=now, version=1, reason="agreed")
    return public


def _ask(plane: Keeper, slug: str, **fields: Any) -> dict[str, Any]:
    request = Authorize(
        use_case=slug, model=MODEL, input_tokens=1_200, max_output_tokens=800, **fields
    )
    teller = plane.teller
    assert teller is not None
    answer = policies.authorize_at(
        teller,
        read=lambda: (request, msgspec.json.encode(request)),
        caller=ROUTER,
        now=clock.now(),
    )
    return dict(msgspec.json.decode(answer))


def _pay(plane: Keeper, answer: dict[str, Any]) -> None:
    request = Settle(
        reservation=answer["reservation"]["token"],
        usage=UsageCounts(input_tokens=1_200, output_tokens=310),
        status=Finish.ERROR,
    )
    assert plane.teller is not None
    policies.settle_at(
        plane.teller,
        request=request,
        caller=ROUTER,
        now=clock.now(),
    )


def _booked() -> int:
    return Reservation.objects.filter(state="settled").count()


def _until_denied(plane: Keeper, slug: str) -> float:
    """A client that retries for ever. For how long after the twentieth call did it go on?"""
    asked, since = 0, 0.0
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = _ask(plane, slug, step_fingerprint="parse")
        if answer["decision"] == "deny":
            assert answer["reasons"][0]["code"] == "KILL_CRITERION_ACTIVE"
            assert "Runaway loop" in answer["reasons"][0]["detail"]
            return time.monotonic() - since
        _pay(plane, answer)
        asked += 1
        if asked == LOOPS:
            since = time.monotonic()
        time.sleep(0.01)
    raise AssertionError(f"{asked} calls, never denied")


def test_a_runaway_loop_is_denied_within_a_second_and_lifted_as_fast(plane):
    criteria = {slug: _arm(slug) for slug in ROUNDS}
    # The worker knows the armed rules and has its money, the books are open.
    for slug in ROUNDS:
        _pay(plane, _ask(plane, slug))
    _wait_for(lambda: _booked() == len(ROUNDS))
    lasted = [_until_denied(plane, slug) for slug in ROUNDS]
    assert min(lasted) < AT_ONCE_S, lasted
    assert max(lasted) < 5 * AT_ONCE_S, lasted
    assert _ask(plane, "support")["decision"] == "allow", "others go on"
    slug = ROUNDS[0]
    row = get_criterion(criteria[slug])
    assert row.state == "tripped"
    found = drill(spec=spec_of(row), scope=scope_of(row), end=clock.now())
    assert row.tripped_at.date() in found.days
    policies.apply_restore(
        criterion=row.public, actor="usr_b", now=clock.now(), reason="the client is fixed"
    )
    lifted = time.monotonic()
    _wait_for(lambda: _ask(plane, slug)["decision"] == "allow")
    assert time.monotonic() - lifted < 2 * AT_ONCE_S


def test_what_is_spent_trips_its_own_limit_and_the_books_stay_sound(plane):
    public = _arm(
        "support",
        metric="envelope_utilisation",
        threshold="0.1",
        min_sample=1,
        lever="cap_output",
        amount=50,
    )

    _pay(plane, _ask(plane, "support"))
    _wait_for(lambda: _booked() == 1)

    def capped() -> bool:
        answer = _ask(plane, "support")
        assert answer["decision"] != "deny", answer["reasons"]
        _pay(plane, answer)
        return bool(answer["caps"]["max_output_tokens"] == 50)

    _wait_for(capped)
    assert get_criterion(public).state in ("tripped", "restoring")
    _wait_for(lambda: policies.backlog(now=clock.now()).unbooked_bytes == 0)
    assert findings_of_entries() == []
    assert policies.check_conservation() == []
