"""Is a policy that was changed the same as one compiled anew, in its bytes and its answers?"""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from o10.wire.reasons import Reason
from policies.core.policy_body import change_of, difference, join_changes, read_body
from policies.core.snapshot import Place, PolicyRows, Snapshot, compile_policy

from .rules import NOW, make_envelope, make_path, make_use_case

CUSTOMERS = ("acme", "blue", "default")
LATER = NOW + timedelta(days=40)


def old_body(rows: PolicyRows) -> str:
    """The canonical body in one piece, as hashes of the past were made."""
    return json.dumps(
        {
            "format": "o10-policy-v1",
            "use_cases": [
                # What a rule does not say reads as before there was any.
                {
                    key: value
                    for key, value in asdict(rule).items()
                    if (key, value) not in [("levers", ()), ("models", None)]
                }
                for rule in sorted(rows.use_cases, key=lambda r: r.id)
            ],
            "envelopes": [asdict(rule) for rule in sorted(rows.envelopes, key=lambda r: r.id)],
        },
        sort_keys=True,
        separators=(",", ":"),
        default=lambda value: value.isoformat(),
    )


def test_the_hash_of_a_fixed_policy_is_for_ever():
    child = make_envelope(
        id=4,
        parent=3,
        scope_kind="customer",
        slug="bébé",
        name="Bébé",
        fiscal={"anchor": "2026-02-02", "anchor_year": 2026, "pattern": [4, 4, 5]},
        period_kind="fiscal",
        start_at=datetime(2026, 2, 2, 3, 4, 5, 678, tzinfo=UTC),
        soft_thresholds_ppm=(500_000, 800_000),
        per_call_nanos=5,
        hard=False,
    )
    summaries = make_use_case(id=2, slug="summaries", starts_at=NOW, mode="shadow")
    rows = PolicyRows([summaries, make_use_case()], [child, *make_path()])
    made = compile_policy(rows, version=7)
    assert made.hash == "4d52f1cbf49f7d8356cb034a584b12bb99b23bd91b4303a68f0599c2cf5160c5"
    assert made.body == old_body(rows)
    assert sha256(made.body.encode()).hexdigest() == made.hash


children = st.builds(
    make_envelope,
    id=st.integers(min_value=4, max_value=9),
    parent=st.sampled_from((3, 3, 3, 4)),
    scope_kind=st.sampled_from(("environment", "customer", "customer", "customer")),
    slug=st.sampled_from(CUSTOMERS),
    name=st.text(max_size=3),
    state=st.sampled_from(("active", "active", "frozen", "closed")),
    amount_nanos=st.integers(min_value=0, max_value=9),
    start_at=st.sampled_from((None, None, LATER)),
    end_at=st.sampled_from((None, None, LATER)),
)
tops = st.builds(
    make_envelope,
    id=st.integers(min_value=10, max_value=14),
    parent=st.just(1),
    scope_kind=st.sampled_from(("department", "use_case")),
    department=st.just(1),
    use_case=st.integers(min_value=1, max_value=2),
    state=st.sampled_from(("active", "closed")),
    start_at=st.sampled_from((None, LATER)),
)
use_cases = st.builds(
    lambda number, **fields: make_use_case(id=number, slug=f"case-{number}", **fields),
    st.integers(min_value=2, max_value=4),
    mode=st.sampled_from(("enforce", "shadow")),
    starts_at=st.sampled_from((None, LATER)),
)
changes = st.lists(
    st.builds(
        PolicyRows,
        st.lists(use_cases, max_size=2, unique_by=lambda rule: rule.id),
        st.lists(st.one_of(children, tops), max_size=4, unique_by=lambda rule: rule.id),
    ),
    max_size=5,
)


def merged(rows: PolicyRows, change: PolicyRows) -> PolicyRows:
    one = {rule.id: rule for rule in (*rows.use_cases, *change.use_cases)}
    two = {rule.id: rule for rule in (*rows.envelopes, *change.envelopes)}
    return PolicyRows(list(one.values()), list(two.values()))


def places(snapshot: Snapshot) -> list[object]:
    return [
        snapshot.place_of(use_case=rule, labels=labels, at=at)
        for rule in sorted(snapshot.use_cases.values(), key=lambda each: each.id)
        for at in (NOW, LATER)
        for labels in (
            {},
            {"environment": "acme"},
            *({"customer": name} for name in CUSTOMERS),
            {"environment": "blue", "customer": "acme"},
        )
    ]


@given(changes)
def test_a_changed_policy_is_the_policy_compiled_anew(steps):
    rows = PolicyRows([make_use_case()], make_path())
    told = compile_policy(rows, version=1)
    places(told)
    for number, change in enumerate(steps, start=2):
        rows = merged(rows, change)
        told = told.changed(change, version=number)
        anew = compile_policy(rows, version=number)
        assert told == anew
        assert told.body == anew.body == old_body(rows)
        assert places(told) == places(anew)
        # Twice: the second time answers come from memory.
        assert places(told) == places(anew)


