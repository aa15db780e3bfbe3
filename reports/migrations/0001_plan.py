"""Why: spend is read against a plan, and a plan that was edited in place explains nothing.

A trigger refuses UPDATE, DELETE and TRUNCATE, so that every version a figure was ever computed
with stays readable.
"""

from django.db import migrations, models
from django.db.models import Q

STAYS = """
CREATE FUNCTION reports_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER reports_plan_line_rows_stay BEFORE UPDATE OR DELETE ON reports_plan_line
    FOR EACH ROW EXECUTE FUNCTION reports_refuse_change();
CREATE TRIGGER reports_plan_line_stays BEFORE TRUNCATE ON reports_plan_line
    FOR EACH STATEMENT EXECUTE FUNCTION reports_refuse_change();
"""

GOES = """
DROP TRIGGER reports_plan_line_stays ON reports_plan_line;
DROP TRIGGER reports_plan_line_rows_stay ON reports_plan_line;
DROP FUNCTION reports_refuse_change();
"""


class Migration(migrations.Migration):
    """Expand only: one new table."""

    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="PlanLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("month", models.DateField()),
                ("use_case", models.IntegerField()),
                ("amount_nanos", models.BigIntegerField(null=True)),
                ("version", models.IntegerField()),
                ("entered_at", models.DateTimeField()),
                (
                    "entered_by",
                    models.CharField(help_text="public id of a person or key", max_length=64),
                ),
            ],
            options={
                "db_table": "reports_plan_line",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("month", "use_case", "version"),
                        name="plan_cell_once_a_version",
                    ),
                    models.CheckConstraint(
                        condition=Q(
                            ("amount_nanos__isnull", True),
                            ("amount_nanos__gte", 0),
                            _connector="OR",
                        ),
                        name="plan_amount_ge_0",
                    ),
                    models.CheckConstraint(
                        condition=Q(("version__gte", 1)), name="plan_version_ge_1"
                    ),
                    models.CheckConstraint(
                        condition=Q(("month__day", 1)), name="plan_month_is_a_first_day"
                    ),
                ],
            },
        ),
        migrations.RunSQL(STAYS, GOES),
    ]
