"""Why: what the books could not take must be seen, not skipped.

Two counters of a holder: records of its journal that were put aside, and settles whose price
comes out otherwise than it was answered. Deploy order: migrate before the bookkeeper starts.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0004_lease_storage"),
    ]

    operations = [
        migrations.AddField(
            model_name="leaseholder",
            name="differing",
            field=models.IntegerField(
                db_default=0,
                help_text="settles booked as answered whose price comes out otherwise",
            ),
        ),
        migrations.AddField(
            model_name="leaseholder",
            name="put_aside",
            field=models.IntegerField(
                db_default=0, help_text="records of the journal that could not be booked"
            ),
        ),
    ]
