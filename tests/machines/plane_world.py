"""Which company and which real servers do the tests of the decision plane stand on?"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command

from ledger import facade as ledger
from o10.kernel import clock
from o10.management.benches import server as servers
from o10.management.benches.crew import connect
from o10.management.benches.server import BOOKS, PLANE, Site
from policies import facade as policies
from tests.home import GIVEN_URL

from .replay import findings_of_entries

WORST = 1_200 * 750 + 800 * 4_500
"""1,200 tokens in and 800 out at the list price of the model: 4,500,000 nanos."""
COLUMNS = ("settled_nanos", "held_nanos", "unsettled_nanos", "unguarded_nanos")


@contextmanager
def real_site(urls: Any, *, workers: int = 2) -> Iterator[Site]:
    """Decision plane and bookkeeper on this test's database, with journals of their own."""
    shutil.rmtree(settings.O10_HOME / "plane", ignore_errors=True)
    external = {"O10_DATABASE_URL": urls.owner_url} if GIVEN_URL else {}
    try:
        with servers.site(workers=workers, names=(PLANE, BOOKS), environment=external) as site:
            yield site
    finally:
        shutil.rmtree(settings.O10_HOME / "plane", ignore_errors=True)


def balances() -> dict[str, dict[str, int]]:
    """What stands in each envelope, by `kind/slug`? Nanos, straight from the table."""
    statement = f"""
        SELECT e.scope_kind || '/' || coalesce(u.slug, d.slug, ''),
               {", ".join(f"sum(b.{name})::bigint" for name in COLUMNS)}
        FROM envelope_balance b JOIN policies_envelope e ON e.id = b.envelope_id
        LEFT JOIN policies_use_case u ON u.id = e.use_case_id
        LEFT JOIN policies_department d ON d.id = e.department_id
        GROUP BY 1
    """
    names = [name.removesuffix("_nanos") for name in COLUMNS]
    with connect("default") as connection:
        rows = connection.execute(statement).fetchall()
    return {
        row[0]: dict(zip(names, (int(each) for each in row[1:]), strict=True)) for row in rows
    }


def standing(balance: Mapping[str, int]) -> int:
    """What counts against a cap at most?"""
    return balance["settled"] - balance["unguarded"] + balance["held"] + balance["unsettled"]


def left_out_of_the_books() -> dict[str, int]:
    """How many records could not be booked, or were booked otherwise than answered?"""
    statement = (
        "SELECT coalesce(sum(put_aside), 0), coalesce(sum(differing), 0) FROM lease_holder"
    )
    with connect("default") as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return {"put aside": int(row[0] or 0), "differing": int(row[1] or 0)}


def settles_by_reservation() -> dict[str, tuple[int, int]]:
    """How many settle entries has each reservation, and what do they and overruns add up to?"""
    statement = """
        SELECT reservation::text, count(*) FILTER (WHERE kind = %s), sum(amount_nanos)::bigint
        FROM ledger_entry WHERE kind = ANY(%s) GROUP BY 1
    """
    settle, overrun = int(ledger.Kind.SETTLE), int(ledger.Kind.OVERRUN)
    with connect("default") as connection:
        rows = connection.execute(statement, [settle, [settle, overrun]]).fetchall()
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


def expire_what_is_due() -> None:
    """What the clock's job does every two seconds."""
    while policies.expire_due(now=clock.now()):
        pass


def wait_until_nothing_is_held(*, patience_s: float) -> float:
    """Seconds until no envelope holds or misses money; `patience_s` = it still does."""

    def nothing() -> bool:
        expire_what_is_due()
        return not any(each["held"] or each["unsettled"] for each in balances().values())

    return servers.wait_until(nothing, patience_s=patience_s, pause_s=0.2)


def assert_books_are_sound() -> None:
    """Entries keep every rule at every version, caches equal them, the ledger verifies."""
    assert [finding.line() for finding in findings_of_entries()] == []
    assert policies.check_conservation() == []
    seal_everything()
    call_command("ledger_verify", "--full")


def seal_everything() -> None:
    """Every entry gets its position; the next verification sees all of them."""
    company = ledger.ledger_of_company()
    key = ledger.load_signing_key(path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin)
    with connect("sealer") as connection:
        sealer = ledger.open_sealer(
            connection, ledger=company, keys=(key.verifier,), now=clock.now()
        )
        while ledger.seal_once(sealer, now=clock.now()).count:
            pass


@contextmanager
def tree_locked(urls: Any, envelope: str) -> Iterator["psycopg.Connection[Any]"]:
    """Somebody sits on the row of this envelope's tree until the block ends."""
    statement = """
        SELECT 1 FROM envelope_tree WHERE root_envelope_id =
            (SELECT root FROM policies_envelope WHERE public = %s) FOR UPDATE
    """
    with psycopg.connect(urls.superuser_url) as connection:
        found = connection.execute(statement, [envelope]).fetchone()
        assert found is not None
        yield connection
        connection.rollback()
