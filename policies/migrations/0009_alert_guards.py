"""Why: a delivery log and a list of signed changes that could be edited prove nothing.

A trigger refuses UPDATE, DELETE and TRUNCATE, as on the other append-only tables.
"""

from django.db import migrations

APPEND_ONLY = ("policies_alert_attempt", "policies_signed_change")

TRIGGERS = "".join(
    f"""
CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION policies_refuse_change();
CREATE TRIGGER {table}_stays BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION policies_refuse_change();
"""
    for table in APPEND_ONLY
)

DROP = "".join(
    f"DROP TRIGGER {table}_stays ON {table}; DROP TRIGGER {table}_rows_stay ON {table};"
    for table in APPEND_ONLY
)


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("policies", "0008_alerts")]

    operations = [migrations.RunSQL(TRIGGERS, DROP)]
