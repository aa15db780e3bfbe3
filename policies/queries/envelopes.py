"""How is an envelope told over the API: limits, money of its period, and what binds it?"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from django.db import connection

from ledger import facade as ledger
from o10.kernel import ids
from o10.kernel.money import Nanos, amount_text
from policies.core.instants import unix_ms
from policies.core.snapshot import EnvelopeRule, Snapshot
from policies.models import PolicyVersion
from policies.queries.current_policy import CurrentPolicy, current_policy
from policies.queries.envelope_pages import (
    EnvelopeLine,
    get_envelope_line,
    list_envelope_lines,
    ordered_rules,
)

LIMIT_MOST = 500
_BATCH = """
SELECT v.entry_uid, e.public, e.scope_kind, e.slug, p.public
FROM policies_envelope_version v
JOIN policies_envelope e ON e.id = v.envelope_id
JOIN policies_envelope p ON p.id = e.parent_id
WHERE v.version = 1 AND v.entry_uid = ANY(%s::uuid[])
"""


class ScopeView(msgspec.Struct, frozen=True, kw_only=True):
    """What does the envelope cover?"""

    kind: str
    slug: str


class PeriodView(msgspec.Struct, frozen=True, kw_only=True):
    """Which period is it in now, and when does the next one begin? Null = in none."""

    kind: str
    time_zone: str
    start: datetime | None
    end: datetime | None
    label: str


class BindingView(msgspec.Struct, frozen=True, kw_only=True):
    """Which envelope of the path leaves least, itself included?"""

    id: str
    name: str
    available: str
    available_nanos: str


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """At which ledger position were the figures read?"""

    ledger_seq: int


class EnvelopeView(msgspec.Struct, frozen=True, kw_only=True):
    """What does one envelope say?

    Units: amounts as decimal text beside nanos as text, in `currency`. `cap` and `available`
    null = no cap of its own. `held` is what open reservations hold, `leased` what is lent in
    all; `unguarded` is the part of `settled` that no reservation covered.
    """

    id: str
    name: str
    scope: ScopeView
    use_case: str
    parent: str | None
    period: PeriodView
    currency: str
    amount: str | None
    amount_nanos: str | None
    cap: str | None
    cap_nanos: str | None
    settled: str
    settled_nanos: str
    unguarded: str
    unguarded_nanos: str
    held: str
    held_nanos: str
    leased: str
    leased_nanos: str
    unsettled: str
    unsettled_nanos: str
    available: str | None
    available_nanos: str | None
    binding: BindingView | None
    hard: bool
    soft_thresholds: list[str]
    per_call: str | None
    per_run: str | None
    state: str
    health: str
    version: int
    as_of: AsOf


class EnvelopePage(msgspec.Struct, frozen=True, kw_only=True):
    """Which envelopes, and from where does the next page go on? Null = it ends here."""

    items: tuple[EnvelopeView, ...]
    next: str | None
    as_of: AsOf


class MadeEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """Which envelope was made for one row of a batch?"""

    id: str
    scope: ScopeView
    parent: str


class EnvelopeBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Which envelopes were made together, in the order they were asked for?

    `policy_version` is the one they all came into force with.
    """

    items: tuple[MadeEnvelope, ...]
    policy_version: int
    as_of: AsOf


def uid_in_batch(*, batch: UUID, number: int, at: datetime) -> UUID:
    """Which uid has the entry of the envelope of this row? `at` is when the batch was made."""
    return ids.uid(scope="envelope-row", key=f"{batch}#{number}", origin_ms=unix_ms(at))


def get_envelope_batch(*, batch: UUID, rows: int) -> EnvelopeBatch:
    """Which envelopes did this batch make? `batch` is the uid of its policy change's entry."""
    policy = PolicyVersion.objects.values("version", "at").get(entry_uid=batch)
    uids = [uid_in_batch(batch=batch, number=each, at=policy["at"]) for each in range(rows)]
    with connection.cursor() as cursor:
        cursor.execute(_BATCH, [uids])
        made = {row[0]: row[1:] for row in cursor.fetchall()}
    return EnvelopeBatch(
        items=tuple(
            MadeEnvelope(id=public, scope=ScopeView(kind=kind, slug=slug), parent=parent)
            for public, kind, slug, parent in (made[uid] for uid in uids)
        ),
        policy_version=policy["version"],
        as_of=AsOf(ledger_seq=ledger_position()),
    )


def get_envelope(*, envelope: str, now: datetime) -> EnvelopeView:
    """What does this envelope (env_…) say now?

    Raises: NotFound (`not_found`).
    """
    as_of = AsOf(ledger_seq=ledger_position())
    policy = current_policy()
    return _view(get_envelope_line(envelope=envelope, now=now), policy, _slugs(policy), as_of)


