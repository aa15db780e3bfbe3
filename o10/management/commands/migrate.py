"""How do tables come to be? Roles first, then migrations as the owner, then grants."""

from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.commands import migrate
from django.db import connections

from o10 import database


def prepare_roles(alias: str = "owner") -> None:
    """Do the roles exist before the migrations name them?

    Raises: ImproperlyConfigured when the owner may not create roles.
    """
    connection = connections[alias]
    connection.ensure_connection()
    try:
        database.provision_roles(connection.connection, secret_key=settings.SECRET_KEY)
    except psycopg.errors.InsufficientPrivilege as error:
        owner = connection.settings_dict["USER"]
        raise ImproperlyConfigured(
            f"The role {owner} of O10_DATABASE_URL must be allowed to create the application's "
            f"roles: ALTER ROLE {owner} CREATEROLE."
        ) from error


def grant_roles(alias: str = "owner") -> None:
    """May each role do what it should, and no more?"""
    from ledger import facade as ledger
    from o10.access.models import APPEND_ONLY as ACCESS_APPEND_ONLY
    from policies import facade as policies
    from reports import facade as reports

    connection = connections[alias]
    connection.ensure_connection()
    database.grant_tables(
        connection.connection,
        append_only=(
            *ledger.APPEND_ONLY,
            *policies.APPEND_ONLY,
            *reports.APPEND_ONLY,
            *ACCESS_APPEND_ONLY,
        ),
        self_granted=ledger.SELF_GRANTED,
    )


class Command(migrate.Command):
    """Django's migrate on the owner's connection, between roles and grants."""

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the three steps; each is idempotent."""
        prepare_roles(options["database"])
        super().handle(*args, **options)
        if options["app_label"] is None:
            grant_roles(options["database"])
