"""Would `check --deploy` notice an installation that cannot be trusted?"""

from pathlib import Path

import psycopg
import pytest

from o10 import checks
from tests.conftest import Urls


@pytest.mark.django_db
def test_the_role_of_the_application_is_fit() -> None:
    assert checks.ledger_rows_cannot_be_changed() == []


def test_a_role_that_may_update_entries_is_an_error(committed_db: Urls) -> None:
    with psycopg.connect(committed_db.owner_url, autocommit=True) as owner:
        role = str(psycopg.conninfo.conninfo_to_dict(committed_db.app_url)["user"])
        owner.execute(f'GRANT UPDATE ON ledger_entry TO "{role}"')
        try:
            found = checks.ledger_rows_cannot_be_changed()
        finally:
            owner.execute(f'REVOKE UPDATE ON ledger_entry FROM "{role}"')
    assert [row.id for row in found] == ["o10.E002"]
    assert "ledger_entry" in found[0].msg


def test_a_signing_key_others_can_read_is_an_error(
    tmp_path: Path, settings: pytest.FixtureRequest
) -> None:
    key = tmp_path / "key.pem"
    key.write_text("-")
    settings.O10_SIGNING_KEY_FILE = str(key)  # type: ignore[attr-defined]
    key.chmod(0o644)
    assert [row.id for row in checks.signing_key_is_private()] == ["o10.E003"]
    key.chmod(0o600)
    assert checks.signing_key_is_private() == []