def list_envelopes(
    *,
    now: datetime,
    use_case: str | None = None,
    slugs: AbstractSet[str] | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> EnvelopePage:
    """Which envelopes are there, parents before children?

    `use_case` = those on its path; `slugs` = only envelopes of these use cases (a key's scope).
    """
    as_of = AsOf(ledger_seq=ledger_position())
    policy = current_policy()
    snapshot, names = policy.snapshot, _slugs(policy)
    rules = ordered_rules(snapshot)
    if slugs is not None:
        rules = [rule for rule in rules if names.get(rule.use_case or 0) in slugs]
    if use_case is not None:
        found = snapshot.use_cases.get(use_case)
        wanted = _on_path(snapshot, rules, found.id if found else 0)
        rules = [rule for rule in rules if rule.id in wanted]
    if cursor:
        at = next((i for i, rule in enumerate(rules) if rule.public == cursor), -1)
        rules = rules[at + 1 :]
    size = max(1, min(limit, LIMIT_MOST))
    lines = list_envelope_lines(now=now, rules=rules[:size])
    return EnvelopePage(
        items=tuple(_view(line, policy, names, as_of) for line in lines),
        next=lines[-1].public if len(rules) > size else None,
        as_of=as_of,
    )


def ledger_position() -> int:
    """How many entries are sealed? The position that figures are told at."""
    # Only the lag depends on the instant, which is not asked for here.
    return ledger.seal_state(now=datetime.min.replace(tzinfo=UTC)).seq


def _slugs(policy: CurrentPolicy) -> dict[int, str]:
    return {rule.id: rule.slug for rule in policy.snapshot.use_cases.values()}


def _on_path(
    snapshot: Snapshot, rules: Sequence[EnvelopeRule], use_case: int
) -> AbstractSet[int]:
    """Numbers of the use case's envelopes, of all below and of all above them."""
    wanted: set[int] = set()
    above: set[int] = set()
    for rule in rules:
        # Parents come first, so one pass reaches every level below.
        if rule.use_case == use_case:
            above.update(each.id for each in snapshot.path_to(rule))
            wanted.add(rule.id)
        elif rule.parent in wanted:
            wanted.add(rule.id)
    return wanted | above


def _view(
    line: EnvelopeLine, policy: CurrentPolicy, names: Mapping[int, str], as_of: AsOf
) -> EnvelopeView:
    return EnvelopeView(
        id=line.public,
        name=line.name,
        scope=ScopeView(kind=line.scope_kind, slug=line.slug),
        use_case=names.get(line.use_case or 0, ""),
        parent=line.parent or None,
        period=PeriodView(
            kind=line.period_kind,
            time_zone=line.time_zone,
            start=line.period.start if line.period else None,
            end=line.period.end if line.period else None,
            label=line.period_label,
        ),
        currency=policy.currency,
        amount=_text(line.amount),
        amount_nanos=_nanos(line.amount),
        cap=_text(line.cap),
        cap_nanos=_nanos(line.cap),
        settled=amount_text(line.settled),
        settled_nanos=str(line.settled),
        unguarded=amount_text(line.unguarded),
        unguarded_nanos=str(line.unguarded),
        held=amount_text(line.held),
        held_nanos=str(line.held),
        leased=amount_text(line.lent),
        leased_nanos=str(line.lent),
        unsettled=amount_text(line.unsettled),
        unsettled_nanos=str(line.unsettled),
        available=_text(line.available),
        available_nanos=_nanos(line.available),
        binding=_binding(line),
        hard=line.hard,
        soft_thresholds=[share_text(each) for each in line.soft_thresholds_ppm],
        per_call=_text(line.per_call),
        per_run=_text(line.per_run),
        state=line.state,
        health=line.health.value,
        version=line.version,
        as_of=as_of,
    )


def share_text(ppm: int) -> str:
    """How is a share of millionths written? 800,000 is "0.8"."""
    whole, rest = divmod(ppm, 1_000_000)
    digits = f"{rest:06d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _binding(line: EnvelopeLine) -> BindingView | None:
    if line.binding is None:
        return None
    return BindingView(
        id=line.binding.public,
        name=line.binding.name,
        available=amount_text(line.binding.available),
        available_nanos=str(line.binding.available),
    )


def _text(nanos: Nanos | None) -> str | None:
    return None if nanos is None else amount_text(nanos)


def _nanos(nanos: Nanos | None) -> str | None:
    return None if nanos is None else str(nanos)
