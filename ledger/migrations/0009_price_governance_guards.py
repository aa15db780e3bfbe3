"""Who may change a proposal, a rate, a commitment, a revaluation? Nobody: they are added.

As in 0007: the application reads and adds; UPDATE, DELETE and TRUNCATE are refused by grant to
it and by trigger to the owner too.
"""

from django.db import migrations

TABLES = (
    "ledger_price_proposal",
    "ledger_price_proposal_end",
    "ledger_price_release",
    "ledger_fx_rate",
    "ledger_commitment",
    "ledger_commitment_day",
    "ledger_revaluation",
)

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
COMMENT ON COLUMN ledger_fx_rate.rate IS
    'Decimal text: units of the ledger''s currency for one unit of currency.';
COMMENT ON COLUMN ledger_commitment.hourly_rate_nanos IS
    'Nano-units of currency for one unit and one hour.';
COMMENT ON COLUMN ledger_commitment_day.waste_nanos IS
    'Charge x (1 - used / capacity), rounded half even once.';
COMMENT ON COLUMN ledger_revaluation.delta_nanos IS
    'Amount of the revaluation entry: after minus before.';
"""


class Migration(migrations.Migration):
    """Triggers, grants and comments only; no row is touched."""

    dependencies = [("ledger", "0008_price_governance")]
    operations = [
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
        migrations.RunSQL(COMMENTS, migrations.RunSQL.noop),
    ]
