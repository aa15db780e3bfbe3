"""Are many envelopes made at once as if made one by one: all or none, every mistake told?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection

from ledger import facade as ledger
from o10.access.roles import Role
from o10.kernel.errors import (
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    ValidationFailed,
)
from policies import facade as policies
from policies.models import (
    Envelope,
    EnvelopeBalance,
    EnvelopeTree,
    EnvelopeVersion,
    PolicyVersion,
)
from policies.queries.current_policy import current_policy

from .company import (
    DOLLAR,
    FINANCE,
    NOW,
    ask,
    entries,
    make_caller,
    make_envelope,
    make_tree,
    reason_of,
)

pytestmark = pytest.mark.usefixtures("sound")
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def draft(parent: policies.EnvelopeView, **fields: Any) -> policies.EnvelopeDraft:
    wanted = {
        "scope_kind": "customer",
        "scope_slug": "acme",
        "parent": parent.id,
        "amount_nanos": DOLLAR // 10,
        "soft_thresholds_ppm": (),
    }
    return policies.EnvelopeDraft(**{**wanted, **fields})


def drafts(parent: policies.EnvelopeView, count: int = 5) -> list[policies.EnvelopeDraft]:
    return [draft(parent, scope_slug=f"user-{number}") for number in range(count)]


def create(wanted: list[policies.EnvelopeDraft], **fields: Any) -> policies.EnvelopeBatch:
    return policies.create_envelopes(drafts=wanted, **{"actor": FINANCE, "now": NOW, **fields})


def mistakes(wanted: list[policies.EnvelopeDraft]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationFailed) as refused:
        create(wanted)
    return [(each.pointer, each.code) for each in refused.value.errors]


def counts() -> tuple[int, ...]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM ledger_entry), (SELECT count(*) FROM ledger_idem),"
            " (SELECT count(*) FROM ledger_document), (SELECT count(*) FROM ledger_registry)"
        )
        rows = cursor.fetchone()
    models = (Envelope, EnvelopeVersion, EnvelopeBalance, PolicyVersion)
    return (*rows, *(model.objects.count() for model in models))


def written(envelope: str) -> dict[str, Any]:
    """All that one envelope left behind, without what names it alone."""
    row = Envelope.objects.get(public=envelope)
    fields = {
        name: getattr(row, name)
        for name in (field.attname for field in Envelope._meta.concrete_fields)
        if name not in ("id", "public", "slug", "name")
    }
    versions = [
        (each.version, each.at, each.actor, each.reason)
        for each in EnvelopeVersion.objects.filter(envelope=row)
    ]
    balances = list(
        EnvelopeBalance.objects.filter(envelope_id=row.id)
        .values("period_start", "period_end", "cap_nanos", "limit_nanos", "epoch")
        .order_by("period_start")
    )
    entries = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.kind, e.effective_at, e.env_version > 0, d.body FROM ledger_entry e"
            " JOIN ledger_document d ON d.hash = e.doc WHERE e.envelope_id = %s ORDER BY e.id",
            [row.id],
        )
        for kind, at, versioned, body in cursor.fetchall():
            text = bytes(body).decode().replace(row.public, "PUBLIC").replace(row.slug, "SLUG")
            told = msgspec.json.decode(text)
            assert told["after"].pop("number") == told.pop("envelope") == row.id
            entries.append((kind, at, versioned, told))
    meanings = ledger.meanings_of(
        domain=ledger.Domain.ENVELOPE, numbers=[row.id], ledger_id=ledger.COMPANY_LEDGER
    )
    meaning = dict(meanings[row.id])
    assert meaning.pop("id") == row.public
    assert (meaning.pop("slug"), meaning.pop("name")) == (row.slug, row.slug)
    meaning.pop("number", None)
    return {
        "fields": fields,
        "versions": versions,
        "balances": balances,
        "entries": entries,
        "meaning": meaning,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hard": False, "per_call_nanos": 5, "reason": "a trial"},
        {"amount_nanos": None},
        {"amount_nanos": 0, "allow_overallocation": True, "soft_thresholds_ppm": (900_000, 5)},
        {"period_kind": "rolling", "days": 7, "time_zone": "Asia/Kathmandu"},
        {"period_kind": "fixed", "start_at": NOW, "end_at": LATER},
        {"period_kind": "fixed", "start_at": LATER, "end_at": LATER + timedelta(days=9)},
        {"period_kind": "week", "week_start": 6, "start_at": LATER},
    ],
    ids=str,
)
def test_a_row_of_a_batch_leaves_behind_what_an_envelope_made_alone_does(fields):
    parent = make_tree()["use_case"]
    alone = policies.create_envelope(
        draft=draft(parent, scope_slug="alone", **fields), actor=FINANCE, now=NOW
    )
    batch = create([draft(parent, scope_slug="batch", **fields)])
    assert written(batch.items[0].id) == written(alone.id)
    one, other = (
        msgspec.structs.asdict(policies.get_envelope(envelope=each, now=NOW))
        for each in (alone.id, batch.items[0].id)
    )
    for name in ("id", "name", "scope", "binding"):
        one.pop(name), other.pop(name)
    assert one == other


def test_a_batch_is_one_policy_version_and_one_entry_for_each_row():
    parent = make_tree()["use_case"]
    before = current_policy().stamp.version
    batch = create(drafts(parent))
    assert [item.scope.slug for item in batch.items] == [f"user-{n}" for n in range(5)]
    assert {item.parent for item in batch.items} == {parent.id}
    assert batch.policy_version == before + 1 == current_policy().stamp.version
    policy = current_policy().snapshot
    assert {item.id for item in batch.items} <= {r.public for r in policy.envelopes.values()}


def test_a_batch_takes_one_version_of_its_tree_and_the_next_change_the_next():
    parent = make_tree()["use_case"]
    batch = create(drafts(parent))
    numbers = Envelope.objects.filter(public__in=[item.id for item in batch.items])
    versions = {
        entry.env_version
        for entry in entries(envelope_id__in=[row.id for row in numbers])
        if entry.kind == ledger.Kind.ENVELOPE_CHANGE
    }
    tree = EnvelopeTree.objects.get(root_envelope_id=numbers[0].root)
    assert versions == {tree.version}
    make_envelope(kind="customer", slug="next", amount=1, parent=parent.id)
    assert EnvelopeTree.objects.get(root_envelope_id=tree.pk).version == tree.version + 1


def test_the_next_call_obeys_an_envelope_of_a_batch():
    parent = make_tree()["use_case"]
    create([draft(parent, amount_nanos=0), draft(parent, scope_slug="blue")])
    assert reason_of(ask(customer="acme")) == "ENVELOPE_HARD_LIMIT"
    assert reason_of(ask(customer="blue")) == "OK_WITHIN_ENVELOPE"


def test_a_repeat_gives_the_same_envelopes_and_writes_nothing():
    parent = make_tree()["use_case"]
    first = create(drafts(parent), key="nightly")
    before = counts()
    again = create(drafts(parent), key="nightly", now=NOW + timedelta(hours=3))
    assert again == first
    assert counts() == before
    with pytest.raises(IdempotencyMismatch):
        create(drafts(parent, count=4), key="nightly")
    assert counts() == before


def test_every_mistake_of_every_row_is_told_and_nothing_is_written():
    tree = make_tree()
    parent = tree["use_case"]
    make_envelope(kind="customer", slug="taken", amount=0, parent=parent.id)
    before = counts()
    wanted = [
        draft(parent, scope_slug="fine"),
        draft(parent, scope_kind="department", scope_slug="service"),
        draft(parent, scope_slug="", amount_nanos=-1),
        replace_parent(draft(parent, scope_slug="orphan"), ""),
        replace_parent(draft(parent, scope_slug="stranger"), "env_unknown"),
        draft(parent, scope_slug="taken"),
        draft(parent, scope_slug="fine"),
        draft(parent, scope_kind="environment", scope_slug="prod"),
        draft(parent, scope_slug="much", amount_nanos=2 * DOLLAR),
        draft(parent, scope_slug="no-such-zone", time_zone="Mars/Olympus"),
        draft(parent, scope_slug="also-fine"),
    ]
    assert mistakes(wanted) == [
        ("/envelopes/1/scope/kind", "not_a_choice"),
        ("/envelopes/2/amount", "out_of_range"),
        ("/envelopes/2/scope/slug", "required"),
        ("/envelopes/3/parent", "required"),
        ("/envelopes/4/parent", "unknown"),
        ("/envelopes/5/scope/slug", "exists"),
        ("/envelopes/6/scope/slug", "exists"),
        ("/envelopes/7/parent", "takes_no_child"),
        ("/envelopes/8/amount", "overallocated"),
        ("/envelopes/9/period/time_zone", "period_malformed"),
    ]
    assert counts() == before
    # The same rows without their mistakes are made: nothing of the refused batch stayed.
    assert len(create([wanted[0], wanted[-1]]).items) == 2


def replace_parent(wanted: policies.EnvelopeDraft, parent: str) -> policies.EnvelopeDraft:
    return msgspec.structs.replace(wanted, parent=parent)


def test_rows_promise_together_what_the_parent_has_and_not_a_nano_more():
    parent = make_tree(use_case=10)["use_case"]
    wanted = [draft(parent, scope_slug=f"user-{n}", amount_nanos=1) for n in range(11)]
    assert mistakes(wanted) == [("/envelopes/10/amount", "overallocated")]
    assert len(create(wanted[:10]).items) == 10


def test_rows_that_never_live_at_one_instant_share_a_scope_and_a_promise():
    parent = make_tree(use_case=10)["use_case"]
    turn = NOW + timedelta(days=10)
    years = [
        draft(parent, amount_nanos=10, period_kind="fixed", start_at=NOW, end_at=turn),
        draft(parent, amount_nanos=10, period_kind="fixed", start_at=turn, end_at=LATER),
    ]
    overlapping = msgspec.structs.replace(years[1], start_at=turn - timedelta(seconds=1))
    assert mistakes([years[0], overlapping]) == [
        ("/envelopes/1/scope/slug", "exists"),
        ("/envelopes/1/amount", "overallocated"),
    ]
    assert len(create(years).items) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"scope_slug": "taken"},
        {"amount_nanos": 2 * DOLLAR},
        {"scope_kind": "environment"},
        {"amount_nanos": -5},
        {"week_start": 9, "period_kind": "week"},
        {"parent": "env_unknown"},
    ],
    ids=str,
)
def test_a_batch_refuses_what_would_be_refused_alone(fields):
    parent = make_tree()["use_case"]
    make_envelope(kind="customer", slug="taken", amount=0, parent=parent.id)
    wanted = msgspec.structs.replace(draft(parent), **fields)
    with pytest.raises((Conflict, NotFound, ValidationFailed)):
        policies.create_envelope(draft=wanted, actor=FINANCE, now=NOW)
    assert [pointer.split("/")[2] for pointer, _ in mistakes([wanted])] == ["0"]


def test_a_batch_has_one_to_ten_thousand_rows():
    parent = make_tree()["use_case"]
    assert mistakes([]) == [("/envelopes", "out_of_range")]
    assert mistakes([draft(parent)] * 10_001) == [("/envelopes", "out_of_range")]


@pytest.mark.parametrize("role", [Role.OWNER, Role.AUDITOR, Role.ROUTER])
def test_who_may_not_make_one_may_not_make_many(role):
    parent = make_tree()["use_case"]
    with pytest.raises(Forbidden):
        create(drafts(parent), actor=make_caller(key="key_other", role=role))


def test_a_batch_may_stand_below_several_parents_and_trees():
    trees = make_tree()
    other = make_envelope(
        kind="environment", slug="prod", amount=DOLLAR // 2, parent=trees["use_case"].id
    )
    wanted = [
        draft(other, scope_slug="acme"),
        draft(trees["use_case"], scope_kind="environment", scope_slug="test"),
        draft(other, scope_slug="blue"),
    ]
    batch = create(wanted)
    assert [item.parent for item in batch.items] == [
        other.id,
        trees["use_case"].id,
        other.id,
    ]
    assert reason_of(ask(environment="prod", customer="blue")) == "OK_WITHIN_ENVELOPE"
