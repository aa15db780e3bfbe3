"""Do criteria trip, hold, restore, and do calls obey their levers? On a real database."""

from datetime import timedelta
from typing import Any

import pytest

from ledger import facade as ledger
from o10.kernel.errors import Forbidden, ValidationFailed
from o10.wire.requests import Finish
from policies import facade as policies
from policies.core.drafts import ApprovedModel
from policies.models import KillCriterion, KillEvent, KillReview
from policies.operations.fire_kill import CriterionMoved
from policies.operations.kill_criteria import NeedsApproval
from policies.queries.kill_drill import drill
from policies.queries.kill_rows import get_criterion, scope_of, spec_of

from .company import (
    CHEAP,
    DEAR,
    DOLLAR,
    FINANCE,
    MODEL,
    NOW,
    ROUTER,
    ask,
    entries,
    make_envelope,
    make_tree,
    make_use_case,
    money_of,
    pay,
    reason_of,
)

CHECKER = "usr_checker"
MINUTE = timedelta(minutes=1)


def make_criterion(*, armed: bool = True, slug: str = "support", **fields: Any) -> str:
    spec = policies.KillSpec(
        **{
            "metric": "repeat_loop",
            "threshold": "10",
            "window_s": 600,
            "min_sample": 5,
            "consecutive": 1,
            "lever": "freeze",
            "severity": "critical",
        }
        | fields
    )
    public = policies.create_criterion(
        draft=policies.CriterionDraft(
            name="Runaway loop", scope_kind="use_case", scope_slug=slug, spec=spec
        ),
        actor=FINANCE,
        now=NOW,
    )
    if armed:
        policies.apply_arm(criterion=public, actor=CHECKER, now=NOW, version=1, reason="agreed")
    return public


def look(public: str, *, at: Any) -> Any:
    return policies.look_at_criterion(get_criterion(public), at=at)


def loop(times: int, *, now: Any = NOW) -> list[dict[str, Any]]:
    """One step that is tried again and again: its answer never parses."""
    answers = []
    for number in range(times):
        answer = ask(
            now=now + timedelta(milliseconds=number), run_id="run-1", step_fingerprint="parse"
        )
        answers.append(answer)
        if answer.get("reservation"):
            pay(answer, now=now + timedelta(milliseconds=number), status=Finish.ERROR)
    return answers


def test_a_loop_trips_and_the_next_call_is_denied_by_name(sound):
    make_tree()
    public = make_criterion()
    assert {reason_of(each) for each in loop(10)} == {"OK_WITHIN_ENVELOPE"}
    verdict = look(public, at=NOW + MINUTE)
    assert verdict.events == ("trip",)
    denied = ask(now=NOW + MINUTE)
    assert denied["decision"] == "deny"
    assert reason_of(denied) == "KILL_CRITERION_ACTIVE"
    assert public in denied["reasons"][0]["detail"]
    assert "Runaway loop" in denied["reasons"][0]["detail"]
    [trip] = entries(kind=int(ledger.Kind.TRIP))
    row = KillEvent.objects.get(entry_uid=trip.uid)
    assert row.inputs["inputs"]["repeats"] == 10
    assert row.inputs["value"] == {"over": "10", "under": "1"}


def test_one_call_fewer_and_it_does_not_trip(sound):
    make_tree()
    public = make_criterion()
    loop(9)
    assert look(public, at=NOW + MINUTE).events == ()
    assert ask(now=NOW + MINUTE)["decision"] == "allow"


def test_below_the_sample_it_never_trips_and_says_so(sound):
    make_tree()
    public = make_criterion(threshold="2", min_sample=50)
    loop(20)
    assert look(public, at=NOW + MINUTE).events == ()
    row = get_criterion(public)
    assert (row.state, row.last["evidence"]) == ("armed", "not_enough")


def test_a_draft_pulls_nothing(sound):
    make_tree()
    public = make_criterion(armed=False)
    loop(20)
    assert policies.look_at_all(now=NOW + MINUTE) == 0
    assert look(public, at=NOW + MINUTE).events == ()
    assert ask(now=NOW + MINUTE)["decision"] == "allow"


def test_a_freeze_is_lifted_by_two_people_only_and_counts_anew(sound):
    make_tree()
    public = make_criterion()
    loop(10)
    look(public, at=NOW + MINUTE)
    with pytest.raises(NeedsApproval):
        policies.restore_alone(criterion=public, actor=FINANCE, now=NOW + MINUTE, reason="ok")
    assert reason_of(ask(now=NOW + MINUTE)) == "KILL_CRITERION_ACTIVE"
    later = NOW + 2 * MINUTE
    policies.apply_restore(criterion=public, actor=CHECKER, now=later, reason="client fixed")
    assert ask(now=later)["decision"] == "allow"
    # The ten calls are still within ten minutes, but they are over and done with.
    assert look(public, at=later + timedelta(seconds=30)).events == ()
    assert [each.kind for each in entries(kind=int(ledger.Kind.RESTORE))] == [25]
    with pytest.raises(CriterionMoved):
        policies.apply_restore(criterion=public, actor=CHECKER, now=later, reason="again")


