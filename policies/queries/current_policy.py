"""Which policy is in force now, and which was in version N? Kept compiled in the process.

Every call asks the database for the newest version in the read it makes anyway, so a change
holds for the next call of every process. A process that has an older version reads what changed
since; one that has none reads the last version that says everything, and what changed since.
What comes out is believed only if it has the hash that the version was published with.
"""

from dataclasses import dataclass

import msgspec
from django.db import connection

from ledger import facade as ledger
from o10.kernel.errors import Corrupt, NotFound
from policies.core.snapshot import (
    PolicyRows,
    Snapshot,
    compile_policy,
    join_changes,
    read_body,
)
from policies.models import PolicyVersion
from policies.queries.snapshot_rows import read_policy_rows

CHANGES_MOST = 200
"""Behind by more versions than this, a process reads the whole anew: that is cheaper."""


class PolicyAltered(Corrupt):
    """Have the stored rules of a version another hash than it was published with?

    Fields: `version`.
    """

    code = "policy_altered"


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

    Raises: PolicyAltered (`policy_altered`).
    """
    newest = newest_stamp()
    kept = _kept.get(_database())
    if kept is not None and kept.stamp == newest:
        return kept
    snapshot = (kept and _follow(kept, newest)) or _read(newest)
    current = CurrentPolicy(newest, snapshot, ledger.ledger_of_company().currency)
    _kept[_database()] = current
    return current


def policy_at(*, version: int) -> Snapshot:
    """What did the policy say in this version? To decide again what was decided by it.

    Raises: NotFound (`not_found`) for a version that never was; PolicyAltered.
    """
    kept = _kept.get(_database())
    if kept is not None and kept.stamp.version == version:
        return kept.snapshot
    row = PolicyVersion.objects.filter(version=version).values_list("version", "hash").first()
    if row is None:
        raise NotFound(kind="policy_version", id=str(version))
    return _read(Stamp(*row))


def newest_stamp() -> Stamp:
    """Which is the newest policy version?"""
    row = PolicyVersion.objects.order_by("-version").values_list("version", "hash").first()
    return Stamp(*row) if row else NOTHING


def policy_version() -> int:
    """Which version of the policy is in force?"""
    return current_policy().snapshot.version


def forget_policy() -> None:
    """Which policy does this process believe in? None from now on (tests empty the tables)."""
    _kept.clear()


def _follow(kept: CurrentPolicy, newest: Stamp) -> Snapshot | None:
    """What was kept and what changed since. None when that does not lead to the newest."""
    behind = newest.version - kept.stamp.version
    if kept.stamp == NOTHING or not 0 < behind <= CHANGES_MOST:
        return None
    changes = _changes(after=kept.stamp.version, upto=newest.version)
    if changes is None:
        return None
    # A version that was seen before its transaction was undone leads to another hash.
    snapshot = kept.snapshot.changed(changes, version=newest.version)
    return snapshot if snapshot.hash == newest.hash else None


def _read(stamp: Stamp) -> Snapshot:
    if stamp == NOTHING:
        return compile_policy(read_policy_rows(), version=0)
    whole = (
        PolicyVersion.objects.filter(version__lte=stamp.version)
        .exclude(body="")
        .order_by("-version")
        .values_list("version", "body")
        .first()
    )
    if whole is None:
        raise PolicyAltered(version=stamp.version)
    changes = _changes(after=whole[0], upto=stamp.version)
    try:
        snapshot = compile_policy(read_body(whole[1]), version=stamp.version)
    except msgspec.DecodeError as error:
        raise PolicyAltered(version=whole[0]) from error
    if changes is None:
        raise PolicyAltered(version=stamp.version)
    if stamp.version != whole[0]:
        snapshot = snapshot.changed(changes, version=stamp.version)
    if snapshot.hash != stamp.hash:
        raise PolicyAltered(version=stamp.version)
    return snapshot


def _changes(*, after: int, upto: int) -> PolicyRows | None:
    """What changed from after the one to the other? None when a version does not say."""
    rows = PolicyVersion.objects.filter(version__gt=after, version__lte=upto)
    texts = list(rows.order_by("version").values_list("change", flat=True))
    if len(texts) != upto - after or not all(texts):
        return None
    try:
        return join_changes([read_body(text) for text in texts])
    except msgspec.DecodeError as error:
        raise PolicyAltered(version=upto) from error


def _database() -> str:
    return str(connection.settings_dict["NAME"])
