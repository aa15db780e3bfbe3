"""Do proposals, releases, rates, revaluations and commitments book exactly, and once?"""

import json
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from django.db import connection

from ledger import facade as ledger
from ledger.models.document import Document
from ledger.queries.price_basis import price_basis
from ledger.queries.price_integrity import find_altered_prices
from o10.kernel.errors import UnitMismatch, ValidationFailed
from o10.wire.facts import UsageRecord
from policies import facade as policies

from .company import CHEAP, DOLLAR, MODEL, NOW, PRICES, ROUTER, ask, entries, make_tree, pay

pytestmark = pytest.mark.usefixtures("sound")

DAY = timedelta(days=1)
KEY = ledger.OfferKey("openai", MODEL)
BOTH = {"requested_by": "usr_maker", "approved_by": "usr_checker"}


def catalogue(tmp_path, **cards):
    table = {
        model: {"litellm_provider": "openai", "mode": "chat", **(card | cards.get(model, {}))}
        for model, card in PRICES.items()
    }
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(table))
    return ledger.read_catalogue(source=str(path))


def catalogue_of(table) -> ledger.Catalogue:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.json"
        path.write_text(json.dumps(table))
        return ledger.read_catalogue(source=str(path))


def report(
    key: str, *, at: datetime = NOW - DAY, model: str = MODEL, used=(1_000, 100), **more
):
    record = msgspec.convert(
        {
            "id": key,
            "source": "test",
            "at": at,
            "use_case": "support",
            "model": model,
            "usage": {"input_tokens": used[0], "output_tokens": used[1]},
            **more,
        },
        UsageRecord,
    )
    ledger.record_usage(records=[record], caller=ROUTER, now=NOW)


