"""Why: every refill is a lease, so closed ones pile up while questions are about the others.

Two partial indexes over what is not closed serve holders, reconciling, pages and the health.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0006_policy_changes"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="lease",
            name="lease_of_holder",
        ),
        migrations.RemoveIndex(
            model_name="lease",
            name="lease_due",
        ),
        migrations.RemoveIndex(
            model_name="lease",
            name="lease_unsettled",
        ),
        migrations.AddIndex(
            model_name="lease",
            index=models.Index(
                condition=models.Q(("state", "closed"), _negated=True),
                fields=["fence", "root"],
                name="lease_of_holder",
            ),
        ),
        migrations.AddIndex(
            model_name="lease",
            index=models.Index(
                condition=models.Q(("state", "closed"), _negated=True),
                fields=["expires_at"],
                name="lease_due",
            ),
        ),
    ]
