"""How is a month closed by command? Prepared here, agreed to by another person, then sealed."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from o10.access.keys import Caller
from o10.access.operations import COMMAND_LINE
from o10.access.roles import ROLE_ACTIONS, Role
from o10.kernel import clock, figures
from o10.kernel.errors import O10Error
from reports import facade

BLOCKED = 1


class Command(BaseCommand):
    """Exit 0 prepared or closed, 1 when a condition stands in the way."""

    help = "Reconcile and prepare the close of a month; a second person's approval seals it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("period", metavar="YYYY-MM")
        parser.add_argument(
            "--waive",
            action="append",
            default=[],
            metavar="CONDITION=REASON",
            help=f"pass over one of {', '.join(sorted(facade.WAIVABLE))}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the checklist with its evidence and what happens next."""
        period, waivers = options["period"], _waivers(options["waive"])
        try:
            standing = facade.read_checklist(period=period, now=clock.now())
            if standing.restated is not None:
                self._closed(standing)
                return
            prepared = facade.prepare_close(
                period=period, actor=_maker(), now=clock.now(), waivers=waivers
            )
        except O10Error as error:
            raise CommandError(f"{period}: {error}") from error
        for each in prepared.checklist.conditions:
            word = "ok  " if each.ok else "pass" if each.passes else "OPEN"
            self.stdout.write(f"{word}  {each.title}: {each.found}")
            if each.waived:
                self.stdout.write(f"      passed over: {each.waived}")
        if prepared.approval is None:
            self.stderr.write(f"{period} can't be closed yet")
            raise SystemExit(BLOCKED)
        needs = " and ".join(prepared.approval.needs)
        self.stdout.write(
            f"{period} is prepared. Request {prepared.approval.id} waits for {needs};"
            " the approval seals, signs and locks it."
        )

    def _closed(self, standing: facade.Checklist) -> None:
        restated = standing.restated
        if restated is None:
            return
        row, currency = standing.period, standing.currency
        self.stdout.write(
            f"{row.period} is closed since {figures.instant(row.closed_at).text}:"
            f" {figures.money_exact(restated.closed_nanos, currency).text},"
            f" balances root {row.balances_root.hex()}"
        )
        self.stdout.write(
            f"later lines {len(restated.lines)},"
            f" {figures.money_exact(restated.later_nanos, currency).text}; restated"
            f" {figures.money_exact(restated.restated_nanos, currency).text}"
        )


def _waivers(given: list[str]) -> dict[str, str]:
    waivers = {}
    for text in given:
        name, _, reason = text.partition("=")
        if name not in facade.WAIVABLE or not reason.strip():
            raise CommandError(
                f"--waive {text!r}: CONDITION=REASON with one of"
                f" {', '.join(sorted(facade.WAIVABLE))}"
            )
        waivers[name] = reason
    return waivers


def _maker() -> Caller:
    """The command line is a principal of its own; somebody else has to agree."""
    role = Role.FINOPS
    return Caller(COMMAND_LINE, COMMAND_LINE, COMMAND_LINE, role, None, ROLE_ACTIONS[role])
