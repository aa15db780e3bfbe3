"""Why: a board review is a work item with owner, due date and interim cap, not a remark."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """The table of board reviews."""

    dependencies = [("policies", "0013_approved_models")]

    operations = [
        migrations.CreateModel(
            name="KillReview",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                ("due", models.DateField()),
                ("owner", models.CharField(max_length=64)),
                ("cap_nanos", models.BigIntegerField(help_text="nanos an hour", null=True)),
                ("trip_uid", models.UUIDField(help_text="ledger entry of the trip")),
                ("decided_at", models.DateTimeField(null=True)),
                ("decided_by", models.CharField(blank=True, max_length=64)),
                ("decision", models.CharField(blank=True, max_length=400)),
                (
                    "criterion",
                    models.ForeignKey(
                        on_delete=models.deletion.PROTECT,
                        related_name="+",
                        to="policies.killcriterion",
                    ),
                ),
            ],
            options={
                "db_table": "policies_kill_review",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("decided_at", None)),
                        fields=("criterion",),
                        name="kill_review_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at", None), ("decided_by", "")),
                            models.Q(
                                ("decided_at__isnull", False),
                                models.Q(("decided_by", ""), _negated=True),
                                models.Q(("decision", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="kill_review_decided_by_somebody",
                    ),
                ],
            },
        ),
    ]