@given(changes)
def test_changes_written_down_and_read_again_lead_to_the_same_policy(steps):
    rows = PolicyRows([make_use_case()], make_path())
    first = compile_policy(rows, version=9)
    texts = []
    told = first
    for change in steps:
        texts.append(change_of(change))
        told = told.changed(change, version=9)
    joined = join_changes([read_body(text) for text in texts])
    assert first.changed(joined, version=9) == told
    assert compile_policy(read_body(told.body), version=9) == told


@given(changes)
def test_a_difference_is_what_leads_from_one_policy_to_the_other(steps):
    before = compile_policy(PolicyRows([make_use_case()], make_path()), version=1)
    after = before
    for change in steps:
        after = after.changed(change, version=1)
    found = difference(before=before.rows, after=after.rows)
    assert found is not None
    assert before.changed(found, version=1) == after
    if len(after.rows.envelopes) + len(after.rows.use_cases) > 4:
        assert difference(before=after.rows, after=before.rows) is None


def test_an_unchanged_snapshot_stays_as_it_was_while_another_is_made_of_it():
    child = make_envelope(id=4, parent=3, scope_kind="customer", slug="acme")
    before = compile_policy(PolicyRows([make_use_case()], [*make_path(), child]), version=1)
    body, seen = before.body, places(before)
    after = before.changed(PolicyRows([], [replace(child, state="closed")]), version=2)
    assert (before.body, places(before)) == (body, seen)
    here = after.place_of(
        use_case=after.use_cases["support"], labels={"customer": "acme"}, at=NOW
    )
    assert isinstance(here, Place)
    assert here.path[-1].id == 3


def test_two_fixed_years_of_one_customer_take_turns():
    turn = datetime(2027, 1, 1, tzinfo=UTC)
    years = [
        make_envelope(
            id=number,
            parent=3,
            scope_kind="customer",
            slug="acme",
            period_kind="fixed",
            start_at=datetime(year, 1, 1, tzinfo=UTC),
            end_at=datetime(year + 1, 1, 1, tzinfo=UTC),
        )
        for number, year in ((4, 2026), (5, 2027))
    ]
    told = compile_policy(PolicyRows([make_use_case()], [*make_path(), *years]), version=1)

    def leaf(at: datetime) -> object:
        found = told.place_of(
            use_case=told.use_cases["support"], labels={"customer": "acme"}, at=at
        )
        return found.path[-1].id if isinstance(found, Place) else found

    assert leaf(turn - timedelta(microseconds=1)) == 4
    assert leaf(turn) == 5
    assert leaf(turn.replace(year=2028)) is Reason.ENVELOPE_CLOSED


def test_a_closed_child_of_another_kind_does_not_hide_the_living_ones():
    kinds = [
        make_envelope(id=4, parent=3, scope_kind="environment", slug="prod", state="closed"),
        make_envelope(id=5, parent=3, scope_kind="customer", slug="acme"),
    ]
    told = compile_policy(PolicyRows([make_use_case()], [*make_path(), *kinds]), version=1)
    here = told.place_of(
        use_case=told.use_cases["support"], labels={"customer": "acme"}, at=NOW
    )
    assert isinstance(here, Place)
    assert here.path[-1].id == 5


def test_label_kinds_are_those_that_choose_an_envelope_of_the_use_case():
    rows = PolicyRows(
        [make_use_case(), make_use_case(id=2, slug="other")],
        [
            *make_path(),
            make_envelope(id=4, parent=2, scope_kind="use_case", slug="other", use_case=2),
            make_envelope(id=5, parent=3, scope_kind="environment", slug="prod"),
            make_envelope(id=6, parent=5, scope_kind="customer", slug="acme"),
            make_envelope(id=7, parent=4, scope_kind="run", slug="r1", state="closed"),
        ],
    )
    told = compile_policy(rows, version=1)
    assert told.label_kinds("support") == ("environment", "customer")
    assert told.label_kinds("other") == ()
    assert told.label_kinds("nobody's") == ()
    opened = make_envelope(id=7, parent=4, scope_kind="run", slug="r1")
    assert told.changed(PolicyRows([], [opened]), version=2).label_kinds("other") == ("run",)


@given(changes, st.sampled_from((NOW, LATER)))
def test_calls_that_agree_in_the_label_kinds_have_one_place(steps, at):
    told = compile_policy(PolicyRows([make_use_case()], make_path()), version=1)
    for number, change in enumerate(steps, start=2):
        told = told.changed(change, version=number)
    assume(all(rule.parent in {None, *told.envelopes} for rule in told.envelopes.values()))
    names = {"environment": "acme", "customer": "blue", "run": "acme"}
    for rule in told.use_cases.values():
        kinds = told.label_kinds(rule.slug)
        chosen = {kind: names[kind] for kind in kinds}
        everything = told.place_of(use_case=rule, labels=names, at=at)
        assert told.place_of(use_case=rule, labels=chosen, at=at) == everything


@pytest.mark.parametrize("text", ["", "{}", '{"format":"v9","envelopes":[],"use_cases":[]}'])
def test_a_damaged_body_is_refused(text):
    with pytest.raises(msgspec.DecodeError):
        read_body(text)
