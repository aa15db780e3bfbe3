"""Why: a business system that counts results by the day tells one number, not each result.

A record may stand for many results of one day; then it names no call.
"""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Expand only: one column with a constant default, one rule."""

    dependencies = [("reports", "0002_costs_and_outcomes")]

    operations = [
        migrations.AddField(
            model_name="outcome",
            name="count",
            field=models.IntegerField(default=1, help_text="results it stands for"),
        ),
        migrations.AddConstraint(
            model_name="outcome",
            constraint=models.CheckConstraint(
                condition=Q(
                    ("count", 1), Q(("count__gt", 1), ("join", "use_case")), _connector="OR"
                ),
                name="outcome_aggregate_has_no_run",
            ),
        ),
    ]
