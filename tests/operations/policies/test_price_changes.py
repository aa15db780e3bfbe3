"""Do prices change by two people only, with the effect and the words they were shown?"""

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from ledger import facade as ledger
from ledger.models.price import PriceVersion
from o10.access import operations as access
from o10.access.keys import Caller, caller_of_person
from o10.access.roles import Role
from o10.kernel.errors import (
    Forbidden,
    O10Error,
    Rejected,
    SelfApproval,
    UnitMismatch,
    ValidationFailed,
)
from policies import facade as policies
from policies.core.approvals import BaseChanged
from policies.tasks import book_commitments as task_of_commitments
from policies.tasks import propose_prices as task_of_prices

from .company import DOLLAR, MODEL, NOW, PRICES, entries, make_tree
from .test_price_ledger import report

pytestmark = pytest.mark.usefixtures("sound")

SLUG = f"openai/{MODEL}"
DAY = timedelta(days=1)


def person(role: Role, name: str = "") -> Caller:
    row = access.create_person(
        email=f"{name or role}@acme.example",
        display_name=str(role),
        role=role,
        password=None,
        actor="system",
        now=NOW,
    )
    return caller_of_person(row)


@pytest.fixture
def finops() -> Caller:
    return person(Role.FINOPS)


@pytest.fixture
def controller() -> Caller:
    return person(Role.CONTROLLER)


def newer(tmp_path, **cards) -> str:
    table = {
        model: {"litellm_provider": "openai", "mode": "chat", **(card | cards.get(model, {}))}
        for model, card in PRICES.items()
    }
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(table))
    return str(path)


def refresh(tmp_path, actor: Caller | None, paid: float = 3e-06) -> policies.RefreshAsked:
    source = newer(tmp_path, **{MODEL: {"input_cost_per_token": paid}})
    catalogue = policies.read_catalogue(source=source)
    return policies.propose_price_refresh(catalogue=catalogue, actor=actor, now=NOW)


def draft(**changes) -> policies.PriceDraft:
    terms = {
        "venue": "openai",
        "model": MODEL,
        "source": "contract",
        "meters": {"input": [(0, 2 * DOLLAR)], "output": [(0, 10 * DOLLAR)]},
        "valid_from": NOW,
        "evidence": "Order form 7",
    }
    return policies.PriceDraft(**(terms | changes))


def paid(at: datetime = NOW) -> int:
    rated = ledger.rates_for(model=MODEL, at=at, total_input_tokens=1)
    return rated.rates.per_million["input"]


def test_a_refresh_waits_for_a_controller_who_is_not_its_maker(tmp_path, finops, controller):
    make_tree()
    report("a")
    asked = refresh(tmp_path, finops)
    assert asked.approval.needs == ("controller",)
    assert asked.approval.text.money_nanos == str(1_000 * 500)
    assert refresh(tmp_path, None).approval.id == asked.approval.id
    assert paid() == 2_500_000_000
    with pytest.raises((Forbidden, SelfApproval)):
        policies.approve(approval=asked.approval.id, actor=finops, now=NOW)
    done = policies.approve(approval=asked.approval.id, actor=controller, now=NOW + DAY)
    assert (done.state, done.result["price_version"]) == ("approved", "2")
    assert paid(NOW + DAY) == 3_000_000_000
    assert ledger.get_proposal(proposal=asked.id).ended_by == controller.principal


def test_list_prices_that_changed_meanwhile_void_the_request(tmp_path, finops, controller):
    asked = refresh(tmp_path, finops)
    source = newer(tmp_path, **{MODEL: {"input_cost_per_token": 2.6e-06}})
    ledger.load_catalogue(
        catalogue=ledger.read_catalogue(source=source), actor="system", now=NOW
    )
    with pytest.raises(BaseChanged):
        policies.approve(approval=asked.approval.id, actor=controller, now=NOW)
    assert paid() == 2_600_000_000


