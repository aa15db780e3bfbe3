"""What would a newer price catalogue change? The diff, its money effect, and who has to agree.

    manage.py prices_sync                                  genai-prices as installed
    manage.py prices_sync --catalogue prices.json.gz       a file in LiteLLM's shape
    manage.py prices_sync --actor ada@example.com          asked for by a person
    manage.py prices_sync --dry-run                        shows it and asks nobody

Nothing is loaded: a controller approves the proposal. The first load of an empty book is
applied directly; without it every call would be denied.
"""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence

from django.core.management.base import BaseCommand, CommandError

from o10.access.keys import Caller, caller_of_person
from o10.access.queries import find_person_by_email
from o10.kernel import clock
from o10.kernel.errors import O10Error
from o10.kernel.figures import money, rate
from policies import facade

LINES_SHOWN = 40


class Command(BaseCommand):
    """A dated price book update as a proposal; implausible rows are quarantined, not loaded."""

    help = "Proposes what a price catalogue would change; a second person approves it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--catalogue",
            default=facade.GENAI_PRICES,
            help="genai-prices (as installed, the default), or a file in LiteLLM's shape",
        )
        parser.add_argument("--actor", default="", help="e-mail of the person who asks for it")
        parser.add_argument(
            "--dry-run", action="store_true", help="show the diff and ask nobody"
        )
        parser.add_argument(
            "--all", action="store_true", help=f"show every line, not {LINES_SHOWN} a section"
        )

    def handle(self, *args: object, **options: object) -> None:
        limit = None if options["all"] else LINES_SHOWN
        now = clock.now()
        actor = _actor(str(options["actor"]))
        try:
            catalogue = facade.read_catalogue(source=str(options["catalogue"]))
            if facade.price_book().version == 0:
                loaded = facade.load_catalogue(
                    catalogue=catalogue, actor=facade.SYSTEM, now=now
                )
                self._show(loaded.proposal, limit)
                self.stdout.write(
                    f"Price version {loaded.version}: {loaded.rules} rules, the first load."
                )
                return
            if options["dry_run"]:
                self._show(facade.propose_prices(catalogue=catalogue, now=now), limit)
                self.stdout.write("Nothing was loaded and nobody was asked.")
                return
            asked = facade.propose_price_refresh(catalogue=catalogue, actor=actor, now=now)
        except O10Error as error:
            raise CommandError(f"{error.code}: {error}") from error
        self._show(asked.proposal, limit)
        self._tell(asked)

    def _tell(self, asked: facade.RefreshAsked) -> None:
        if not asked.id:
            self.stdout.write(
                "Nothing to load: the price book says the same. Confirmed unchanged today."
                if asked.confirmed
                else "Nothing to load, and it names too little of the price book to confirm it."
            )
            return
        proposal = facade.get_proposal(proposal=asked.id)
        total = proposal.body["effect"]["total"]
        currency = facade.ledger_of_company().currency
        self.stdout.write(
            f"\nMoney on the usage of the last {proposal.body['effect']['days']} days: "
            f"{money(int(total['before']), currency)} -> "
            f"{money(int(total['after']), currency)} on {total['calls']:,} calls"
        )
        if asked.approval is None:
            self.stdout.write(f"Proposal {asked.id} is {proposal.state}. Nothing was loaded.")
            return
        needs = ", ".join(asked.approval.needs)
        self.stdout.write(
            f"Nothing was loaded. Proposal {asked.id}, approval {asked.approval.id}, "
            f"waits for: {needs}."
        )

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


def _actor(email: str) -> Caller | None:
    if not email:
        return None
    person = find_person_by_email(email)
    if person is None or not person.is_active:
        raise CommandError("--actor is the e-mail of an active person.")
    return caller_of_person(person)