def amounts() -> list[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT uid::text, amount_nanos FROM ledger_entry ORDER BY id")
        return cursor.fetchall()


def price(**changes) -> ledger.OwnPrice:
    terms = {
        "offer": KEY,
        "source": ledger.PriceSource.CONTRACT,
        "meters": {
            "input": [ledger.Bracket(0, 2_000_000_000)],
            "output": [ledger.Bracket(0, 10_000_000_000)],
        },
        "valid_from": NOW - 10 * DAY,
        "evidence": "Order form 7",
        "approved_by": "usr_checker",
    }
    return ledger.OwnPrice(**(terms | changes))


def test_a_proposal_shows_the_exact_effect_and_changes_nothing(tmp_path):
    make_tree()
    report("a", used=(1_000, 100))
    report("b", at=NOW - 29 * DAY, used=(333, 77))
    report("old", at=NOW - 31 * DAY)
    before = amounts()
    made = ledger.propose_refresh(
        catalogue=catalogue(tmp_path, **{MODEL: {"input_cost_per_token": 3e-06}}),
        actor="system",
        now=NOW,
    )
    view = ledger.get_proposal(proposal=made.id)
    effect = view.body["effect"]
    assert effect["total"]["delta"] == str(1_333 * 500)
    assert effect["by_offer"]["openai/gpt-x"]["calls"] == 2
    assert list(effect["by_use_case"].values())[0]["delta"] == str(1_333 * 500)
    assert (view.state, view.body["changes"][0]["after"]) == ("open", "3000000000")
    assert amounts() == before
    again = ledger.propose_refresh(
        catalogue=catalogue(tmp_path, **{MODEL: {"input_cost_per_token": 3e-06}}),
        actor="system",
        now=NOW + DAY,
    )
    assert (again.id, again.fresh) == (made.id, False)


def test_an_approved_proposal_holds_from_approval_on_and_once(tmp_path):
    made = ledger.propose_refresh(
        catalogue=catalogue(tmp_path, **{MODEL: {"input_cost_per_token": 3e-06}}),
        actor="system",
        now=NOW,
    )
    approved = NOW + 3 * DAY
    version, uid = ledger.apply_refresh(proposal=made.id, now=approved, **BOTH)
    assert uid is not None

    def paid(at):
        rated = ledger.rates_for(model=MODEL, at=at, total_input_tokens=1)
        return rated.rates.per_million["input"]

    assert paid(approved - timedelta(microseconds=1)) == 2_500_000_000
    assert paid(approved) == 3_000_000_000
    assert ledger.apply_refresh(proposal=made.id, now=approved, **BOTH) == (version, None)
    assert ledger.get_proposal(proposal=made.id).state == "applied"
    assert find_altered_prices() is None


def test_a_newer_proposal_takes_the_place_of_an_open_one(tmp_path):
    first = ledger.propose_refresh(
        catalogue=catalogue(tmp_path, **{MODEL: {"input_cost_per_token": 3e-06}}),
        actor="system",
        now=NOW,
    )
    second = ledger.propose_refresh(
        catalogue=catalogue(tmp_path, **{MODEL: {"input_cost_per_token": 2.75e-06}}),
        actor="system",
        now=NOW,
    )
    assert ledger.get_proposal(proposal=first.id).state == "superseded"
    with pytest.raises(ledger.ProposalVoid):
        ledger.apply_refresh(proposal=first.id, now=NOW, **BOTH)
    # A contract leaves the list prices, and so the open proposal, as they are.
    ledger.add_price(price=price(), actor="usr_maker", now=NOW)
    assert ledger.get_proposal(proposal=second.id).state == "open"
    ledger.apply_refresh(proposal=second.id, now=NOW, **BOTH)


def test_what_moved_by_more_than_a_quarter_waits_for_a_person_with_a_reason(tmp_path):
    made = ledger.propose_refresh(
        catalogue=catalogue(
            tmp_path,
            **{
                MODEL: {"input_cost_per_token": 4e-06},
                CHEAP: {"input_cost_per_token": 8e-07},
            },
        ),
        actor="system",
        now=NOW,
    )
    ledger.apply_refresh(proposal=made.id, now=NOW, **BOTH)
    rated = ledger.rates_for(model=MODEL, at=NOW, total_input_tokens=1)
    assert rated.rates.per_million["input"] == 2_500_000_000
    row = ledger.list_quarantine()[0]
    assert (row.slug, row.doubts) == ("openai/gpt-x", ("moved_over_a_quarter",))
    with pytest.raises(ValidationFailed):
        ledger.apply_release(row_id=row.id, reason=" ", now=NOW, **BOTH)
    later = NOW + DAY
    said = {"row_id": row.id, "reason": "Vendor mail of 20 Nov", "now": later, **BOTH}
    version, _ = ledger.apply_release(**said)
    assert ledger.apply_release(**said) == (version, None)
    rated = ledger.rates_for(model=MODEL, at=later, total_input_tokens=1)
    assert rated.rates.per_million["input"] == 4_000_000_000
    assert ledger.list_quarantine() == ()
    assert ledger.list_quarantine(waiting_only=False)[0].released_by == "usr_checker"
    assert find_altered_prices() is None


def test_p16_a_price_in_rupees_books_dollars_at_the_dated_rate_and_stays(tmp_path):
    tree = make_tree()
    rupees = price(
        currency="INR",
        valid_from=NOW - 5 * DAY,
        meters={
            "input": [ledger.Bracket(0, 200 * DOLLAR)],
            "output": [ledger.Bracket(0, 1_000 * DOLLAR)],
        },
    )
    with pytest.raises(UnitMismatch):
        ledger.add_price(price=rupees, actor="usr_maker", now=NOW)
    rates = [
        ledger.FxRate(currency="INR", rate=rate, rate_date=day, source="RBI")
        for rate, day in (("0.012", date(2026, 11, 1)), ("0.0125", date(2026, 11, 20)))
    ]
    added = ledger.add_fx_rates(rates=rates, actor="usr_maker", now=NOW)
    assert (added.added, added.known) == (2, 0)
    assert ledger.add_fx_rates(rates=rates, actor="usr_maker", now=NOW).known == 2
    ledger.add_price(price=rupees, actor="usr_maker", now=NOW)
    report("before", at=NOW - DAY, used=(1_000, 100))
    answer = ask()
    assert answer["decision"] == "allow"
    pay(answer)
    first, second = entries(kind=13)[-1], entries(kind=4)[-1]
    # 1,000 x 200 + 100 x 1,000 rupees a million at 0.012; 1,200 and 310 at 0.0125.
    assert first.amount_nanos == 1_000 * 2_400 + 100 * 12_000
    assert second.amount_nanos == 1_200 * 2_500 + 310 * 12_500
    basis = price_basis(entry=stored_entry(second), booked=second.amount_nanos)
    assert (basis.fx, basis.agreement) == ("INR at 0.0125 of 2026-11-20", "agrees")
    before = amounts()
    ledger.add_fx_rates(
        rates=[
            ledger.FxRate(
                currency="INR", rate="0.02", rate_date=date(2026, 11, 20), source="RBI"
            )
        ],
        actor="usr_maker",
        now=NOW,
    )
    assert amounts()[: len(before)] == before
    line = ledger.get_price_line(slug="openai/gpt-x", at=NOW)
    assert (line.currency, line.fx_rate, line.fx_date) == ("INR", "0.02", "2026-11-20")
    assert find_altered_prices() is None
    settle = {
        "currency": "INR",
        "rate": "0.013",
        "paid_on": date(2026, 11, 20),
        "start": NOW - 2 * DAY,
        "end": NOW + DAY,
        "reason": "Invoice 88",
        "now": NOW + timedelta(hours=1),
        **BOTH,
    }
    done = ledger.settle_fx(**settle)
    stated = 1_000 * 200_000 + 100 * 1_000_000 + 1_200 * 200_000 + 310 * 1_000_000
    booked = first.amount_nanos + second.amount_nanos
    assert done.delta == stated * 13 // 1_000 - booked
    assert ledger.settle_fx(**settle).entries == 0
    adjust = entries(kind=9)[-1]
    assert adjust.amount_nanos == done.delta
    assert policies.get_envelope(envelope=tree["use_case"].id, now=NOW).settled is not None


def stored_entry(row):
    return ledger.get_by_uid(ledger_id=1, uid=row.uid).entry


def test_p10_p25_a_corrected_past_price_posts_the_difference_and_edits_nothing():
    make_tree(use_case=DOLLAR)
    report("a", at=NOW - 2 * DAY)
    report("b", at=NOW - 40 * DAY, used=(10, 10))
    report("other", model=CHEAP)
    pay(ask())
    before = amounts()
    ledger.add_price(price=price(valid_from=NOW - 60 * DAY), actor="usr_maker", now=NOW)
    assert amounts()[: len(before)] == before
    span = {"offers": [KEY], "start": NOW - 60 * DAY, "end": NOW + DAY}
    plan = ledger.plan_revaluation(**span)
    wanted = (
        -(1_000 * 500 + 100 * 5_000) - (10 * 500 + 10 * 5_000) - (1_200 * 500 + 310 * 5_000)
    )
    assert (plan.entries, plan.delta) == (3, wanted)
    done = ledger.revalue(**span, reason="Contract 7 holds since September", now=NOW, **BOTH)
    assert (done.entries, done.delta) == (3, wanted)
    again = ledger.revalue(**span, reason="Contract 7 holds since September", now=NOW, **BOTH)
    assert (again.entries, again.delta) == (0, 0)
    assert amounts()[: len(before)] == before
    posted = sorted(entries(kind=14), key=lambda each: -each.effective_at.timestamp())
    assert [each.amount_nanos for each in posted] == [
        -(1_200 * 500 + 310 * 5_000),
        -(1_000 * 500 + 100 * 5_000),
        -(10 * 500 + 10 * 5_000),
    ]
    assert posted[2].effective_at == NOW - 40 * DAY
    # The next correction starts from what the first one left.
    ledger.add_price(
        price=price(
            source=ledger.PriceSource.OVERRIDE,
            meters={"input": [ledger.Bracket(0, 2_500_000_000)]},
            valid_from=NOW - 60 * DAY,
        ),
        actor="usr_maker",
        now=NOW,
    )
    more = ledger.revalue(**span, reason="Input at list after all", now=NOW, **BOTH)
    assert more.delta == (1_000 + 10 + 1_200) * 500
    of_settle = ledger.list_revaluations_of(uid=str(entries(kind=4)[-1].uid))
    assert [each.delta for each in of_settle] == [-(1_200 * 500 + 310 * 5_000), 1_200 * 500]


def test_usage_without_a_price_finds_it_by_revaluation():
    make_tree()
    new = ledger.OfferKey("openai", "gpt-x", tier=ledger.Tier.FLEX)
    ledger.add_price(
        price=price(offer=new, meters={"input": [ledger.Bracket(0, DOLLAR)]}),
        actor="usr_maker",
        now=NOW,
    )
    report("a", service_tier="flex")
    assert entries(kind=13)[-1].amount_nanos == 0
    ledger.add_price(
        price=price(offer=new, meters={"output": [ledger.Bracket(0, 4 * DOLLAR)]}),
        actor="usr_maker",
        now=NOW,
    )
    done = ledger.revalue(
        offers=[new],
        start=NOW - 2 * DAY,
        end=NOW,
        reason="Output price agreed",
        now=NOW,
        **BOTH,
    )
    assert done.delta == 1_000 * 1_000 + 100 * 4_000


def commitment(**changes) -> ledger.CommitmentDraft:
    terms = {
        "name": "PTU Frankfurt",
        "venue": "ptu",
        "model": MODEL,
        "units": 2,
        "hourly_rate_nanos": 3 * DOLLAR,
        "unit_tokens": 1_000_000,
        "start_at": datetime(2026, 11, 17, tzinfo=UTC),
        "end_at": datetime(2026, 12, 17, tzinfo=UTC),
        "notice_date": date(2026, 12, 1),
        "owner_kind": "use_case",
        "owner_slug": "support",
        "evidence": "Order form 12",
    }
    return ledger.CommitmentDraft(**(terms | changes))


def place_of(kind: str, slug: str, at: datetime):
    from ledger.operations.keep_exposure import PlaceQuery, find_places

    return find_places(
        [PlaceQuery(use_case=slug, environment=None, customer=None, run_id=None, at=at)]
    )[0]


def book(now=NOW) -> int:
    return ledger.book_commitments(place_of=place_of, actor="system", now=now)


def test_a_commitment_books_its_charge_as_used_and_waste_once_a_day():
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    terms = ledger.set_commitment(draft=commitment(), now=NOW, **BOTH)
    day = datetime(2026, 11, 18, tzinfo=UTC)
    report(
        "p",
        at=day + timedelta(hours=3),
        model=MODEL,
        used=(1_500_000, 100_000),
        venue="ptu",
        calls=100,
    )
    report(
        "q",
        at=day + timedelta(hours=5),
        model=MODEL,
        used=(2_900_000, 100_000),
        venue="ptu",
        calls=100,
    )
    assert [each.amount_nanos for each in entries(kind=13)] == [0, 0]
    assert book() == 3
    assert book() == 0
    charge = 24 * 2 * 3 * DOLLAR
    lines = lines_of(entries(kind=16))
    assert lines["used"] + lines["waste"] == 3 * charge
    # 3 M tokens in an hour of 2 M: a third of 2.9 M x 2.50 + 0.1 M x 15.00, from another venue.
    assert lines["on_demand"] == 2_916_666_667
    bought = [each for each in entries(kind=16) if said(each)["line"] == "on_demand"]
    assert [(said(each)["priced_by"], each.flags & 7) for each in bought] == [
        ("openai/gpt-x", ledger.Basis.ESTIMATED)
    ]
    view = ledger.get_commitment(public=terms.public, now=NOW)
    line = view.days[1]
    assert (line.used, line.beyond, line.capacity) == (3_600_000, 1_000_000, 48_000_000)
    assert line.waste == charge * (48_000_000 - 3_600_000) // 48_000_000
    assert line.used_nanos + line.waste == line.charge == charge
    # The same calls at the list price of the venue that sells the model.
    assert line.on_demand == 4_400_000 * 2_500 + 200_000 * 15_000
    assert view.break_even_tokens is not None
    assert view.users == {"support": (3_600_000, line.used_nanos, 2_916_666_667)}
    assert (view.beyond_nanos, view.beyond_unpriced) == (2_916_666_667, 0)
    # 30 days of 24 hours at 6.00: three of them booked.
    assert (view.term.total, view.term.charged) == (720 * 6 * DOLLAR, 3 * charge)
    assert (view.term.left, view.term.hours_left) == (648 * 6 * DOLLAR, 648)
    assert view.term.waste == 3 * charge - line.used_nanos


def said(entry) -> dict:
    return json.loads(bytes(Document.objects.get(hash=bytes(entry.doc)).body))


def lines_of(booked) -> dict[str, int]:
    sums = {"used": 0, "waste": 0, "on_demand": 0}
    for each in booked:
        sums[said(each)["line"]] += each.amount_nanos
    return sums


def test_each_line_of_a_charge_belongs_to_its_part_of_full_cost():
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    ledger.set_commitment(draft=commitment(), now=NOW, **BOTH)
    report("p", at=NOW - DAY, used=(3_000_000, 0), venue="ptu", calls=100)
    book()
    parts = {
        said(each)["line"]: ledger.meanings_of(domain="dims", numbers=[each.dims_id])
        for each in entries(kind=16)
    }
    assert {line: list(each.values())[0]["component"] for line, each in parts.items()} == {
        "used": "commitment_used",
        "waste": "commitment_waste",
        "on_demand": "direct",
    }


def test_a_venue_that_refuses_beyond_its_capacity_bills_nothing_more():
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    terms = ledger.set_commitment(draft=commitment(beyond="refused"), now=NOW, **BOTH)
    report("p", at=NOW - DAY, used=(3_000_000, 0), venue="ptu", calls=100)
    book()
    assert lines_of(entries(kind=16))["on_demand"] == 0
    assert ledger.get_commitment(public=terms.public, now=NOW).beyond == 1_000_000


def test_beyond_without_a_price_waits_for_one_and_is_never_zero():
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    other = commitment(model="unlisted", start_at=NOW - 9 * DAY)
    terms = ledger.set_commitment(draft=other, now=NOW, **BOTH)
    report("p", at=NOW - 8 * DAY, model="unlisted", used=(3_000_000, 0), venue="ptu", calls=9)
    assert book() == 9
    view = ledger.get_commitment(public=terms.public, now=NOW)
    assert (view.beyond_nanos, view.beyond_unpriced) == (0, 1_000_000)
    assert lines_of(entries(kind=16))["on_demand"] == 0
    # A catalogue that prices the model takes its own dates where there was no list price.
    table = {
        "unlisted": {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": 2e-06,
            "output_cost_per_token": 8e-06,
        }
    }
    ledger.load_catalogue(catalogue=catalogue_of(table), actor="system", now=NOW)
    # The day is older than the three that are looked at anyway.
    assert book(NOW + timedelta(hours=1)) == 1
    assert lines_of(entries(kind=16))["on_demand"] == 2 * DOLLAR
    view = ledger.get_commitment(public=terms.public, now=NOW)
    assert (view.beyond_nanos, view.beyond_unpriced) == (2 * DOLLAR, 0)
    assert book(NOW + timedelta(hours=2)) == 0


def test_a_list_price_that_moves_later_does_not_book_a_day_anew(tmp_path):
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    ledger.set_commitment(draft=commitment(), now=NOW, **BOTH)
    report("p", at=NOW - DAY, used=(3_000_000, 0), venue="ptu", calls=100)
    book()
    before = amounts()
    ledger.load_catalogue(
        catalogue=catalogue(tmp_path, **{MODEL: {"input_cost_per_token": 3e-06}}),
        actor="system",
        now=NOW,
    )
    assert book(NOW + timedelta(hours=1)) == 0
    # The one entry more is that of the price version.
    assert amounts()[: len(before)] == before
    assert len(amounts()) == len(before) + 1


def test_late_usage_restates_the_split_and_not_the_charge():
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    terms = ledger.set_commitment(draft=commitment(), now=NOW, **BOTH)
    assert book() == 3
    total = sum(each.amount_nanos for each in entries(kind=16))
    late = datetime(2026, 11, 19, 7, tzinfo=UTC)
    report("late", at=late, used=(1_000_000, 0), venue="ptu", calls=100)
    assert book(NOW + timedelta(hours=1)) == 1
    assert sum(each.amount_nanos for each in entries(kind=16)) == total
    view = ledger.get_commitment(public=terms.public, now=NOW)
    assert (view.days[-1].revision, view.days[-1].used) == (1, 1_000_000)
    assert book(NOW + timedelta(hours=2)) == 0


def test_a_change_of_units_is_a_new_version_from_its_start():
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    terms = ledger.set_commitment(draft=commitment(), now=NOW, **BOTH)
    assert ledger.set_commitment(draft=commitment(), now=NOW, **BOTH).public == terms.public
    noon = datetime(2026, 11, 19, 12, tzinfo=UTC)
    newer = ledger.set_commitment(
        draft=commitment(units=1, start_at=noon), public=terms.public, now=NOW, **BOTH
    )
    assert newer.version == 2
    book()
    days = ledger.get_commitment(public=terms.public, now=NOW).days
    assert [each.charge for each in days] == [
        24 * 6 * DOLLAR,
        24 * 6 * DOLLAR,
        12 * 6 * DOLLAR + 12 * 3 * DOLLAR,
    ]


def test_a_commitment_in_euros_is_charged_at_the_rate_of_its_day():
    make_tree(use_case=1_000 * DOLLAR, department=2_000 * DOLLAR, company=9_000 * DOLLAR)
    with pytest.raises(UnitMismatch):
        ledger.set_commitment(draft=commitment(currency="EUR"), now=NOW, **BOTH)
    ledger.add_fx_rates(
        rates=[
            ledger.FxRate(currency="EUR", rate=rate, rate_date=day, source="ECB")
            for rate, day in (("1.08", date(2026, 11, 1)), ("1.1", date(2026, 11, 19)))
        ],
        actor="usr_maker",
        now=NOW,
    )
    terms = ledger.set_commitment(draft=commitment(currency="EUR"), now=NOW, **BOTH)
    book()
    days = ledger.get_commitment(public=terms.public, now=NOW).days
    stated = 24 * 6 * DOLLAR
    assert [each.charge for each in days] == [
        stated * 108 // 100,
        stated * 108 // 100,
        stated * 110 // 100,
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("units", 0),
        ("unit_tokens", 0),
        ("hourly_rate_nanos", -1),
        ("evidence", " "),
        ("venue", "PTU"),
        ("end_at", datetime(2026, 11, 17, tzinfo=UTC)),
        ("notice_date", date(2027, 1, 1)),
        ("owner_kind", "person"),
        ("beyond", "perhaps"),
    ],
)
def test_terms_that_cannot_be_are_refused_by_field(field, value):
    with pytest.raises(ValidationFailed) as caught:
        ledger.set_commitment(draft=commitment(**{field: value}), now=NOW, **BOTH)
    assert caught.value.errors


def test_rates_from_a_csv_name_the_bad_row():
    good = "currency,rate,date\nEUR,1.0842,2026-11-19\n"
    assert ledger.read_fx_csv(good, source="ECB")[0].rate == "1.0842"
    with pytest.raises(ValidationFailed) as caught:
        ledger.read_fx_csv(good + "EUR,1.1,tomorrow\n", source="ECB")
    assert caught.value.errors[0].pointer == "/2/date"
    with pytest.raises(ValidationFailed):
        ledger.read_fx_csv("a,b\n1,2\n", source="ECB")
    with pytest.raises(ValidationFailed) as caught:
        ledger.add_fx_rates(
            rates=[
                ledger.FxRate(currency="USD", rate="1", rate_date=NOW.date(), source="x"),
                ledger.FxRate(
                    currency="EUR", rate="1", rate_date=NOW.date() + 2 * DAY, source=""
                ),
            ],
            actor="usr_maker",
            now=NOW,
        )
    assert {error.pointer for error in caught.value.errors} == {
        "/0/currency",
        "/1/date",
        "/1/source",
    }
