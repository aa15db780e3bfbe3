"""Why: a rule on overruns must not scan entries, so the watch keeps their sums by hour."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """One table."""

    dependencies = [
        ("policies", "0010_kill"),
    ]

    operations = [
        migrations.CreateModel(
            name="OverrunHour",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("envelope_id", models.IntegerField()),
                ("hour", models.DateTimeField(help_text="UTC, of the authorize instant")),
                ("overrun_nanos", models.BigIntegerField()),
            ],
            options={
                "db_table": "policies_overrun_hour",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "envelope_id"), name="overrun_hour_once"
                    )
                ],
            },
        ),
    ]
