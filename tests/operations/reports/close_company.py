"""Which company closes its months in these tests? Committed, with a sealer and a verifier."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client, override_settings

from ledger import facade as ledger
from o10.access import keys, operations
from o10.access.roles import Role
from o10.kernel import clock as kernel_clock
from policies import facade as policies
from tests.web.reports.pages_company import NOW, PagesCompany, pages_company, seal_all


@dataclass
class Books:
    """The company, the clock of its doors, and what runs beside: sealer and verifier."""

    company: PagesCompany
    urls: Any
    home: Path
    at: datetime = NOW
    scripts: dict[Role, Client] = field(default_factory=dict)

    def seal(self) -> str:
        """Seals, signs and verifies all there is, a minute later; what the verifier said."""
        self.at += timedelta(minutes=1)
        seal_all(self.urls, self.home, self.at)
        told = io.StringIO()
        call_command("ledger_verify", "--full", stdout=told, stderr=io.StringIO())
        return told.getvalue()

    def script(self, role: Role) -> Client:
        """A program with a key of this role."""
        if role not in self.scripts:
            keys.forget()
            made = operations.create_key(
                name=f"{role} script",
                role=role,
                use_cases=None,
                actor=operations.COMMAND_LINE,
                now=self.at,
            )
            secret = {"HTTP_AUTHORIZATION": f"Bearer {made.secret.text}"}
            self.scripts[role] = Client(raise_request_exception=False, **secret)
        return self.scripts[role]


def closing_books(urls: Any, blocker: Any, home: Path) -> Iterator[Books]:
    """The page company with keys that may approve; emptied at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_clock, "now", lambda: NOW)
        made = pages_company(urls, blocker, home)
        books = Books(next(made), urls, home)
        patch.setattr(kernel_clock, "now", lambda: books.at)
        settings = override_settings(
            O10_SIGNING_KEY_FILE=str(home / "ledger.pem"), O10_HOME=home
        )
        with settings, blocker.unblock():
            policies.found_approval_policy(
                policy=policies.ApprovalPolicy(keys_may_approve=True),
                actor=operations.COMMAND_LINE,
                now=NOW,
            )
            try:
                yield books
            finally:
                next(made, None)


def october() -> ledger.PeriodSums:
    """What has October?"""
    row = ledger.get_period("2026-10")
    return ledger.sum_period(starts_at=row.starts_at, ends_at=row.ends_at)


def spent_on_the_third() -> int:
    """What the company spent in October at openai: one day, one model. Nanos."""
    row = ledger.get_period("2026-10")
    cells = ledger.sum_by_day(starts_at=row.starts_at, ends_at=row.ends_at)
    return sum(nanos for day, _, _, nanos in cells if str(day) == "2026-10-03")


def bill(*lines: str, header: str = "id,date,venue,model,amount,currency,invoice") -> bytes:
    """A bill as a plain CSV."""
    return "\n".join((header, *lines)).encode()


def units(nanos: int) -> str:
    """The amount as a bill writes it."""
    return f"{nanos // 10**9}.{nanos % 10**9:09d}"
