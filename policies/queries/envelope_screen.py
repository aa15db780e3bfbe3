"""What stands on the page of one envelope, and what would another amount do?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ledger import facade as ledger
from o10.kernel.money import Nanos
from policies.core.snapshot import Snapshot
from policies.models import Envelope
from policies.queries.current_policy import current_policy
from policies.queries.decision_pages import (
    DecisionCount,
    DecisionLogFilter,
    DecisionRow,
    HoldState,
    count_decisions,
    list_decision_rows,
    list_open_holds,
)
from policies.queries.envelope_history import VersionLine, list_version_lines
from policies.queries.envelope_pages import (
    BindingLimit,
    EnvelopeLine,
    PeriodLine,
    by_name,
    find_rule,
    list_envelope_lines,
    list_period_lines,
    numbers_below,
)
from policies.queries.use_case_pages import list_use_case_rows

DAY = timedelta(hours=24)
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would this amount do now?

    Units: nanos. `left` of the envelope itself; `binding` of its path then; `over_parent` by
    how much the siblings' caps together would pass the parent's, 0 when they fit.
    """

    amount: Nanos
    left: Nanos
    binding: BindingLimit | None
    parent: str
    over_parent: Nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeScreen:
    """What stands on the page of one envelope?

    Shape: `path` from the root to it, `below` its direct children; `holds` with the name of
    their use case; `denied` of the last 24 hours, here and below; `seqs` the ledger position
    of each version's entry, as far as it is sealed.
    """

    currency: str
    time_zone: str
    position: ledger.Position
    line: EnvelopeLine
    path: tuple[EnvelopeLine, ...]
    below: tuple[EnvelopeLine, ...]
    periods: tuple[PeriodLine, ...]
    holds: tuple[tuple[HoldState, str], ...]
    denied: tuple[DecisionCount, ...]
    denials: tuple[DecisionRow, ...]
    versions: tuple[VersionLine, ...]
    seqs: Mapping[int, int]
    allow_overallocation: bool
    preview: Preview | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeTreeScreen:
    """What stands on the page of all envelopes?"""

    currency: str
    time_zone: str
    position: ledger.Position
    lines: tuple[EnvelopeLine, ...]


def get_envelope_tree(*, now: datetime) -> EnvelopeTreeScreen:
    """Which envelopes are there, each with its money now?"""
    company = ledger.ledger_of_company()
    return EnvelopeTreeScreen(
        currency=company.currency,
        time_zone=company.time_zone,
        position=ledger.position_of(ledger_id=company.id),
        lines=tuple(list_envelope_lines(now=now)),
    )


def get_envelope_screen(
    *, envelope: str, now: datetime, amount: Nanos | None = None
) -> EnvelopeScreen:
    """What stands on the page of this envelope (env_…)? `amount` asks for a preview.

    Raises: NotFound (`not_found`).
    """
    company = ledger.ledger_of_company()
    numbers = numbers_below(envelope=envelope)
    snapshot = current_policy().snapshot
    rule = find_rule(snapshot, envelope)
    path_rules = snapshot.path_to(rule)
    children = sorted(
        (each for each in snapshot.envelopes.values() if each.parent == rule.id), key=by_name
    )
    lines = list_envelope_lines(now=now, rules=[*path_rules, *children])
    path, below = tuple(lines[: len(path_rules)]), tuple(lines[len(path_rules) :])
    line = path[-1]
    lately = DecisionLogFilter(
        outcomes=("deny",), envelope_numbers=numbers, decided_from=now - DAY, decided_to=now
    )
    versions = tuple(list_version_lines(envelope_number=line.number))
    names = {row.number: row.name for row in list_use_case_rows()}
    row = Envelope.objects.select_related("parent").get(id=line.number)
    return EnvelopeScreen(
        currency=company.currency,
        time_zone=company.time_zone,
        position=ledger.position_of(ledger_id=company.id),
        line=line,
        path=path,
        below=below,
        periods=tuple(list_period_lines(envelope=envelope)),
        holds=tuple(
            (hold, names.get(use_case, ""))
            for hold, use_case in list_open_holds(envelope_number=line.number, limit=SHOWN)
        ),
        denied=tuple(
            sorted(count_decisions(where=lately), key=lambda each: (-each.count, each.reason))
        ),
        denials=list_decision_rows(where=lately, limit=SHOWN).items,
        versions=versions,
        seqs=_positions(versions),
        allow_overallocation=row.allow_overallocation,
        preview=None if amount is None else _preview(snapshot, path, row, amount),
    )


def _positions(versions: tuple[VersionLine, ...]) -> dict[int, int]:
    found = {}
    for version in versions[:SHOWN]:
        stored = ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=version.entry_uid)
        if stored is not None and stored.seq is not None:
            found[version.version] = stored.seq
    return found


def _preview(
    snapshot: Snapshot, path: Sequence[EnvelopeLine], row: Envelope, amount: Nanos
) -> Preview:
    line = path[-1]
    exposure = line.settled + line.lent + line.unsettled + line.contingency
    left = amount - exposure
    changed = replace(line, available=left if line.hard else None)
    capped = [each for each in (*path[:-1], changed) if each.available is not None]
    # Of equals the nearer one: its owner can act sooner.
    tightest = min(reversed(capped), key=lambda each: each.available or 0, default=None)
    binding = (
        None
        if tightest is None
        else BindingLimit(
            public=tightest.public,
            name=tightest.name,
            available=tightest.available or 0,
            own=tightest is changed,
        )
    )
    parent = path[-2] if len(path) > 1 else None
    over = 0
    if parent is not None and parent.cap is not None and row.parent is not None:
        siblings = [
            each.cap_nanos or 0
            for each in snapshot.envelopes.values()
            if each.parent == parent.number and each.id != row.id and each.state != "closed"
        ]
        free = not row.parent.allow_overallocation
        over = max(0, sum(siblings) + amount - parent.cap) if free else 0
    return Preview(
        amount=amount,
        left=left,
        binding=binding,
        parent=parent.name if parent else "",
        over_parent=over,
    )
