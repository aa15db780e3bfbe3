"""How is a key made, replaced or ended from a shell? Its secret is printed once."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from o10.access import operations
from o10.access.roles import KEY_ROLES, Action, Role
from o10.kernel import clock
from o10.kernel.errors import O10Error


class Command(BaseCommand):
    """create_key --name N --role R [--use-case SLUG ...] | --rotate KEY | --revoke KEY."""

    help = "Makes an API key and prints its secret once; or rotates or revokes one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", help="what the key is for, shown in lists")
        parser.add_argument("--role", choices=sorted(KEY_ROLES), help="role it acts under")
        parser.add_argument(
            "--use-case",
            action="append",
            metavar="SLUG",
            help="use case it may name; repeat for several; none = all",
        )
        parser.add_argument(
            "--verb",
            action="append",
            choices=sorted(Action),
            help="action it may take; repeat for several; none = all of its role",
        )
        parser.add_argument("--days", type=int, help="days until it ends; none = no end")
        parser.add_argument("--rotate", metavar="KEY", help="make the successor of this key")
        parser.add_argument(
            "--grace-hours",
            type=int,
            default=24,
            help="how long a rotated key still works (default 24)",
        )
        parser.add_argument("--revoke", metavar="KEY", help="end this key at once")

    def handle(self, *args: Any, **options: Any) -> None:
        """One call of access, then its sentence."""
        now = clock.now()
        try:
            if options["revoke"]:
                operations.revoke_key(
                    key_id=options["revoke"], actor=operations.COMMAND_LINE, now=now
                )
                self.stdout.write(f"{options['revoke']} has ended.")
                return
            made = _make(options, now=now)
        except O10Error as error:
            raise CommandError(_told(error)) from error
        self.stdout.write(made.secret.text)
        scope = "all use cases" if made.use_cases is None else ", ".join(made.use_cases)
        end = (
            "no end" if made.expires_at is None else f"until {made.expires_at:%Y-%m-%d %H:%M}Z"
        )
        self.stderr.write(
            f"{made.id}: {made.role.value}, {scope}, {end}. The key above is not shown again."
        )


def _make(options: dict[str, Any], *, now: datetime) -> operations.NewKey:
    if options["rotate"]:
        return operations.rotate_key(
            key_id=options["rotate"],
            grace=timedelta(hours=options["grace_hours"]),
            actor=operations.COMMAND_LINE,
            now=now,
        )
    if not options["name"] or not options["role"]:
        raise CommandError("--name and --role are needed, or --rotate KEY, or --revoke KEY.")
    verbs = options["verb"]
    return operations.create_key(
        name=options["name"],
        role=Role(options["role"]),
        use_cases=options["use_case"],
        verbs=None if verbs is None else [Action(verb) for verb in verbs],
        expires_at=None if options["days"] is None else now + timedelta(days=options["days"]),
        actor=operations.COMMAND_LINE,
        now=now,
    )


def _told(error: O10Error) -> str:
    wrong = [f"{each.pointer.strip('/')}: {each.message}" for each in error.errors]
    return " ".join(wrong) or f"{error.code}: {error.fields.get('id', '')}"
