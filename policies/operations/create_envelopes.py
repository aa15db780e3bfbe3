"""How do thousands of envelopes come to be at once? All of them, or none and every mistake.

For envelopes below a use case (environments, customers, runs), whose parents are there already.
One transaction and one policy version; each envelope has its entry, its version and its first
period as if it had been made alone. What is checked are the same rules, read once for all rows.
Locks: the key, governance; the trees only at the end, so that calls go on meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.periods import OutsidePeriod, Period
from policies.core.drafts import BELOW_USE_CASE, EnvelopeDraft, check_envelope
from policies.models import Envelope, EnvelopeVersion
from policies.operations.balances import Cells, lock, raise_version
from policies.operations.change_envelope import Approved, body_of, meaning_of
from policies.operations.create_envelope import check_may_create, envelope_row
from policies.operations.open_periods import cap_of, period_document
from policies.operations.publish_policy import lock_governance, publish_policy
from policies.operations.questions import actor_number
from policies.operations.tree_rules import (
    LIVING,
    Children,
    Life,
    Overallocated,
    ParentTakesNoChild,
    check_fits_beside,
    check_null_cap,
    check_takes_beside,
    life_of,
    lives_meet,
    read_children,
)
from policies.queries.current_policy import current_policy
from policies.queries.envelopes import EnvelopeBatch, get_envelope_batch, uid_in_batch
from policies.queries.snapshot_rows import Touched, envelope_rule

BATCH_MOST = 10_000
DOCUMENTS_AT_ONCE = 1_000
_SLUGS = """
SELECT parent_id, scope_kind, slug, public, start_at, end_at FROM policies_envelope
WHERE parent_id = ANY(%s) AND state = ANY(%s) ORDER BY id
"""
_BALANCES = """
INSERT INTO envelope_balance (envelope_id, period_start, period_end, cap_nanos, limit_nanos,
    settled_nanos, held_nanos, unsettled_nanos, unguarded_nanos, contingency_nanos, version,
    epoch)
SELECT id, start_at, end_at, cap, cap, 0, 0, 0, 0, 0, %s, 1
FROM unnest(%s::int[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])
    AS made (id, start_at, end_at, cap)
