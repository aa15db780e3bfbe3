"""Is there a company to work for? Makes ledger, organisation and prices on the first start."""

import argparse
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from ledger import facade as ledger
from o10.access import operations as access
from o10.access import queries as people
from o10.access.roles import Role
from o10.kernel import clock
from o10.management import installation
from policies import facade as policies

FOUNDER_EMAIL = "admin@localhost"
FOUNDER_NAME = "First administrator"
CONTROLLER_EMAIL = "controller@localhost"


class Command(BaseCommand):
    """Founds the company once; with --announce prints how to get in."""

    help = "Make the ledger, the organisation and the price book on the first start."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true")
        parser.add_argument("--announce", action="store_true")
        parser.add_argument("--port", type=int, default=8010)
        parser.add_argument("--policy-port", type=int, default=8011)

    def handle(self, *args: Any, **options: Any) -> None:
        """Founds or announces; each step looks first whether it was done before."""
        if options["announce"]:
            self._announce(options["port"], options["policy_port"])
            return
        found_ledger(say=self.stdout.write)
        standing = policies.find_organisation()
        if standing is not None and not standing.demo:
            return
        if options["demo"]:
            if not installation.find_secret(installation.DEMO_KEY):
                call_command("demo", stdout=self.stdout)
        elif standing is None:
            self._found_empty()

    def _found_empty(self) -> None:
        now = clock.now()
        # People first: a start that was interrupted here begins anew and locks nobody out.
        known = {person.email for person in people.list_people()}
        for email, name, role in (
            (FOUNDER_EMAIL, FOUNDER_NAME, Role.ADMIN),
            (CONTROLLER_EMAIL, "First controller", Role.CONTROLLER),
        ):
            if email in known:
                continue
            access.create_person(
                email=email,
                display_name=name,
                role=role,
                password=installation.kept_secret(installation.FIRST_PASSWORD),
                actor=access.COMMAND_LINE,
                now=now,
            )
        policies.found_organisation(
            name="My company", slug="my-company", demo=False, actor=access.COMMAND_LINE, now=now
        )

    def _announce(self, port: int, policy_port: int) -> None:
        say = self.stdout.write
        organisation = policies.organisation()
        say("")
        say(f"o10 is up for {organisation.name}")
        say(f"  pages       http://127.0.0.1:{port}/")
        say(f"  policy API  http://127.0.0.1:{policy_port}/api/v1/authorize")
        say(f"  API docs    http://127.0.0.1:{port}/api/docs")
        name = installation.DEMO_PASSWORD if organisation.demo else installation.FIRST_PASSWORD
        password = installation.find_secret(name)
        if password:
            say(f"  password    {password}   for each of:")
            for person in people.list_people():
                say(f"    {person.email:<32} {person.role}")
        key = installation.find_secret(installation.DEMO_KEY)
        if key:
            say("  try it:")
            say(
                f"    curl -s http://127.0.0.1:{policy_port}/api/v1/authorize"
                f' -H "Authorization: Bearer {key}"'
                " -H 'Content-Type: application/json'"
                ' -d \'{"request_id": "try-1", "use_case": "support-assistant",'
                ' "model": "openai/gpt-5.4-mini", "input_tokens": 1200,'
                ' "max_output_tokens": 800}\''
            )
        else:
            say("  a router key: o10 create_key --name my-router --role router")
        say("  Ctrl-C stops everything it started")
        say("")


def found_ledger(*, say: Any) -> None:
    """Are ledger and price book there? Both are made once."""
    now = clock.now()
    if ledger.find_ledger(ledger.COMPANY_LEDGER) is None:
        origin = settings.O10_BASE_URL.partition("://")[2].replace(":", "-")
        ledger.create_ledger(
            origin=f"{origin}/main",
            currency=settings.O10_REPORTING_CURRENCY,
            time_zone=settings.O10_TIME_ZONE,
            now=now,
        )
    say("price book")
    ledger.load_first_prices(now=now)