def test_a_contract_shows_its_effect_and_holds_once_approved(finops, controller):
    make_tree()
    report("a", at=NOW - 2 * DAY)
    view = policies.propose_price(draft=draft(), actor=finops, now=NOW, key="k")
    assert view.text.money_nanos == str(-(1_000 * 500 + 100 * 5_000))
    again = policies.propose_price(
        draft=draft(), actor=finops, now=NOW + timedelta(minutes=5), key="k"
    )
    assert again.id == view.id
    assert paid() == 2_500_000_000
    policies.approve(approval=view.id, actor=controller, now=NOW)
    assert paid() == 2 * DOLLAR
    line = policies.get_price_line(slug=SLUG, at=NOW)
    assert (line.source, line.approved_by) == ("contract", controller.principal)
    assert line.listed["input"] == 2_500_000_000
    end = policies.propose_price_end(
        rule_id=line.rule_id,
        slug=SLUG,
        ended_at=NOW + DAY,
        reason="Not renewed",
        actor=finops,
        now=NOW,
    )
    policies.approve(approval=end.id, actor=controller, now=NOW)
    assert paid(NOW + DAY) == 2_500_000_000
    rules = policies.list_rule_lines(slug=SLUG, at=NOW + DAY)
    assert [(rule.source, rule.holds) for rule in rules] == [
        ("contract", False),
        ("list", True),
    ]


def test_a_discount_is_fixed_off_the_list_price_of_the_day(finops, controller):
    view = policies.propose_price(
        draft=draft(meters={}, discount_ppm=125_000), actor=finops, now=NOW
    )
    policies.approve(approval=view.id, actor=controller, now=NOW)
    assert paid() == 2_500_000_000 * 875 // 1_000
    assert "12.5% off list" in policies.get_price_line(slug=SLUG, at=NOW).evidence


def test_free_by_policy_needs_its_word_and_a_second_person(finops, controller):
    zero = {"input": [(0, 0)], "output": [(0, 0)]}
    with pytest.raises(Rejected) as caught:
        policies.propose_price(draft=draft(meters=zero), actor=finops, now=NOW)
    assert caught.value.code == "validation_failed"
    view = policies.propose_price(
        draft=draft(meters=zero, free=("input", "output")), actor=finops, now=NOW
    )
    assert paid() == 2_500_000_000
    policies.approve(approval=view.id, actor=controller, now=NOW)
    assert paid() == 0
    assert policies.get_price_line(slug=SLUG, at=NOW).free


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"meters": {}}, "/meters"),
        ({"source": "list"}, "/source"),
        ({"tier": "gold"}, "/tier"),
        ({"threshold": "half"}, "/threshold"),
        ({"discount_ppm": 100_000}, "/discount"),
        ({"meters": {}, "discount_ppm": 0}, "/discount"),
        ({"meters": {}, "discount_ppm": 1, "tier": "flex"}, ""),
        ({"meters": {"gold": [(0, 1)]}}, "/meters/gold"),
        ({"meters": {"input": [(5, 1)]}}, "/meters/input"),
        ({"valid_to": NOW - DAY}, "/valid_to"),
        ({"evidence": " "}, "/evidence"),
        ({"model": "GPT"}, "/offer"),
    ],
)
def test_what_can_be_no_price_is_refused_before_anybody_is_asked(finops, changes, pointer):
    with pytest.raises(O10Error) as caught:
        policies.propose_price(draft=draft(**changes), actor=finops, now=NOW)
    assert caught.value.code in ("validation_failed", "not_found")
    assert pointer in [error.pointer for error in caught.value.errors] or not pointer
    assert PriceVersion.objects.count() == 1


def test_only_finance_asks_for_prices(controller):
    for actor in (controller, person(Role.ADMIN), person(Role.OWNER)):
        with pytest.raises(Forbidden):
            policies.propose_price(draft=draft(), actor=actor, now=NOW)
        with pytest.raises(Forbidden):
            policies.add_fx_rates(
                rates=[
                    ledger.FxRate(currency="EUR", rate="1", rate_date=NOW.date(), source="x")
                ],
                actor=actor,
                now=NOW,
            )


def test_a_price_without_a_rate_for_its_currency_is_refused(finops):
    with pytest.raises(UnitMismatch):
        policies.propose_price(draft=draft(currency="EUR"), actor=finops, now=NOW)


def test_a_doubted_row_is_released_by_two_people_with_a_reason(tmp_path, finops, controller):
    refresh(tmp_path, finops, paid=5e-06)
    row = policies.list_quarantine()[0]
    with pytest.raises(ValidationFailed):
        policies.propose_release(row_id=row.id, reason="", actor=finops, now=NOW)
    view = policies.propose_release(
        row_id=row.id, reason="Mail of the vendor, 19 Nov", actor=finops, now=NOW
    )
    assert paid() == 2_500_000_000
    policies.approve(approval=view.id, actor=controller, now=NOW)
    assert paid() == 5_000_000_000


