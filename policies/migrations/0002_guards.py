"""Why: history that could be edited proves nothing, and hot rows must be updated in place.

A trigger refuses UPDATE, DELETE and TRUNCATE on the append-only tables for everybody who has
not disabled it. Balances and trees leave half of each page free, so that an update needs no
index write (HOT).
"""

from django.db import migrations

APPEND_ONLY = (
    "policies_answer_log",
    "policies_decision_log",
    "policies_denial_fold",
    "policies_envelope_version",
    "policies_policy_version",
    "policies_token_key",
)

FUNCTION = """
CREATE FUNCTION policies_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
"""

TRIGGERS = "".join(
    f"""
CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION policies_refuse_change();
CREATE TRIGGER {table}_stays BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION policies_refuse_change();
"""
    for table in APPEND_ONLY
)

STORAGE = """
ALTER TABLE envelope_balance SET (fillfactor = 50);
ALTER TABLE envelope_tree SET (fillfactor = 50);
ALTER TABLE reservation SET (fillfactor = 80);
"""

DROP = (
    "".join(
        f"DROP TRIGGER {table}_stays ON {table}; DROP TRIGGER {table}_rows_stay ON {table};"
        for table in APPEND_ONLY
    )
    + "DROP FUNCTION policies_refuse_change();"
)


class Migration(migrations.Migration):
    """Triggers and storage."""

    dependencies = [("policies", "0001_tables")]

    operations = [
        migrations.RunSQL(FUNCTION + TRIGGERS, DROP),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
