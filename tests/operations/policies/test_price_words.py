"""Does a catalogue that was found unchanged stay fresh, and is a dismissal on record?"""

import json
from datetime import timedelta

import pytest

from ledger import facade as ledger
from ledger.models.document import Document
from ledger.models.price_proposal import PriceConfirmation
from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel.errors import Conflict, Forbidden, NotFound, ValidationFailed
from policies import facade as policies
from policies.core.approvals import BaseChanged
from policies.models import Organisation
from policies.queries.prices import price_view

from .company import CHEAP, MODEL, NOW, entries, make_caller, make_tree
from .test_price_changes import newer, person
from .test_price_ledger import catalogue

pytestmark = pytest.mark.usefixtures("sound")

DAY = timedelta(days=1)
LOADED = NOW - DAY
"""When the catalogue of the test company was loaded."""


def look(tmp_path, at=NOW, actor="system", **cards) -> ledger.ProposalMade:
    return ledger.propose_refresh(catalogue=catalogue(tmp_path, **cards), actor=actor, now=at)


def said() -> list[dict]:
    """What the entries of price changes without a version say, oldest first."""
    found = [each for each in entries(kind=22) if not each.price_version]
    documents = [Document.objects.get(hash=bytes(each.doc)) for each in found]
    return [json.loads(bytes(each.body)) for each in documents]


def test_an_unchanged_catalogue_is_on_record_and_keeps_prices_fresh(tmp_path):
    made = look(tmp_path, NOW + 40 * DAY, actor="usr_maker")
    assert (made.id, made.confirmed) == ("", True)
    found = ledger.last_confirmation()
    assert (found.actor, found.confirmed_at) == ("usr_maker", NOW + 40 * DAY)
    assert (found.content_hash, found.unchanged) == (made.proposal.sha256, 3)
    word = said()[0]
    assert (word["change"], word["actor"]) == ("confirmed", "usr_maker")
    assert word["catalogue"]["sha256"] == made.proposal.sha256
    assert word["unchanged"] == 3
    # 45 days from the look, not from the load; and no new price version.
    assert not ledger.prices_stale(at=LOADED + 46 * DAY)
    assert ledger.stale_after(ledger.price_book()) == NOW + 85 * DAY
    assert ledger.prices_stale(at=NOW + 86 * DAY)
    assert ledger.price_book().version == 1


def test_without_a_look_the_same_prices_grow_old(tmp_path):
    assert not ledger.prices_stale(at=LOADED + 45 * DAY)
    assert ledger.prices_stale(at=LOADED + 45 * DAY + timedelta(seconds=1))


def test_a_look_reaches_the_decision_without_a_new_version(tmp_path):
    late = NOW + 50 * DAY

    def stale() -> bool:
        view = price_view(currency="USD")
        return view.priced(
            model=MODEL, venue=None, region=None, input_bound=1, max_output=1, n=1, at=late
        ).price.stale

    assert stale()
    look(tmp_path, late)
    assert not stale()


def test_a_day_has_one_word_and_the_next_day_another(tmp_path):
    look(tmp_path, NOW)
    look(tmp_path, NOW + timedelta(hours=3), actor="usr_maker")
    assert PriceConfirmation.objects.count() == 1
    look(tmp_path, NOW + DAY)
    assert [row.actor for row in PriceConfirmation.objects.order_by("id")] == ["system"] * 2


def test_a_file_of_a_few_offers_and_a_change_that_waits_confirm_nothing(tmp_path):
    one = {
        MODEL: {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": 2.5e-06,
            "output_cost_per_token": 1.5e-05,
        }
    }
    path = tmp_path / "few.json"
    path.write_text(json.dumps(one))
    few = ledger.read_catalogue(source=str(path))
    assert not ledger.propose_refresh(catalogue=few, actor="system", now=NOW).confirmed
    changed = look(tmp_path, NOW, **{MODEL: {"input_cost_per_token": 3e-06}})
    assert (bool(changed.id), changed.confirmed) == (True, False)
    again = look(tmp_path, NOW, **{MODEL: {"input_cost_per_token": 3e-06}})
    assert (again.id, again.confirmed) == (changed.id, False)
    assert ledger.last_confirmation() is None


