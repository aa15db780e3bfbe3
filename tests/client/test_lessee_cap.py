"""Do three routers that decide by themselves keep one cap, to the last call that fits?"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from o10.client import Client, Lessee
from policies import facade as policies
from tests.architecture.source import ROOT
from tests.client.conftest import MODEL, wait_for
from tests.client.test_lessee import rows

CAP = 10**9
TOKENS = 50
COST = 2 * TOKENS * 2_500 + TOKENS * 10_000
"""Nanos of one call: 100 in at 2.50 and 50 out at 10.00 a million."""


def start(url: str, secret: str, state: Path, *, die_after: int = 0) -> subprocess.Popen[str]:
    script = str(ROOT / "tests" / "client" / "lessee_process.py")
    return subprocess.Popen(
        [sys.executable, script, url, secret, str(state), str(TOKENS), str(die_after)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> dict[str, int]:
    out, err = process.communicate(timeout=120)
    assert out, err[-3_000:]
    told: dict[str, int] = json.loads(out.splitlines()[-1])
    return told


def all_ended(urls: Any) -> bool:
    open_ones = rows(urls, "SELECT 1 FROM lease_holder WHERE ended_at IS NULL")
    return not open_ones


def balances(urls: Any, envelope: str) -> tuple[int, int, int]:
    """settled, held, unsettled of the use case's envelope."""
    (found,) = rows(
        urls,
        "SELECT b.settled_nanos, b.held_nanos, b.unsettled_nanos FROM envelope_balance b"
        " JOIN policies_envelope e ON e.id = b.envelope_id WHERE e.scope_kind = 'use_case'",
    )
    return found


def test_a_killed_router_is_booked_by_the_next_one_and_strands_nothing(
    plane: str,
    secret: str,
    company: Any,
    books: None,
    database_urls: Any,
    tmp_path: Path,
) -> None:
    before = balances(database_urls, company.envelopes["use_case"])
    killed = start(plane, secret, tmp_path / "a", die_after=100)
    assert outcome(killed) == {"admitted": 100}
    assert killed.wait() == -9
    assert list((tmp_path / "a").glob("*/journal-*.bin"))
    with Client(base_url=plane, key=secret, state_dir=tmp_path / "a") as client:
        with Lessee(client) as lessee:
            # The next process of this router: it tells what the killed one left.
            lessee.authorize(use_case="support-assistant", model=MODEL, input_tokens=10)
            wait_for(lambda: len(list((tmp_path / "a").glob("*/journal-*.bin"))) == 1, 20)
    wait_for(lambda: all_ended(database_urls), 30)
    settled, held, unsettled = balances(database_urls, company.envelopes["use_case"])
    assert settled - before[0] == 99 * COST
    # The call it died in, and ours that was never settled, are open until they expire.
    open_ones = rows(database_urls, "SELECT amount_nanos FROM reservation WHERE state = 'open'")
    assert held == sum(amount for (amount,) in open_ones)
    assert len(open_ones) == 2
    assert unsettled == 0
    assert list(policies.check_conservation()) == []


def test_three_routers_spend_one_dollar_and_not_a_nano_more(
    plane: str,
    secret: str,
    company: Any,
    books: None,
    database_urls: Any,
    tmp_path: Path,
) -> None:
    before = balances(database_urls, company.envelopes["use_case"])
    processes = [start(plane, secret, tmp_path / str(number)) for number in range(3)]
    told = [outcome(process) for process in processes]
    admitted = sum(each["admitted"] for each in told) * COST
    room = CAP - sum(before)
    assert admitted <= room, told
    assert admitted >= 0.995 * (room // COST * COST), told
    local = sum(each["local"] for each in told)
    assert local > 0.9 * sum(each["admitted"] for each in told), told
    wait_for(lambda: all_ended(database_urls), 30)
    settled, held, unsettled = balances(database_urls, company.envelopes["use_case"])
    assert settled == before[0] + admitted
    assert (held, unsettled) == before[1:]
    assert list(policies.check_conservation()) == []
