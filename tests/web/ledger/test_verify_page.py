"""Does the verification page say what was checked, what differs, what is not promised?"""

from datetime import timedelta

import pytest

from ledger import facade
from o10.kernel.figures import count_exact
from tests.web.reports.pages_company import NOW

pytestmark = pytest.mark.usefixtures("company")


def record(mode, *, finding=None, upto, at=NOW):
    facade.record_verification(
        ledger_id=facade.COMPANY_LEDGER,
        mode=mode,
        from_seq=0,
        upto_seq=upto,
        finding=finding,
        started_at=at,
        finished_at=at,
    )


def test_each_state_is_told_as_far_as_it_was_checked(browser, seal):
    reached = seal()
    page = browser.get("/ledger/verify/")
    assert "the verifier has not looked at the newest" in page.context["head"]["headline"]
    assert page.context["head"]["status"].word == "waiting"
    record(facade.VerifierMode.TAIL, upto=reached)
    tail = browser.get("/ledger/verify/").context["head"]
    assert tail["headline"].startswith(f"All {reached:,} entries verified as they were sealed")
    assert "first command below" in tail["subline"]
    record(facade.VerifierMode.FULL, upto=reached)
    full = browser.get("/ledger/verify/").context["head"]
    assert "nothing was changed, removed or put in between" in full["headline"]
    assert full["status"].word == "verified"


def test_the_figures_are_those_of_seal_and_checkpoint(browser, seal):
    reached = seal()
    page = browser.get("/ledger/verify/")
    kpis = {each["label"]: each["value"] for each in page.context["kpis"]}
    signed = facade.latest_checkpoint()
    assert kpis["Entries sealed"] == count_exact(reached)
    assert kpis["Signed size"] == count_exact(signed.size)
    assert page.context["checkpoint"]["note"] == signed.note
    assert browser.get(page.context["checkpoint"]["url"]).content.decode() == signed.note


def test_a_finding_is_named_on_every_ledger_page_until_all_is_verified_again(browser, seal):
    reached = seal()
    finding = facade.Finding(
        code="entry_changed",
        seq=4,
        uid="u",
        column="amount_nanos",
        expected="100",
        found="101",
        what="put back, the entry hashes to its leaf again",
    )
    record(facade.VerifierMode.TAIL, finding=finding, upto=reached, at=NOW)
    page = browser.get("/ledger/verify/")
    told = {fact["term"]: fact for fact in page.context["finding"]["facts"]}
    assert told["What differs"]["text"] == "entry changed"
    assert told["Entry"]["href"] == "/ledger/4/"
    assert (told["Expected"]["code"], told["Found"]["code"]) == ("100", "101")
    assert (
        browser.get("/ledger/")
        .context["head"]["headline"]
        .startswith("The ledger does not verify: Entry changed at entry 4, amount_nanos.")
    )
    entry = browser.get("/ledger/4/")
    assert "does not say what was sealed" in entry.context["head"]["headline"]
    assert [each["broken"] for each in entry.context["chain"]] == [
        each["seq"] == 4 for each in entry.context["chain"]
    ]
    later = NOW + timedelta(seconds=1)
    record(facade.VerifierMode.TAIL, upto=reached, at=later)
    assert browser.get("/ledger/verify/").context["finding"] is not None
    record(facade.VerifierMode.FULL, upto=reached, at=later)
    assert browser.get("/ledger/verify/").context["finding"] is None


def test_the_promise_is_printed_with_its_limits_and_the_commands(browser):
    page = browser.get("/ledger/verify/").content.decode()
    for text in (
        "cannot be changed unseen",
        "Rewriting before the first checkpoint outside",
        "Split views",
        "Truth of what was reported",
        "Trustworthy time",
        "RFC 3161",
        "o10 ledger_verify --full",
        "o10 ledger_export bundle",
        "verify.py bundle --trust my-checkpoint",
        "ledger.example.com/acme+",
    ):
        assert text in page


def test_a_machine_without_the_key_says_so(browser, settings, tmp_path):
    settings.O10_SIGNING_KEY_FILE = str(tmp_path / "nowhere.pem")
    assert b"None on this machine" in browser.get("/ledger/verify/").content