def test_a_mild_lever_restores_itself_after_its_cooldown(sound):
    make_tree()
    public = make_criterion(
        lever="cap_output", amount=100, cooldown_s=3_600, restore_consecutive=2
    )
    loop(10)
    look(public, at=NOW + MINUTE)
    answer = ask(now=NOW + MINUTE)
    assert (answer["decision"], answer["caps"]["max_output_tokens"]) == ("allow_with_caps", 100)
    codes = [each["code"] for each in answer["reasons"]]
    assert codes[:2] == ["KILL_CRITERION_ACTIVE", "CAPPED_TOKENS"]
    ask(now=NOW + 55 * MINUTE, step_fingerprint=None)
    for minutes in (20, 40, 59):
        look(public, at=NOW + minutes * MINUTE)
    # Five calls are needed to say anything at all.
    for number in range(5):
        ask(now=NOW + (60 + number) * MINUTE)
    states = []
    for minutes in (62, 66, 70, 75, 77):
        for _ in range(5):
            ask(now=NOW + minutes * MINUTE - timedelta(seconds=1))
        look(public, at=NOW + minutes * MINUTE)
        states.append(get_criterion(public).state)
    assert states[0] == "restoring"
    assert states[-1] == "armed"
    assert ask(now=NOW + 80 * MINUTE)["decision"] == "allow"


def test_steps_and_attempts_beyond_the_lever_are_denied(sound):
    make_tree()
    public = make_criterion(lever="cap_steps", amount=3)
    loop(10)
    look(public, at=NOW + MINUTE)
    at = NOW + MINUTE
    allowed = ask(now=at, run_id="r", step=2)
    assert allowed["caps"]["max_steps_remaining"] == 1
    assert allowed["decision"] == "allow_with_caps"
    for beyond in ({"step": 4, "run_id": "r"}, {"attempt": 4}):
        denied = ask(now=at, **beyond)
        assert (denied["decision"], reason_of(denied)) == ("deny", "KILL_CRITERION_ACTIVE")


def test_rightsizing_moves_the_call_to_the_cheaper_model(sound):
    make_tree()
    public = make_criterion(lever="rightsizing", model=CHEAP)
    loop(10)
    look(public, at=NOW + MINUTE)
    answer = ask(now=NOW + MINUTE, model=MODEL)
    assert answer["decision"] == "reroute"
    assert answer["route"]["model"].endswith(CHEAP)
    assert {each["code"] for each in answer["reasons"]} >= {
        "KILL_CRITERION_ACTIVE",
        "RIGHTSIZED",
    }
    assert ask(now=NOW + MINUTE, model=CHEAP)["decision"] == "allow"


def test_rightsizing_without_a_name_takes_the_cheapest_that_is_permitted(sound):
    make_tree()
    public = make_criterion(lever="rightsizing")
    loop(10)
    look(public, at=NOW + MINUTE)
    at = NOW + MINUTE
    # Nothing was approved, and the use case has no model of its own: nowhere to go.
    assert ask(now=at, model=DEAR)["decision"] == "allow"
    over = NOW - MINUTE
    permit(ApprovedModel(name=CHEAP, until=over), ApprovedModel(name=MODEL))
    answer = ask(now=at, model=DEAR)
    assert answer["decision"] == "reroute"
    assert answer["route"]["model"].endswith(MODEL)
    assert "the cheapest permitted model" in answer["reasons"][0]["detail"]
    assert ask(now=at, model=MODEL)["decision"] == "allow"
    permit(ApprovedModel(name=f"openai/{CHEAP}"), ApprovedModel(name=MODEL))
    assert ask(now=at, model=MODEL)["route"]["model"].endswith(CHEAP)


def test_of_two_rightsizings_the_cheapest_of_both_is_forced(sound):
    make_tree()
    permit(ApprovedModel(name=CHEAP), ApprovedModel(name=MODEL), ApprovedModel(name=DEAR))
    for fields in ({"model": MODEL}, {}):
        public = make_criterion(lever="rightsizing", **fields)
        loop(10)
        look(public, at=NOW + MINUTE)
    answer = ask(now=NOW + MINUTE, model=DEAR)
    assert answer["route"]["model"].endswith(CHEAP)
    assert answer["reasons"][0]["detail"].count("kil_") == 2