"""
_Place = tuple[int, str, str]
_Mistakes = dict[int, list[FieldError]]


@dataclass(frozen=True, slots=True)
class _Taken:
    """Who covers a scope already, and when?"""

    by: str
    life: Life


@dataclass(frozen=True, slots=True)
class _Made:
    """Which row is it, in which period does it begin, and what does its entry say?

    `period` is the one its document names; `begins` 0 = it lies ahead and has no balance yet.
    """

    row: Envelope
    uid: UUID
    period: Period
    begins: int
    document: bytes


def create_envelopes(
    *,
    drafts: Sequence[EnvelopeDraft],
    actor: Caller,
    now: datetime,
    key: str = "",
    approved: Approved | None = None,
) -> EnvelopeBatch:
    """Which envelopes were made? The next call obeys all of them.

    A repeat with the same `key` and drafts does nothing more and gives the same answer.
    `approved` says who asked and who agreed; then the role of the last is not asked again.
    Raises: Forbidden; ValidationFailed (`validation_failed`) with every mistake of every row,
    `/envelopes/<row>/<field>`; IdempotencyMismatch.
    """
    if approved is None:
        check_may_create(actor)
    _check_count(drafts)
    mistakes = _mistakes_alone(drafts, now)

    def run(uid: UUID) -> list[ledger.Draft]:
        lock_governance()
        rows = _place(drafts, mistakes, now)
        # Here, so that a refused batch leaves no number of its caller behind.
        actor_id = actor_number(actor.actor, now=now)
        _insert(rows)
        made = _made(rows, drafts, uid, now, approved)
        _write_versions(made, drafts, approved.maker if approved else actor.actor, now)
        bound = ledger.bind_fresh(
            ledger.Domain.ENVELOPE,
            {row.id: meaning_of(row) for row in rows},
            ledger_id=ledger.COMPANY_LEDGER,
            actor=actor_id,
            now=now,
        )
        published = publish_policy(
            change=f"{len(rows)} envelopes created",
            actor=actor.actor,
            actor_id=actor_id,
            reason=drafts[0].reason,
            now=now,
            uid=uid,
            touched=Touched(envelopes=tuple(row.id for row in rows)),
        )
        return [*bound, *published, *_begin(made, actor_id, now)]

    written = ledger.write(
        ledger_id=ledger.COMPANY_LEDGER,
        scope="envelopes",
        key=f"{actor.key_id}#{key or ids.new_uuid()}",
        request_hash=sha256(msgspec.json.encode(drafts)).digest(),
        run=run,
    )
    return get_envelope_batch(batch=written.uid, rows=len(drafts))


def check_batch(*, drafts: Sequence[EnvelopeDraft], now: datetime) -> None:
    """Could these envelopes be made as things stand? Nothing is made.

    Raises: as `create_envelopes`, but for roles.
    """
    _check_count(drafts)
    _place(drafts, _mistakes_alone(drafts, now), now)


def _check_count(drafts: Sequence[EnvelopeDraft]) -> None:
    if not 1 <= len(drafts) <= BATCH_MOST:
        message = f"One batch has 1 to {BATCH_MOST:,} envelopes."
        raise ValidationFailed(errors=[FieldError("/envelopes", "out_of_range", message)])


def _mistakes_alone(drafts: Sequence[EnvelopeDraft], now: datetime) -> _Mistakes:
    """Which drafts can never hold, whatever else there is?"""
    mistakes: _Mistakes = {}
    for number, draft in enumerate(drafts):
        errors = []
        if draft.scope_kind not in BELOW_USE_CASE:
            message = f"A batch makes envelopes of {', '.join(BELOW_USE_CASE)}."
            errors.append(FieldError("/scope/kind", "not_a_choice", message))
        if not draft.parent:
            message = "Each envelope names the one above it."
            errors.append(FieldError("/parent", "required", message))
        try:
            check_envelope(draft, now=now)
        except ValidationFailed as refused:
            errors += refused.errors
        if errors:
            mistakes[number] = errors
    return mistakes


def _place(
    drafts: Sequence[EnvelopeDraft], mistakes: Mapping[int, list[FieldError]], now: datetime
) -> list[Envelope]:
    """Which rows are to be made? Each is checked beside those that stand before it.

    Raises: ValidationFailed (`validation_failed`) with all mistakes, those given included.
    """
    above = "parent__" * 4 + "parent"
    found = Envelope.objects.select_related(above).filter(
        public__in={draft.parent for draft in drafts}
    )
    parents = {row.public: row for row in found}
    numbers = [row.id for row in parents.values()]
    below, taken = read_children(parents=numbers), _read_taken(numbers)
    time_zone = ledger.ledger_of_company().time_zone
    wrong = dict(mistakes)
    rows = []
    for number, draft in enumerate(drafts):
        if number in wrong:
            continue
        parent = parents.get(draft.parent)
        if parent is None:
            message = f"There is no envelope {draft.parent}."
            wrong[number] = [FieldError("/parent", "unknown", message)]
            continue
        row = envelope_row(
            draft,
            parent=parent,
            name=draft.scope_slug,
            department=None,
            use_case=None,
            time_zone=time_zone,
            now=now,
        )
        errors = list(_mistakes_beside(row, parent, below[parent.id], taken))
        if errors:
            wrong[number] = errors
            continue
        rows.append(row)
        life = life_of(row)
        below[parent.id].add(kind=row.scope_kind, life=life, nanos=row.amount_nanos or 0)
        taken.setdefault(_place_of(row), []).append(_Taken(f"row {number}", life))
    if wrong:
        raise ValidationFailed(errors=list(_by_row(wrong)))
    return rows


def _mistakes_beside(
    row: Envelope, parent: Envelope, beside: Children, taken: Mapping[_Place, list[_Taken]]
) -> Iterator[FieldError]:
    """What keeps this row from standing where it shall stand?"""
    for other in taken.get(_place_of(row), ()):
        if lives_meet(other.life, life_of(row)):
            message = f"{row.scope_kind} {row.slug} has an envelope already: {other.by}."
            yield FieldError("/scope/slug", "exists", message)
            break
    try:
        check_takes_beside(parent, beside, scope_kind=row.scope_kind)
    except ParentTakesNoChild as refused:
        message = f"{parent.public} takes no such envelope: {refused.fields['reason']}."
        yield FieldError("/parent", "takes_no_child", message)
        return
    try:
        check_null_cap(row)
        check_fits_beside(row, parent, beside)
    except ValidationFailed as refused:
        yield from refused.errors
    except Overallocated as refused:
        message = f"Only {refused.fields['left']} of {parent.public} is left to promise."
        yield FieldError("/amount", "overallocated", message)


def _read_taken(parents: list[int]) -> dict[_Place, list[_Taken]]:
    taken: dict[_Place, list[_Taken]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SLUGS, [parents, list(LIVING)])
        for parent, kind, slug, public, start, end in cursor.fetchall():
            taken.setdefault((parent, kind, slug), []).append(_Taken(public, (start, end)))
    return taken


def _made(
    rows: Sequence[Envelope],
    drafts: Sequence[EnvelopeDraft],
    batch: UUID,
    now: datetime,
    approved: Approved | None,
) -> list[_Made]:
    """What does each row's entry say? Documents are stored here, before trees are locked."""
    snapshot = current_policy().snapshot
    made: list[_Made] = []
    documents: list[bytes] = []
    for number, (row, draft) in enumerate(zip(rows, drafts, strict=True)):
        rule = envelope_rule(row)
        begins = 1
        try:
            period = snapshot.period_of(rule, now)
        except OutsidePeriod:
            # An end behind us is refused with the draft, so that it lies ahead.
            begins, period = 0, rule.calendar_period_at(row.start_at or now)
        cap = cap_of(row)
        body: dict[str, Any] = {
            "change": "created",
            **({} if begins else {"before": None}),
            "after": body_of(row),
            "reason": draft.reason,
            **({"approval": approved.body} if approved else {}),
            **period_document(row, start=period.start, end=period.end, cap=cap, limit=cap),
        }
        text = ledger.canonical_json(body)
        uid = uid_in_batch(batch=batch, number=number, at=now)
        documents.append(text)
        if len(documents) == DOCUMENTS_AT_ONCE:
            # A transaction that idles while it computes would be ended by the server.
            ledger.put_documents(documents, now=now)
            documents = []
        made.append(_Made(row, uid, period, begins, ledger.document_hash(text)))
    ledger.put_documents(documents, now=now)
    return made