def test_a_revaluation_is_shown_then_posted_by_the_second_person(finops, controller):
    make_tree()
    report("a", at=NOW - 2 * DAY)
    span = {"offers": [SLUG], "start": NOW - 9 * DAY, "end": NOW}
    with pytest.raises(ValidationFailed):
        policies.propose_revaluation(**span, reason="r", actor=finops, now=NOW)
    contract = policies.propose_price(
        draft=draft(valid_from=NOW - 5 * DAY), actor=finops, now=NOW
    )
    policies.approve(approval=contract.id, actor=controller, now=NOW)
    view = policies.propose_revaluation(
        **span, reason="Contract holds since the 15th", actor=finops, now=NOW
    )
    assert entries(kind=14) == []
    assert view.text.money_nanos == str(-1_000_000)
    done = policies.approve(approval=view.id, actor=controller, now=NOW)
    assert done.result["entries"] == "1"
    assert entries(kind=14)[0].amount_nanos == -1_000_000
    assert policies.check_conservation() == []


def test_a_commitment_is_agreed_by_two_and_booked_by_the_clock(finops, controller, clock):
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    terms = policies.CommitmentDraft(
        name="PTU",
        venue="ptu",
        model=MODEL,
        units=1,
        hourly_rate_nanos=2 * DOLLAR,
        unit_tokens=1_000_000,
        start_at=datetime(2026, 11, 18, tzinfo=UTC),
        end_at=datetime(2026, 12, 18, tzinfo=UTC),
        notice_date=date(2026, 12, 1),
        owner_kind="department",
        owner_slug="service",
        evidence="Order form 9",
    )
    view = policies.propose_commitment(draft=terms, actor=finops, now=NOW)
    assert view.text.money_nanos == str(730 * 2 * DOLLAR)
    assert policies.list_commitments(now=NOW) == ()
    done = policies.approve(approval=view.id, actor=controller, now=NOW)
    assert policies.book_commitments(now=NOW) == 2
    assert policies.book_commitments(now=NOW) == 0
    found = policies.get_commitment(public=done.result["commitment"], now=NOW)
    assert found.waste == found.charge == 48 * 2 * DOLLAR
    waste = entries(kind=16)[-1]
    # The owner's own envelope carries it, no use case.
    assert waste.use_case_id == 0
    assert waste.envelope_id != 0
    assert task_of_commitments() == 0


def test_the_job_of_the_clock_asks_once_and_loads_nothing():
    assert PriceVersion.objects.count() == 1
    first = task_of_prices()
    assert first.startswith("ppr_")
    assert task_of_prices() == first
    assert PriceVersion.objects.count() == 1
    waiting = policies.find_open(subject=first, now=NOW)
    assert [view.maker.id for view in waiting] == ["system"]


def sync(*arguments: str) -> str:
    out = StringIO()
    call_command("prices_sync", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_asks_a_second_person_and_loads_nothing(tmp_path, finops, clock):
    make_tree()
    report("a")
    dear = {"input_cost_per_token": 0.0032, "output_cost_per_token": 0.01}
    file = newer(tmp_path, **{MODEL: {"input_cost_per_token": 3e-06}, "gpt-x-pro": dear})
    assert "nobody was asked" in sync("--catalogue", file, "--dry-run")
    shown = sync("--catalogue", file, "--actor", "finops@acme.example")
    assert f"{SLUG} input: $2.50" in shown
    assert "openai/gpt-x-pro: too_dear" in shown
    assert "waits for: controller" in shown
    assert PriceVersion.objects.count() == 1
    assert sync("--catalogue", file).count("apr_") == 1
    for actor in ("nobody@acme.example",):
        with pytest.raises(CommandError):
            sync("--catalogue", file, "--actor", actor)
    with pytest.raises(CommandError, match="forbidden"):
        person(Role.ADMIN)
        sync("--catalogue", file, "--actor", "admin@acme.example")


def test_the_command_says_in_a_sentence_what_it_cannot_read(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("[1, 2]")
    for source in (str(bad), str(tmp_path / "absent.json")):
        with pytest.raises(CommandError, match="validation_failed"):
            sync("--catalogue", source)
