"""Why: a use case may spend on approved models alone; null = none were named, so all may."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """A list of approvals on the use case."""

    dependencies = [("policies", "0012_approvals")]

    operations = [
        migrations.AddField(
            "usecase",
            "approved_models",
            models.JSONField(
                help_text="approved models or offers, by name; null = all that have a price",
                null=True,
            ),
        ),
    ]