def _write_versions(
    made: Sequence[_Made], drafts: Sequence[EnvelopeDraft], actor: str, now: datetime
) -> None:
    _insert_rows(
        [
            EnvelopeVersion(
                envelope=each.row,
                version=each.row.version,
                body=body_of(each.row),
                at=now,
                actor=actor,
                reason=draft.reason,
                entry_uid=each.uid,
            )
            for each, draft in zip(made, drafts, strict=True)
        ]
    )


def _insert(rows: Sequence[Envelope]) -> None:
    """Saves the rows; each learns its number."""
    numbers = {public: number for number, public in _insert_rows(rows, "id, public")}
    for row in rows:
        row.id = numbers[row.public]


def _insert_rows(
    rows: Sequence[Envelope] | Sequence[EnvelopeVersion], returning: str = "id"
) -> list[tuple[Any, ...]]:
    """Saves the rows by one statement with one parameter; what each returns."""
    table = rows[0]._meta
    names = [each.column for each in table.concrete_fields if not each.primary_key]
    attributes = [each.attname for each in table.concrete_fields if not each.primary_key]
    records = [
        dict(zip(names, (getattr(row, each) for each in attributes), strict=True))
        for row in rows
    ]
    columns = ", ".join(names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table.db_table} ({columns}) SELECT {columns}"
            f" FROM jsonb_populate_recordset(NULL::{table.db_table}, %s::jsonb)"
            f" RETURNING {returning}",
            [msgspec.json.encode(records).decode()],
        )
        return cursor.fetchall()


def _begin(made: Sequence[_Made], actor_id: int, now: datetime) -> Iterable[ledger.Draft]:
    """Begins the periods under the locks of their trees, the lower number first."""
    drafts = []
    for root in sorted({each.row.root for each in made}):
        members = [each for each in made if each.row.root == root]
        cells = Cells(root, (), ())
        version = lock(cells).version
        begun = [each for each in members if each.begins]
        with connection.cursor() as cursor:
            cursor.execute(
                _BALANCES,
                [
                    version,
                    [each.row.id for each in begun],
                    [each.period.start for each in begun],
                    [each.period.end for each in begun],
                    [cap_of(each.row) for each in begun],
                ],
            )
        raise_version(cells=cells, version=version)
        drafts += [_draft(each, version, actor_id, now) for each in members]
    return drafts


def _draft(made: _Made, version: int, actor_id: int, now: datetime) -> ledger.Draft:
    return ledger.Draft(
        ledger_id=ledger.COMPANY_LEDGER,
        kind=ledger.Kind.ENVELOPE_CHANGE,
        uid=made.uid,
        effective_at=now,
        recorded_at=now,
        envelope_id=made.row.id,
        actor_id=actor_id,
        env_version=version,
        doc=made.document,
    )


def _place_of(row: Envelope) -> _Place:
    return row.parent_id or 0, row.scope_kind, row.slug


def _by_row(mistakes: Mapping[int, list[FieldError]]) -> Iterator[FieldError]:
    for number in sorted(mistakes):
        for each in mistakes[number]:
            yield FieldError(f"/envelopes/{number}{each.pointer}", each.code, each.message)
