"""Why: people sign in and routers call with keys; everything else names them."""

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Tables of people, keys, their audit and failed sign-ins."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                (
                    "last_login",
                    models.DateTimeField(blank=True, null=True, verbose_name="last login"),
                ),
                (
                    "id",
                    models.CharField(
                        help_text="public id, usr_…",
                        max_length=30,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "email",
                    models.EmailField(
                        help_text="lower case; the name at sign-in", max_length=254
                    ),
                ),
                ("display_name", models.CharField(max_length=120)),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("viewer", "viewer"),
                            ("owner", "owner"),
                            ("finops", "finops"),
                            ("controller", "controller"),
                            ("cfo", "cfo"),
                            ("auditor", "auditor"),
                            ("admin", "admin"),
                            ("router", "router"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(default=True, help_text="false: may not sign in"),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "access_person",
                "constraints": [
                    models.UniqueConstraint(fields=("email",), name="person_email_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("email", django.db.models.functions.text.Lower("email"))
                        ),
                        name="person_email_is_lower_case",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "role__in",
                                [
                                    "admin",
                                    "auditor",
                                    "cfo",
                                    "controller",
                                    "finops",
                                    "owner",
                                    "viewer",
                                ],
                            )
                        ),
                        name="person_role_is_for_people",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessAudit",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(help_text="instant of the change")),
                (
                    "actor",
                    models.CharField(help_text="usr_…, key_… or `command-line`", max_length=64),
                ),
                ("action", models.CharField(max_length=32)),
                (
                    "subject",
                    models.CharField(
                        help_text="usr_… or key_… that was changed", max_length=30
                    ),
                ),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
            ],
            options={
                "db_table": "access_audit",
                "indexes": [
                    models.Index(fields=["subject", "id"], name="access_audit_subject")
                ],
            },
        ),
        migrations.CreateModel(
            name="SignInFailure",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("email_hash", models.BinaryField(max_length=32)),
                ("network_hash", models.BinaryField(max_length=32)),
            ],
            options={
                "db_table": "access_sign_in_failure",
                "indexes": [
                    models.Index(fields=["email_hash", "at"], name="sign_in_failure_email"),
                    models.Index(fields=["network_hash", "at"], name="sign_in_failure_network"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RouterKey",
            fields=[
                (
                    "id",
                    models.CharField(
                        help_text="public id, key_…",
                        max_length=30,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                (
                    "secret_hash",
                    models.BinaryField(help_text="SHA-256 of the whole key", max_length=32),
                ),
                (
                    "last_four",
                    models.CharField(help_text="shown so that people know which", max_length=4),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("viewer", "viewer"),
                            ("owner", "owner"),
                            ("finops", "finops"),
                            ("controller", "controller"),
                            ("cfo", "cfo"),
                            ("auditor", "auditor"),
                            ("admin", "admin"),
                            ("router", "router"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "use_cases",
                    models.JSONField(
                        help_text="slugs this key may name; null = all", null=True
                    ),
                ),
                (
                    "verbs",
                    models.JSONField(help_text="actions; null = all of its role", null=True),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "expires_at",
                    models.DateTimeField(help_text="valid before this instant", null=True),
                ),
                ("revoked_at", models.DateTimeField(null=True)),
                ("last_used_at", models.DateTimeField(help_text="to the minute", null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        help_text="the person it acts for; null = itself (command line)",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "successor",
                    models.ForeignKey(
                        help_text="the key that replaced it; it ends at `expires_at`",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="access.routerkey",
                    ),
                ),
            ],
            options={
                "db_table": "access_router_key",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("secret_hash",), name="router_key_secret_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "role__in",
                                ["auditor", "controller", "finops", "router", "viewer"],
                            )
                        ),
                        name="router_key_role_is_for_keys",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("successor__isnull", True),
                            ("expires_at__isnull", False),
                            _connector="OR",
                        ),
                        name="router_key_replaced_has_an_end",
                    ),
                ],
            },
        ),
    ]
