"""Why: the first tables of spend control: who spends, envelopes, balances, holds, decisions."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Department",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slug", models.CharField(max_length=64, unique=True)),
                ("name", models.CharField(max_length=120)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "db_table": "policies_department",
            },
        ),
        migrations.CreateModel(
            name="EnvelopeTree",
            fields=[
                ("root_envelope_id", models.IntegerField(primary_key=True, serialize=False)),
                ("version", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "envelope_tree",
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                ("version", models.IntegerField(primary_key=True, serialize=False)),
                ("hash", models.CharField(help_text="hex SHA-256 of `body`", max_length=64)),
                ("body", models.TextField(help_text="canonical JSON of the compiled policy")),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=64)),
                ("entry_uid", models.UUIDField(help_text="ledger entry of the change")),
            ],
            options={
                "db_table": "policies_policy_version",
            },
        ),
        migrations.CreateModel(
            name="TokenKey",
            fields=[
                (
                    "id",
                    models.SmallIntegerField(
                        help_text="number inside the token", primary_key=True, serialize=False
                    ),
                ),
                (
                    "wrapped",
                    models.BinaryField(help_text="32 random bytes under the secret key"),
                ),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "db_table": "policies_token_key",
            },
        ),
        migrations.CreateModel(
            name="AnswerLog",
            fields=[
                (
                    "uid",
                    models.UUIDField(
                        help_text="idempotency uid of the write",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("verb", models.CharField(max_length=8)),
                ("reservation", models.UUIDField()),
                ("answer", models.BinaryField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "policies_answer_log",
                "indexes": [models.Index(fields=["reservation"], name="answer_reservation")],
            },
        ),
        migrations.CreateModel(
            name="DecisionLog",
            fields=[
                ("id", models.UUIDField(help_text="dec_…", primary_key=True, serialize=False)),
                ("caller", models.CharField(max_length=64)),
                (
                    "request_id",
                    models.CharField(help_text="empty = not repeatable", max_length=128),
                ),
                ("request_hash", models.BinaryField(max_length=32)),
                ("decided_at", models.DateTimeField()),
                ("use_case", models.IntegerField(help_text="0 = unknown")),
                ("use_case_slug", models.CharField(max_length=64)),
                (
                    "envelope",
                    models.IntegerField(help_text="deepest envelope of the path, 0 = none"),
                ),
                ("decision", models.CharField(max_length=16)),
                ("would_decision", models.CharField(max_length=16)),
                ("mode", models.CharField(max_length=8)),
                ("reason", models.CharField(max_length=48)),
                ("reason_code", models.SmallIntegerField()),
                ("model", models.CharField(max_length=128)),
                ("worst_nanos", models.BigIntegerField()),
                ("reservation", models.UUIDField(null=True)),
                (
                    "entry_uid",
                    models.UUIDField(
                        help_text="null = folded, or nothing was moved", null=True
                    ),
                ),
                ("folded", models.BooleanField(default=False)),
                ("policy_version", models.IntegerField()),
                ("price_version", models.IntegerField()),
                ("record", models.JSONField()),
                ("answer", models.BinaryField()),
            ],
            options={
                "db_table": "policies_decision_log",
                "indexes": [
                    models.Index(fields=["-decided_at", "-id"], name="decision_newest"),
                    models.Index(
                        fields=["use_case", "-decided_at", "-id"],
                        name="decision_use_case_newest",
                    ),
                    models.Index(
                        condition=models.Q(("would_decision", "deny")),
                        fields=["caller", "use_case", "reason_code", "decided_at"],
                        name="decision_denied",
                    ),
                    models.Index(
                        condition=models.Q(("folded", True)),
                        fields=["decided_at"],
                        name="decision_folded",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("request_id", ""), _negated=True),
                        fields=("caller", "request_id"),
                        name="decision_request_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DenialFold",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("second", models.DateTimeField(help_text="start of the second")),
                ("caller", models.CharField(max_length=64)),
                ("use_case", models.IntegerField()),
                ("reason_code", models.SmallIntegerField()),
                ("n", models.IntegerField()),
                ("entry_uid", models.UUIDField(unique=True)),
            ],
            options={
                "db_table": "policies_denial_fold",
                "indexes": [
                    models.Index(
                        fields=["second", "caller", "use_case", "reason_code"],
                        name="denial_fold_group",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("n__gt", 0)), name="denial_fold_counts_something"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Organisation",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("slug", models.CharField(max_length=64)),
                ("name", models.CharField(max_length=120)),
                ("demo", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=64)),
            ],
            options={
                "db_table": "policies_organisation",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="organisation_is_one"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Reservation",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("state", models.CharField(default="open", max_length=12)),
                (
                    "held",
                    models.BooleanField(
                        help_text="false in observe and shadow: nothing was held"
                    ),
                ),
                (
                    "caller",
                    models.CharField(help_text="key_… or usr_… that authorized", max_length=64),
                ),
                (
                    "actor_id",
                    models.IntegerField(help_text="interned number of it in the ledger"),
                ),
                ("use_case", models.IntegerField()),
                ("root", models.IntegerField(help_text="tree, 0 = no envelope")),
                (
                    "path_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), size=None
                    ),
                ),
                (
                    "path_periods",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DateTimeField(), size=None
                    ),
                ),
                ("dims_id", models.IntegerField()),
                ("run_id", models.CharField(blank=True, max_length=128)),
                ("model", models.CharField(max_length=128)),
                ("venue", models.CharField(blank=True, max_length=128)),
                ("region", models.CharField(blank=True, max_length=64)),
                ("tier", models.CharField(blank=True, max_length=32)),
                ("offer_id", models.IntegerField()),
                ("venue_id", models.IntegerField()),
                ("model_id", models.IntegerField()),
                ("price_version", models.IntegerField()),
                ("policy_version", models.IntegerField()),
                ("decision_id", models.UUIDField(help_text="row of the decision log")),
                (
                    "decision",
                    models.UUIDField(help_text="binding of the decision's content in entries"),
                ),
                (
                    "shape",
                    models.JSONField(
                        help_text="what an extend decides again by: bounds, n, customer"
                    ),
                ),
                ("input_bound", models.BigIntegerField(help_text="tokens")),
                (
                    "max_output_tokens",
                    models.IntegerField(help_text="granted to each of n answers"),
                ),
                ("amount_nanos", models.BigIntegerField()),
                ("open_nanos", models.BigIntegerField()),
                ("settled_nanos", models.BigIntegerField(default=0)),
                (
                    "attempts",
                    models.SmallIntegerField(default=0, help_text="attempts settled so far"),
                ),
                (
                    "authorized_at",
                    models.DateTimeField(help_text="decides the period of all its entries"),
                ),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "reservation",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ("open", "expired"))),
                        fields=["expires_at"],
                        name="reservation_due",
                    ),
                    models.Index(
                        condition=models.Q(("run_id", ""), _negated=True),
                        fields=["use_case", "run_id"],
                        name="reservation_run",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                ("open", "settled", "released", "expired", "written_off"),
                            )
                        ),
                        name="reservation_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("open_nanos__gte", 0), ("amount_nanos__gte", 0)),
                        name="reservation_amounts_ge_0",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ("open", "expired")),
                            ("open_nanos", 0),
                            _connector="OR",
                        ),
                        name="reservation_ended_holds_nothing",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UseCase",
            fields=[
                (
                    "id",
                    models.AutoField(
                        help_text="number in ledger entries", primary_key=True, serialize=False
                    ),
                ),
                (
                    "public",
                    models.CharField(help_text="public id, uc_…", max_length=30, unique=True),
                ),
                ("slug", models.CharField(max_length=64, unique=True)),
                ("name", models.CharField(max_length=120)),
                (
                    "owner",
                    models.CharField(
                        blank=True,
                        help_text="pseudonymous id of a person, usr_…",
                        max_length=64,
                    ),
                ),
                ("floor_class", models.CharField(default="balanced", max_length=16)),
                ("mode", models.CharField(default="enforce", max_length=8)),
                ("state", models.CharField(default="active", max_length=8)),
                (
                    "starts_at",
                    models.DateTimeField(help_text="no call before; null = now", null=True),
                ),
                ("fail_mode", models.CharField(default="closed", max_length=8)),
                ("fail_open_cap_nanos", models.BigIntegerField(default=5000000000)),
                ("default_model", models.CharField(blank=True, max_length=128)),
                (
                    "default_max_output_tokens",
                    models.IntegerField(
                        help_text="null = 1,024 until its output is measured", null=True
                    ),
                ),
                ("max_input_tokens", models.IntegerField(null=True)),
                (
                    "fit_output",
                    models.BooleanField(
                        default=False,
                        help_text="grant fewer output tokens where the asked bound doesn't fit",
                    ),
                ),
                ("may_write_cache", models.BooleanField(default=False)),
                ("strict_prices", models.BooleanField(default=False)),
                ("may_pin", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                (
                    "department",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.department",
                    ),
                ),
            ],
            options={
                "db_table": "policies_use_case",
            },
        ),
        migrations.CreateModel(
            name="Envelope",
            fields=[
                (
                    "id",
                    models.AutoField(
                        help_text="number in ledger entries", primary_key=True, serialize=False
                    ),
                ),
                (
                    "public",
                    models.CharField(help_text="public id, env_…", max_length=30, unique=True),
                ),
                (
                    "root",
                    models.IntegerField(
                        help_text="envelope at the top of this tree; itself for a root"
                    ),
                ),
                ("depth", models.SmallIntegerField(help_text="0 = root")),
                ("scope_kind", models.CharField(max_length=16)),
                ("slug", models.CharField(max_length=128)),
                ("name", models.CharField(max_length=160)),
                ("period_kind", models.CharField(max_length=8)),
                ("time_zone", models.CharField(max_length=64)),
                (
                    "start_at",
                    models.DateTimeField(help_text="no money before this instant", null=True),
                ),
                (
                    "end_at",
                    models.DateTimeField(help_text="no money from this instant on", null=True),
                ),
                (
                    "week_start",
                    models.SmallIntegerField(default=0, help_text="0 = Monday … 6 = Sunday"),
                ),
                (
                    "days",
                    models.IntegerField(help_text="length of a rolling window", null=True),
                ),
                (
                    "fiscal",
                    models.JSONField(
                        help_text="anchor, anchor_year, pattern, long_years", null=True
                    ),
                ),
                ("amount_nanos", models.BigIntegerField(null=True)),
                ("hard", models.BooleanField(default=True)),
                (
                    "soft_thresholds_ppm",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                ("per_call_nanos", models.BigIntegerField(null=True)),
                ("per_run_nanos", models.BigIntegerField(null=True)),
                ("allow_overallocation", models.BooleanField(default=False)),
                ("state", models.CharField(default="active", max_length=8)),
                ("version", models.IntegerField(default=1)),
                ("epoch", models.IntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
                (
                    "department",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.department",
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="policies.envelope",
                    ),
                ),
                (
                    "use_case",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.usecase",
                    ),
                ),
            ],
            options={
                "db_table": "policies_envelope",
            },
        ),
        migrations.CreateModel(
            name="EnvelopeBalance",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "envelope_id",
                        "period_start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField(help_text="excluded")),
                ("cap_nanos", models.BigIntegerField(null=True)),
                ("limit_nanos", models.BigIntegerField(null=True)),
                ("settled_nanos", models.BigIntegerField(default=0)),
                ("held_nanos", models.BigIntegerField(default=0)),
                ("unsettled_nanos", models.BigIntegerField(default=0)),
                ("unguarded_nanos", models.BigIntegerField(default=0)),
                ("contingency_nanos", models.BigIntegerField(default=0)),
                (
                    "version",
                    models.BigIntegerField(
                        default=0, help_text="tree version of its last change"
                    ),
                ),
                (
                    "epoch",
                    models.IntegerField(
                        default=1, help_text="epoch of the envelope it was made for"
                    ),
                ),
                (
                    "envelope",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.envelope",
                    ),
                ),
            ],
            options={
                "db_table": "envelope_balance",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("held_nanos__gte", 0)), name="balance_held_ge_0"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("unsettled_nanos__gte", 0)),
                        name="balance_unsettled_ge_0",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("unguarded_nanos__gte", 0)),
                        name="balance_unguarded_ge_0",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cap_nanos__isnull", True), ("cap_nanos__gte", 0), _connector="OR"
                        ),
                        name="balance_cap_ge_0",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("contingency_nanos__gte", 0)),
                        name="balance_contingency_ge_0",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("cap_nanos__isnull", True), ("limit_nanos__isnull", True)
                            ),
                            ("limit_nanos__gte", models.F("cap_nanos")),
                            _connector="OR",
                        ),
                        name="balance_limit_ge_cap",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("limit_nanos__isnull", True),
                            (
                                "limit_nanos__gte",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            models.F("settled_nanos"),
                                            "-",
                                            models.F("unguarded_nanos"),
                                        ),
                                        "+",
                                        models.F("held_nanos"),
                                    ),
                                    "+",
                                    models.F("unsettled_nanos"),
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="balance_guarded_exposure_le_limit",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("period_end__gt", models.F("period_start"))),
                        name="balance_period_not_empty",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="EnvelopeVersion",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("version", models.IntegerField()),
                (
                    "body",
                    models.JSONField(help_text="every field of the envelope in this version"),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=64)),
                ("reason", models.CharField(blank=True, max_length=400)),
                ("entry_uid", models.UUIDField(help_text="ledger entry of the change")),
                (
                    "envelope",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.envelope",
                    ),
                ),
            ],
            options={
                "db_table": "policies_envelope_version",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("envelope", "version"), name="envelope_version_once"
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="usecase",
            constraint=models.CheckConstraint(
                condition=models.Q(("mode__in", ("observe", "shadow", "enforce"))),
                name="use_case_mode_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="usecase",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("active", "stopped", "sunset"))),
                name="use_case_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="usecase",
            constraint=models.CheckConstraint(
                condition=models.Q(("fail_mode__in", ("closed", "open"))),
                name="use_case_fail_mode_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="usecase",
            constraint=models.CheckConstraint(
                condition=models.Q(("fail_open_cap_nanos__gte", 0)),
                name="use_case_fail_open_cap_ge_0",
            ),
        ),
        migrations.AddIndex(
            model_name="envelope",
            index=models.Index(fields=["root", "id"], name="envelope_tree_members"),
        ),
        migrations.AddIndex(
            model_name="envelope",
            index=models.Index(fields=["scope_kind", "slug"], name="envelope_scope"),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_nanos__isnull", True), ("amount_nanos__gte", 0), _connector="OR"
                ),
                name="envelope_amount_ge_0",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("per_call_nanos__isnull", True),
                    ("per_call_nanos__gte", 0),
                    _connector="OR",
                ),
                name="envelope_per_call_ge_0",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("per_run_nanos__isnull", True), ("per_run_nanos__gte", 0), _connector="OR"
                ),
                name="envelope_per_run_ge_0",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("active", "frozen", "closed"))),
                name="envelope_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(("depth__gte", 0), ("depth__lte", 5)),
                name="envelope_depth_le_6_levels",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("depth", 0), ("parent__isnull", True)),
                    models.Q(("depth__gt", 0), ("parent__isnull", False)),
                    _connector="OR",
                ),
                name="envelope_root_has_no_parent",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("end_at__isnull", True),
                    ("end_at__gt", models.F("start_at")),
                    _connector="OR",
                ),
                name="envelope_end_after_start",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("scope_kind", "use_case"), _negated=True),
                    ("use_case__isnull", False),
                    _connector="OR",
                ),
                name="envelope_of_use_case_names_it",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("scope_kind", "department"), _negated=True),
                    ("department__isnull", False),
                    _connector="OR",
                ),
                name="envelope_of_department_names_it",
            ),
        ),
    ]
