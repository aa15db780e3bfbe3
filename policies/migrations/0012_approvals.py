"""Why: a change by two people is a row of its own, bound to what was asked; its steps stay."""

import django.db.models.deletion
from django.db import migrations, models

TABLES = ("policies_approval_policy", "policies_approval_step")
TRIGGERS = "".join(
    f"""
CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION policies_refuse_change();
CREATE TRIGGER {table}_stays BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION policies_refuse_change();
"""
    for table in TABLES
)
BOUND = """
CREATE FUNCTION policies_approval_is_bound() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'open' OR
       (OLD.id, OLD.public, OLD.kind, OLD.subject, OLD.change, OLD.change_hash, OLD.base,
        OLD.text, OLD.reason, OLD.maker, OLD.maker_actor, OLD.maker_role, OLD.needs,
        OLD.money_nanos, OLD.policy_version, OLD.raised_at, OLD.expires_at, OLD.until)
       IS DISTINCT FROM
       (NEW.id, NEW.public, NEW.kind, NEW.subject, NEW.change, NEW.change_hash, NEW.base,
        NEW.text, NEW.reason, NEW.maker, NEW.maker_actor, NEW.maker_role, NEW.needs,
        NEW.money_nanos, NEW.policy_version, NEW.raised_at, NEW.expires_at, NEW.until) THEN
        RAISE EXCEPTION 'an approval is bound to the change it was asked for: UPDATE refused'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER policies_approval_is_bound BEFORE UPDATE ON policies_approval
    FOR EACH ROW EXECUTE FUNCTION policies_approval_is_bound();
CREATE TRIGGER policies_approval_rows_stay BEFORE DELETE ON policies_approval
    FOR EACH ROW EXECUTE FUNCTION policies_refuse_change();
CREATE TRIGGER policies_approval_stays BEFORE TRUNCATE ON policies_approval
    FOR EACH STATEMENT EXECUTE FUNCTION policies_refuse_change();
"""
DROP = (
    "".join(
        f"DROP TRIGGER {table}_stays ON {table}; DROP TRIGGER {table}_rows_stay ON {table};"
        for table in (*TABLES, "policies_approval")
    )
    + "DROP TRIGGER policies_approval_is_bound ON policies_approval;"
    "DROP FUNCTION policies_approval_is_bound();"
)


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0011_overrun_hour"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApprovalPolicyVersion",
            fields=[
                ("version", models.IntegerField(primary_key=True, serialize=False)),
                (
                    "body",
                    models.JSONField(
                        help_text="policies.core.approvals.ApprovalPolicy, every field"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=64)),
                (
                    "approval",
                    models.CharField(
                        blank=True, help_text="apr_…; empty = set-up", max_length=30
                    ),
                ),
                (
                    "entry_uid",
                    models.UUIDField(help_text="ledger entry of the change", null=True),
                ),
            ],
            options={
                "db_table": "policies_approval_policy",
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public",
                    models.CharField(help_text="public id, apr_…", max_length=30, unique=True),
                ),
                ("kind", models.CharField(max_length=40)),
                (
                    "subject",
                    models.CharField(help_text="id or slug of what changes", max_length=160),
                ),
                ("change", models.JSONField()),
                ("change_hash", models.CharField(max_length=64)),
                ("base", models.CharField(max_length=128)),
                ("text", models.JSONField()),
                ("reason", models.CharField(blank=True, max_length=400)),
                (
                    "maker",
                    models.CharField(
                        help_text="the principal; `system` = a job", max_length=64
                    ),
                ),
                (
                    "maker_actor",
                    models.CharField(help_text="usr_…, key_… or the job", max_length=64),
                ),
                ("maker_role", models.CharField(max_length=12)),
                ("needs", models.JSONField()),
                (
                    "money_nanos",
                    models.BigIntegerField(help_text="effect a month, signed", null=True),
                ),
                ("policy_version", models.IntegerField()),
                ("raised_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                (
                    "until",
                    models.DateTimeField(
                        help_text="the change holds before this instant", null=True
                    ),
                ),
                ("state", models.CharField(default="open", max_length=10)),
                ("version", models.IntegerField(default=1, help_text="rises with every step")),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "result",
                    models.JSONField(help_text="ids of what the change made", null=True),
                ),
            ],
            options={
                "db_table": "policies_approval",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "open")),
                        fields=["expires_at"],
                        name="approval_open",
                    ),
                    models.Index(fields=["subject", "state"], name="approval_subject"),
                    models.Index(fields=["maker", "id"], name="approval_maker"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                (
                                    "open",
                                    "approved",
                                    "declined",
                                    "withdrawn",
                                    "expired",
                                    "void",
                                ),
                            )
                        ),
                        name="approval_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at__isnull", True), ("state", "open")),
                            models.Q(
                                models.Q(("state", "open"), _negated=True),
                                ("decided_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="approval_decided_has_an_instant",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("expires_at__gt", models.F("raised_at"))),
                        name="approval_has_time",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApprovalStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField(help_text="1 = raised")),
                ("act", models.CharField(max_length=10)),
                ("actor", models.CharField(max_length=64)),
                ("principal", models.CharField(max_length=64)),
                ("role", models.CharField(max_length=12)),
                (
                    "names",
                    models.JSONField(default=list, help_text="needs that this person can meet"),
                ),
                (
                    "for_whom",
                    models.CharField(blank=True, help_text="whose vote it was", max_length=64),
                ),
                (
                    "to_whom",
                    models.CharField(
                        blank=True, help_text="to whom it was handed", max_length=64
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=400)),
                ("until", models.DateTimeField(null=True)),
                ("at", models.DateTimeField()),
                ("entry_uid", models.UUIDField(help_text="ledger entry of the step")),
                (
                    "approval",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="steps",
                        to="policies.approval",
                    ),
                ),
            ],
            options={
                "db_table": "policies_approval_step",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("approval", "number"), name="approval_step_number_once"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("act", "approved")),
                        fields=("approval", "principal"),
                        name="approval_counts_a_person_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TemporaryRaise",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "approval",
                    models.CharField(help_text="apr_… that allowed it", max_length=30),
                ),
                ("back_to_nanos", models.BigIntegerField(help_text="cap from `until` on")),
                ("until", models.DateTimeField()),
                ("state", models.CharField(default="running", max_length=10)),
                ("ended_at", models.DateTimeField(null=True)),
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
                "db_table": "policies_temporary_raise",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("running", "ended", "replaced"))),
                        name="temporary_raise_state_known",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "running")),
                        fields=("envelope",),
                        name="temporary_raise_one_runs",
                    ),
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS + BOUND, DROP),
    ]