def test_the_stale_alert_is_raised_without_a_look_and_silent_after_one(tmp_path):
    Organisation.objects.create(slug="acme", name="Acme", created_at=NOW, created_by="system")
    make_tree()
    late = LOADED + 46 * DAY

    def raised(now) -> int:
        policies.evaluate_alerts(now=now)
        found = policies.list_alerts(now=now, kind="price_book_stale").items
        return len(found)

    look(tmp_path, late)
    assert raised(late) == 0
    assert raised(late + 45 * DAY) == 0
    assert raised(late + 46 * DAY) == 1


@pytest.fixture
def finops() -> Caller:
    return person(Role.FINOPS)


def doubted(tmp_path) -> ledger.QuarantinedView:
    """The row of a model that moved by 60 %."""
    look(tmp_path, NOW, **{CHEAP: {"input_cost_per_token": 1.2e-06}})
    return ledger.list_quarantine()[0]


def test_a_doubted_row_is_dismissed_with_a_reason_and_by_name(tmp_path, finops):
    row = doubted(tmp_path)
    with pytest.raises(ValidationFailed):
        policies.dismiss_price_row(row_id=row.id, reason=" ", actor=finops, now=NOW)
    with pytest.raises(Forbidden):
        policies.dismiss_price_row(row_id=row.id, reason="x", actor=make_caller(), now=NOW)
    done = policies.dismiss_price_row(
        row_id=row.id, reason="A typo of the maker", actor=finops, now=NOW
    )
    assert (done.state, done.dismissed_by) == ("dismissed", finops.principal)
    assert (done.reason, done.dismissed_at) == ("A typo of the maker", NOW)
    assert ledger.list_quarantine() == ()
    assert [each.id for each in ledger.list_decided_quarantine()] == [row.id]
    word = said()[-1]
    assert (word["change"], word["actor"], word["reason"]) == (
        "dismissed",
        finops.principal,
        "A typo of the maker",
    )
    # The same content is not doubted a second time; no price moved.
    doubted_again = look(tmp_path, NOW + DAY, **{CHEAP: {"input_cost_per_token": 1.2e-06}})
    assert doubted_again.proposal.quarantined
    assert ledger.list_quarantine() == ()
    assert ledger.price_book().version == 1


def test_a_row_is_dismissed_once_and_never_after_its_release(tmp_path, finops):
    row = doubted(tmp_path)
    both = {"actor": finops, "now": NOW}
    policies.dismiss_price_row(row_id=row.id, reason="A typo", **both)
    count = len(entries())
    assert policies.dismiss_price_row(row_id=row.id, reason="A typo", **both).reason == "A typo"
    assert len(entries()) == count
    with pytest.raises(Conflict):
        policies.dismiss_price_row(row_id=row.id, reason="Another reason", **both)
    with pytest.raises(NotFound):
        policies.dismiss_price_row(row_id=999, reason="x", **both)
    # Two people may still believe it; then that is the last word.
    ledger.apply_release(
        row_id=row.id, reason="Mail", requested_by="usr_a", approved_by="usr_b", now=NOW
    )
    assert ledger.get_quarantined(row_id=row.id).state == "released"
    with pytest.raises(Conflict):
        policies.dismiss_price_row(row_id=row.id, reason="A typo again", **both)


def test_a_request_for_release_that_waits_is_void_after_a_dismissal(tmp_path, finops):
    row = doubted(tmp_path)
    asked = policies.propose_release(
        row_id=row.id, reason="Vendor mail", actor=finops, now=NOW, key="k"
    )
    policies.dismiss_price_row(row_id=row.id, reason="A typo", actor=finops, now=NOW)
    with pytest.raises(BaseChanged):
        policies.approve(approval=asked.id, actor=person(Role.CONTROLLER), now=NOW)
    assert ledger.get_quarantined(row_id=row.id).state == "dismissed"


def test_the_command_says_what_was_confirmed(tmp_path, capsys):
    from django.core.management import call_command

    call_command("prices_sync", "--catalogue", newer(tmp_path))
    assert "Confirmed unchanged today." in capsys.readouterr().out
