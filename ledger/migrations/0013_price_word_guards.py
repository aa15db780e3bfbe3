"""Who may change a confirmation or a dismissal? Nobody: they are added, as in 0009."""

from django.db import migrations

TABLES = ("ledger_price_confirmation", "ledger_price_dismissal")

PROTECT = "\n".join(
    f"""
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
COMMENT ON TABLE {table} IS 'Append-only: price governance.';
"""
    for table in TABLES
)

UNPROTECT = "\n".join(
    f"DROP TRIGGER refuse_change ON {table}; DROP TRIGGER refuse_truncate ON {table};"
    for table in TABLES
)

GRANTS = f"""
DO $$
DECLARE
    app text := current_database() || '_app';
    sealer text := current_database() || '_sealer';
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[{", ".join(f"'{table}'" for table in TABLES)}]
    LOOP
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, %I, %I', guarded, app, sealer);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO %I', guarded, app);
    END LOOP;
END $$;
"""

COMMENTS = """
COMMENT ON COLUMN ledger_price_confirmation.content_hash IS 'SHA-256 of the catalogue read.';
COMMENT ON COLUMN ledger_commitment_day.beyond_nanos IS
    'Nano-units of the ledger''s currency that the tokens beyond the capacity cost on demand.';
"""


class Migration(migrations.Migration):
    """Triggers, grants and comments only; no row is touched."""

    dependencies = [("ledger", "0012_price_words")]
    operations = [
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
        migrations.RunSQL(COMMENTS, migrations.RunSQL.noop),
    ]
