"""What would a newer price catalogue change? Shows the diff; `--apply` loads it.

    manage.py prices_sync                                  genai-prices as installed
    manage.py prices_sync --catalogue prices.json.gz       a file in LiteLLM's shape
    manage.py prices_sync --apply --actor ada@example.com  by a person who may change prices

The first load of an empty book is applied directly: without it every call would be denied.
"""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence

from django.core.management.base import BaseCommand, CommandError

from ledger import facade
from o10.access.checks import can_for_role
from o10.access.queries import find_person_by_email
from o10.access.roles import Action, Role
from o10.kernel import clock
from o10.kernel.errors import O10Error
from o10.kernel.figures import rate

LINES_SHOWN = 40


class Command(BaseCommand):
    """A dated price book update as a proposal; implausible rows are quarantined, not loaded."""

    help = "Shows what a price catalogue would change; --apply loads it as a new version."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--catalogue",
            default=facade.GENAI_PRICES,
            help="genai-prices (as installed, the default), or a file in LiteLLM's shape",
        )
        parser.add_argument(
            "--apply", action="store_true", help="load the proposal as a new price version"
        )
        parser.add_argument("--actor", default="", help="e-mail of the person who applies it")
        parser.add_argument(
            "--all", action="store_true", help=f"show every line, not {LINES_SHOWN} a section"
        )

    def handle(self, *args: object, **options: object) -> None:
        limit = None if options["all"] else LINES_SHOWN
        now = clock.now()
        is_first = facade.price_book().version == 0
        try:
            catalogue = facade.read_catalogue(source=str(options["catalogue"]))
            if not options["apply"] and not is_first:
                self._show(facade.propose_prices(catalogue=catalogue, now=now), limit)
                self.stdout.write("Nothing was loaded. --apply --actor EMAIL loads it.")
                return
            actor = facade.SYSTEM if is_first else _actor(str(options["actor"]))
            loaded = facade.load_catalogue(catalogue=catalogue, actor=actor, now=now)
        except O10Error as error:
            raise CommandError(f"{error.code}: {error}") from error
        self._show(loaded.proposal, limit)
        if loaded.rules:
            self.stdout.write(
                f"Price version {loaded.version}: {loaded.rules} rules added by {actor}."
            )
        else:
            self.stdout.write(f"Price version {loaded.version} stays: nothing to add.")

    def _show(self, proposal: facade.Proposal, limit: int | None) -> None:
        write = self.stdout.write
        write(f"Catalogue {proposal.catalogue} {proposal.edition} (SHA-256 {proposal.sha256})")
        write(
            f"{len(proposal.new_offers)} new offers, {len(proposal.changes)} price changes, "
            f"{proposal.unchanged} unchanged, {len(proposal.absent)} no longer named, "
            f"{len(proposal.aliases)} new names"
        )
        self._list("Changes from the date on (per million)", _changes(proposal.changes), limit)
        self._list("New offers", [key.slug for key in proposal.new_offers], limit)
        self._list(
            "Quarantined, not loaded",
            [
                f"{each.key.slug}: {', '.join(each.doubts)} {each.remark}".rstrip()
                for each in proposal.quarantined
            ],
            limit,
        )
        self._list(
            "Differs from the catalogue in force, not loaded (a contract or override decides)",
            _changes(proposal.disagreements),
            limit,
        )
        why = Counter(each.why.value for each in proposal.skipped)
        self._list("Left out", [f"{number} {name}" for name, number in why.items()], limit)

    def _list(self, title: str, lines: Sequence[str], limit: int | None) -> None:
        if not lines:
            return
        self.stdout.write(f"\n{title}: {len(lines)}")
        for line in lines[:limit]:
            self.stdout.write(f"  {line}")
        if limit is not None and len(lines) > limit:
            self.stdout.write(f"  … {len(lines) - limit} more (--all shows them)")


def _changes(changes: Sequence[facade.PriceDifference]) -> list[str]:
    return [
        f"{each.key.slug} {each.meter}"
        + (f" above {each.above_tokens} tokens" if each.above_tokens else "")
        + f": {rate(each.before)} -> {rate(each.after)}"
        + f" from {each.valid_from:%Y-%m-%d %H:%M} UTC"
        for each in changes
    ]


def _actor(email: str) -> str:
    person = find_person_by_email(email) if email else None
    if person is None or not person.is_active:
        raise CommandError("--apply needs --actor with the e-mail of an active person.")
    if not can_for_role(role=Role(person.role), action=Action.CHANGE_PRICES):
        raise CommandError(f"The role {person.role} may not change prices.")
    return str(person.id)
