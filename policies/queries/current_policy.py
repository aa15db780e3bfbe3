"""Which policy is in force now? Compiled once per version and process.

Every call asks the database for the newest version in the read it makes anyway, so a change
holds for the next call of every process.
"""

from dataclasses import dataclass

from django.db import connection

from ledger import facade as ledger
from o10.kernel.errors import ServiceUnavailable
from policies.core.snapshot import Snapshot, compile_policy
from policies.models import PolicyVersion
from policies.queries.snapshot_rows import read_policy_rows

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which version, with which content? Version 0 and an empty hash: nothing is set up."""

    version: int
    hash: str


NOTHING = Stamp(0, "")


@dataclass(frozen=True, slots=True)
class CurrentPolicy:
    """Which rules hold, and in which currency is money counted?"""

    stamp: Stamp
    snapshot: Snapshot
    currency: str


_kept: dict[str, CurrentPolicy] = {}


def believed_policy() -> CurrentPolicy:
    """Which policy did this process see last? The caller compares its stamp with the newest."""
    kept = _kept.get(_database())
    return kept or current_policy()


def current_policy() -> CurrentPolicy:
    """Which policy is in force, as the database says now?

    Raises: ServiceUnavailable (`unavailable`) when it changes faster than it can be read.
    """
    for _ in range(_TRIES):
        before = newest_stamp()
        kept = _kept.get(_database())
        if kept is not None and kept.stamp == before:
            return kept
        snapshot = compile_policy(read_policy_rows(), version=before.version)
        # Rows and version are read one after the other; only equal hashes belong together.
        if before == NOTHING or snapshot.hash == before.hash:
            current = CurrentPolicy(before, snapshot, ledger.ledger_of_company().currency)
            _kept[_database()] = current
            return current
    raise ServiceUnavailable(what="the policy snapshot", retry_after_s=1)


def newest_stamp() -> Stamp:
    """Which is the newest policy version?"""
    row = PolicyVersion.objects.order_by("-version").values_list("version", "hash").first()
    return Stamp(*row) if row else NOTHING


def forget_policy() -> None:
    """Which policy does this process believe in? None from now on (tests empty the tables)."""
    _kept.clear()


def _database() -> str:
    return str(connection.settings_dict["NAME"])