def permit(*models):
    policies.change_use_case(
        slug="support",
        change=policies.UseCaseChange(approved_models=models, reason="as agreed"),
        actor=FINANCE,
        now=NOW,
        may=True,
    )


def test_a_throttle_is_money_an_hour_and_what_was_not_needed_comes_back(sound):
    make_tree()
    # 15,000,000 a call at most; 7,650,000 when it has settled.
    public = make_criterion(lever="throttle", amount=40_000_000)
    loop(10)
    look(public, at=NOW + MINUTE)
    at = NOW + MINUTE
    first, second = ask(now=at), ask(now=at)
    assert {each["decision"] for each in (first, second)} == {"allow"}
    denied = ask(now=at)
    assert (denied["decision"], reason_of(denied)) == ("deny", "KILL_CRITERION_ACTIVE")
    pay(first, now=at)
    assert ask(now=at)["decision"] == "allow"
    assert ask(now=at)["decision"] == "deny"
    assert ask(now=at + 59 * MINUTE)["decision"] == "deny"
    assert ask(now=at + 62 * MINUTE)["decision"] == "allow"


def test_a_sunset_shrinks_the_budget_every_day_and_ends_the_use_case(sound):
    tree = make_tree()
    public = make_criterion(lever="sunset", amount=4)
    loop(10)
    look(public, at=NOW + MINUTE)
    answer = ask(now=NOW + MINUTE)
    assert answer["decision"] == "allow"
    assert [each["code"] for each in answer["reasons"]][:2] == [
        "USE_CASE_SUNSET",
        "KILL_CRITERION_ACTIVE",
    ]
    caps = []
    for days in range(5):
        at = NOW + MINUTE + days * timedelta(days=1)
        policies.wind_down(now=at)
        policies.wind_down(now=at)
        caps.append(int(policies.get_envelope(envelope=tree["use_case"].id, now=at).cap_nanos))
    assert caps == [DOLLAR, DOLLAR * 3 // 4, DOLLAR // 2, DOLLAR // 4, 0]
    end = NOW + timedelta(days=4, hours=1)
    assert reason_of(ask(now=end)) == "USE_CASE_SUNSET"


def test_the_end_of_a_sunset_archives_the_plan_and_leaves_nothing_to_lift(sound):
    make_tree()
    public = make_criterion(lever="sunset", amount=2)
    loop(10)
    look(public, at=NOW + MINUTE)
    for days in range(4):
        policies.wind_down(now=NOW + MINUTE + days * timedelta(days=1))
    [end] = KillEvent.objects.filter(criterion__public=public, kind="end")
    caps = [int(each["nanos"]) for each in end.inputs["caps"]]
    assert caps == [DOLLAR // 2, 0]
    assert (int(end.inputs["spent_nanos"]), end.inputs["calls"]) == (0, 0)
    assert get_criterion(public).state == "retired"
    after = NOW + timedelta(days=4)
    with pytest.raises(CriterionMoved):
        policies.apply_restore(criterion=public, actor=CHECKER, now=after, reason="again")
    assert policies.wind_down(now=after) == 0
    assert reason_of(ask(now=after)) == "USE_CASE_SUNSET"
    with pytest.raises(Forbidden):
        policies.change_use_case(
            slug="support",
            change=policies.UseCaseChange(state="active", reason="again"),
            actor=ROUTER,
            now=after,
        )


def test_a_board_review_is_a_work_item_with_an_interim_cap_until_it_is_decided(sound):
    make_tree()
    public = make_criterion(
        board_review=True, review_days=7, review_cap=20_000_000, owner="usr_owner"
    )
    loop(10)
    look(public, at=NOW + MINUTE)
    review = KillReview.objects.get(criterion__public=public)
    assert (review.owner, review.due.isoformat()) == ("usr_owner", "2026-11-27")
    at = NOW + 2 * MINUTE
    assert reason_of(ask(now=at)) == "KILL_CRITERION_ACTIVE"
    policies.apply_restore(criterion=public, actor=CHECKER, now=at, reason="client fixed")
    # The lever is lifted, the interim cap holds: one call of 0.015 fits into 0.02 an hour.
    first = ask(now=at)
    assert first["decision"] == "allow"
    denied = ask(now=at)
    assert (denied["decision"], reason_of(denied)) == ("deny", "KILL_CRITERION_ACTIVE")
    policies.decide_review(
        criterion=public, decision="Goes on.", at=at, actor=CHECKER, reason="board"
    )
    assert ask(now=at)["decision"] == "allow"
    with pytest.raises(policies.NothingToDecide):
        policies.decide_review(
            criterion=public, decision="Again.", at=at, actor=CHECKER, reason="board"
        )


def test_an_override_has_an_end_and_a_reason(sound):
    make_tree()
    public = make_criterion()
    loop(10)
    look(public, at=NOW + MINUTE)
    at = NOW + 2 * MINUTE
    for until, reason in ((timedelta(days=15), "x"), (timedelta(days=1), " ")):
        with pytest.raises(ValidationFailed):
            policies.apply_override(
                criterion=public, until=at + until, actor=CHECKER, now=at, reason=reason
            )
    policies.apply_override(
        criterion=public,
        until=at + timedelta(days=1),
        actor=CHECKER,
        now=at,
        reason="launch day",
    )
    assert ask(now=at)["decision"] == "allow"
    loop(12, now=at)
    assert look(public, at=at + MINUTE).events == ()
    after = at + timedelta(days=1)
    look(public, at=after)
    assert get_criterion(public).state == "armed"
    loop(12, now=after + MINUTE)
    assert look(public, at=after + 2 * MINUTE).events == ("trip",)


def test_the_envelope_trips_at_a_hundred_percent_of_all_that_may_be_spent(sound):
    tree = make_tree(use_case=16_000_000)
    public = make_criterion(
        metric="envelope_utilisation", threshold="0.9", min_sample=1, consecutive=1
    )
    assert look(public, at=NOW + MINUTE).events == ()
    ask()
    assert money_of(tree["use_case"])["held"] == 15_000_000
    assert look(public, at=NOW + MINUTE).events == ("trip",)


def test_only_its_own_use_case_is_stopped(sound):
    make_tree()
    make_use_case(slug="other")
    make_envelope(slug="other")
    public = make_criterion()
    loop(10)
    look(public, at=NOW + MINUTE)
    assert reason_of(ask(now=NOW + MINUTE)) == "KILL_CRITERION_ACTIVE"
    assert ask(now=NOW + MINUTE, use_case="other")["decision"] == "allow"


def test_two_who_look_at_once_trip_it_once(sound):
    make_tree()
    public = make_criterion()
    loop(10)
    row = get_criterion(public)
    for _ in range(2):
        policies.look_at_criterion(row, at=NOW + MINUTE)
    assert len(entries(kind=int(ledger.Kind.TRIP))) == 1


def test_a_proposal_asks_and_pulls_nothing(sound):
    make_tree()
    public = make_criterion(execution="propose")
    loop(10)
    assert look(public, at=NOW + MINUTE).events == ("propose",)
    assert look(public, at=NOW + 2 * MINUTE).events == ()
    assert ask(now=NOW + MINUTE)["decision"] == "allow"
    policies.apply_trip(criterion=public, actor=CHECKER, now=NOW + 3 * MINUTE, reason="yes")
    assert reason_of(ask(now=NOW + 3 * MINUTE)) == "KILL_CRITERION_ACTIVE"


def test_tightening_needs_one_and_loosening_two(sound):
    make_tree()
    public = make_criterion()
    stricter = spec_of(get_criterion(public))
    import msgspec

    stricter = msgspec.structs.replace(stricter, threshold="5")
    policies.change_criterion(criterion=public, spec=stricter, actor=FINANCE, now=NOW)
    assert get_criterion(public).version == 2
    for looser in ({"threshold": "50"}, {"lever": "notify"}, {"consecutive": 9}):
        with pytest.raises(NeedsApproval):
            policies.change_criterion(
                criterion=public,
                spec=msgspec.structs.replace(stricter, **looser),
                actor=FINANCE,
                now=NOW,
            )


def test_the_drill_finds_the_day_the_live_look_tripped(sound):
    make_tree()
    public = make_criterion()
    loop(10)
    look(public, at=NOW + MINUTE)
    row = get_criterion(public)
    before = KillCriterion.objects.values().get(id=row.id)
    found = drill(spec=spec_of(row), scope=scope_of(row), end=NOW + timedelta(hours=2))
    assert found.days == (row.tripped_at.date(),)
    assert found.trips[0].value == 10
    assert KillCriterion.objects.values().get(id=row.id) == before


def test_spend_of_an_hour_shows_in_the_watcher_at_once(sound):
    from policies.operations.evaluate_kill import Watcher

    make_tree()
    public = make_criterion()
    ticks = iter(range(0, 1_000))
    watcher = Watcher(now=lambda: NOW + MINUTE, monotonic=lambda: float(next(ticks)))
    watcher.round()
    assert get_criterion(public).state == "armed"
    loop(10, now=NOW + MINUTE - timedelta(seconds=5))
    watcher.round()
    watcher.round()
    assert get_criterion(public).state == "tripped"
