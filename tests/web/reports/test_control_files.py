"""Do kill criteria, alerts, rules and changes leave as files, on the path of their page?"""

import io
import json
import zipfile

import pytest

from o10.access.roles import Role
from policies import facade as policies
from tests.company import caller
from tests.web.reports.pages_company import NOW

PATHS = ("policies/kill-criteria", "alerts", "alerts/rules", "alerts/changes")


@pytest.fixture
def finops(company):
    return company.client(Role.FINOPS)


@pytest.mark.parametrize("path", PATHS)
def test_the_rows_of_a_page_leave_as_csv_xlsx_and_json(finops, path):
    policies.raise_alert(
        kind="seal_lag",
        subject="ledger",
        window="2026-11-20T09Z",
        title="=1+1 is no formula",
        detail="",
        severity="critical",
        now=NOW,
    )
    page = finops.get(f"/{path}/").content.decode()
    told = json.loads(finops.get(f"/{path}.json").content)
    csv = finops.get(f"/{path}.csv")
    book = zipfile.ZipFile(io.BytesIO(finops.get(f"/{path}.xlsx").content))
    assert f"/{path}.csv" in page or "No rule" in page or "No change" in page
    assert csv["Content-Type"].startswith("text/csv")
    assert csv["X-O10-Ledger-Position"].isdigit()
    assert "xl/worksheets/sheet1.xml" in book.namelist()
    if path == "alerts":
        assert "=1+1 is no formula" in [row["title"] for row in told["items"]]
        assert "'=1+1 is no formula" in csv.content.decode()


def test_the_history_of_a_criterion_leaves_as_a_file(finops):
    public = policies.create_criterion(
        draft=policies.CriterionDraft(
            name="File me",
            scope_kind="company",
            spec=policies.KillSpec(metric="error_rate", threshold="0.5", lever="freeze"),
        ),
        actor=caller(Role.FINOPS),
        now=NOW,
    )
    told = json.loads(finops.get(f"/policies/kill-criteria/{public}.json").content)
    assert [row["what"] for row in told["items"]] == ["create"]
    assert finops.get("/policies/kill-criteria/kil_nothere.csv").status_code == 404
