"""Why: a rule may share out by the volume of a driver, and an amount may be computed.

Volumes are append-only, by the same trigger as statements and rules.
"""

from django.db import migrations, models
from django.db.models import F, Q

STAYS = """
CREATE TRIGGER reports_driver_volume_rows_stay BEFORE UPDATE OR DELETE ON reports_driver_volume
    FOR EACH ROW EXECUTE FUNCTION reports_refuse_change();
CREATE TRIGGER reports_driver_volume_stays BEFORE TRUNCATE ON reports_driver_volume
    FOR EACH STATEMENT EXECUTE FUNCTION reports_refuse_change();
"""
GOES = """
DROP TRIGGER reports_driver_volume_stays ON reports_driver_volume;
DROP TRIGGER reports_driver_volume_rows_stay ON reports_driver_volume;
"""


class Migration(migrations.Migration):
    """Expand only: one new table, two columns with a constant default."""

    dependencies = [("reports", "0003_outcome_count")]

    operations = [
        migrations.AddField(
            model_name="allocationrule",
            name="driver",
            field=models.CharField(default="", max_length=64),
        ),
        migrations.AddField(
            model_name="componentamount",
            name="inputs",
            field=models.JSONField(default=dict),
        ),
        migrations.CreateModel(
            name="DriverVolume",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("use_case", models.IntegerField(help_text="number entries carry")),
                ("driver", models.CharField(max_length=64)),
                ("first", models.DateField()),
                ("after", models.DateField()),
                ("revision", models.IntegerField()),
                ("volume", models.BigIntegerField()),
                ("source", models.CharField(max_length=200)),
                (
                    "entry_uid",
                    models.UUIDField(help_text="uid of its driver entry", unique=True),
                ),
                ("recorded_at", models.DateTimeField()),
                (
                    "recorded_by",
                    models.CharField(help_text="public id of a person or key", max_length=64),
                ),
            ],
            options={"db_table": "reports_driver_volume"},
        ),
        migrations.AddIndex(
            model_name="drivervolume",
            index=models.Index(fields=["first"], name="driver_volume_by_day"),
        ),
        migrations.AddConstraint(
            model_name="drivervolume",
            constraint=models.UniqueConstraint(
                fields=("use_case", "driver", "first", "after", "revision"),
                name="driver_volume_once_a_revision",
            ),
        ),
        migrations.AddConstraint(
            model_name="drivervolume",
            constraint=models.CheckConstraint(
                condition=Q(("after__gt", F("first"))), name="driver_volume_has_days"
            ),
        ),
        migrations.AddConstraint(
            model_name="drivervolume",
            constraint=models.CheckConstraint(
                condition=Q(("volume__gte", 0)), name="driver_volume_is_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="drivervolume",
            constraint=models.CheckConstraint(
                condition=Q(("revision__gte", 1)), name="driver_volume_revision_ge_1"
            ),
        ),
        migrations.RunSQL(STAYS, GOES),
    ]
