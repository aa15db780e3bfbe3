"""Who may change a price that was written? Nobody: a new price is a new rule in a new version.

The application reads and adds; UPDATE, DELETE and TRUNCATE are refused by grant to it and by
trigger to the owner too. An entry names the price version it was priced at, so an edited rule
would change history unseen.
"""

from django.db import migrations

TABLES = (
    "ledger_price_version",
    "ledger_price_offer",
    "ledger_price_alias",
    "ledger_price_rule",
    "ledger_price_rate",
    "ledger_price_withdrawal",
    "ledger_price_quarantine",
)

PROTECT = "\n".join(
    f"""
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
COMMENT ON TABLE {table} IS 'Append-only: price book.';
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
COMMENT ON COLUMN ledger_price_version.digest IS
    'SHA-256 of the digest before and of the lines added (ledger.core.price_digest).';
COMMENT ON COLUMN ledger_price_rate.nanos_per_million IS
    'Nano-units of the rule''s currency per 1,000,000 units of the meter.';
COMMENT ON COLUMN ledger_price_rate.above_tokens IS
    'Holds when the total input of the call is above so many tokens.';
COMMENT ON COLUMN ledger_price_rule.valid_to IS 'Exclusive; NULL = open.';
"""


class Migration(migrations.Migration):
    """Triggers, grants and comments only; no row is touched."""

    dependencies = [("ledger", "0006_prices")]
    operations = [
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
        migrations.RunSQL(COMMENTS, migrations.RunSQL.noop),
    ]
