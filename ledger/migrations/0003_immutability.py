"""Who may change what was written? Nobody: grants say it to the roles, triggers to the owner too.

The application's role reads and adds; only the sealer numbers entries and keeps the rollups.
Neither may UPDATE, DELETE or TRUNCATE an append-only table or give a row's xid, and neither has
any right on a partition: rows go in and out through the parent. Row triggers of a partitioned
table reach its partitions by themselves; the TRUNCATE trigger is put on each partition by
`ledger_create_partition` (0004). There is no insert trigger: it would cost a third of the COPY
rate.

The roles `<database>_app` and `<database>_sealer` exist before this migration runs.
"""

# ruff: noqa: E501 - a column comment is one line

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation',
              HINT = 'Corrections are reversing entries.';
END $$;
COMMENT ON FUNCTION ledger_refuse_change IS 'Trigger of append-only tables.';

CREATE FUNCTION ledger_period_moves_one_way() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status = 'closed'
       OR (OLD.status = 'closing' AND NEW.status = 'open')
       OR (OLD.ledger_id, OLD.period, OLD.starts_at, OLD.ends_at)
          IS DISTINCT FROM (NEW.ledger_id, NEW.period, NEW.starts_at, NEW.ends_at) THEN
        RAISE EXCEPTION 'period % is %: % refused', OLD.period, OLD.status, TG_OP
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION ledger_period_moves_one_way IS 'Trigger: open, closing, closed, never back, never gone.';

DO $$
DECLARE
    frozen text;
BEGIN
    FOREACH frozen IN ARRAY ARRAY[
        'ledger_entry', 'ledger_idem', 'ledger_reversed', 'ledger_document', 'ledger_registry',
        'ledger_seal', 'ledger_tile', 'ledger_checkpoint', 'ledger_anchor', 'ledger_verification']
    LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()', frozen);
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()', frozen);
    END LOOP;
END $$;
CREATE TRIGGER moves_one_way BEFORE UPDATE OR DELETE ON ledger_period
    FOR EACH ROW EXECUTE FUNCTION ledger_period_moves_one_way();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON ledger_period
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
"""

ENTRY_COLUMNS = """id, ver, ledger_id, kind, uid, effective_at, recorded_at, envelope_id,
    use_case_id, dims_id, offer_id, venue_id, model_id, actor_id, amount_nanos, held_nanos,
    unsettled_nanos, reserved_nanos, counter_nanos, n, tok_in, tok_cache_read, tok_cache_write,
    tok_cache_write_1h, tok_out, tok_reasoning, latency_ms, price_version, policy_version,
    decision, reservation, lease, parent, attempt, flags, env_version, reverses, doc, ref, leaf"""

GRANTS = f"""
DO $$
DECLARE
    app text := current_database() || '_app';
    sealer text := current_database() || '_sealer';
    rule record;
BEGIN
    FOR rule IN SELECT * FROM (VALUES
        ('ledger_ledger', 'SELECT, INSERT, UPDATE (closed_at)', 'SELECT'),
        ('ledger_entry', 'SELECT, INSERT ({ENTRY_COLUMNS})', 'SELECT, INSERT ({ENTRY_COLUMNS})'),
        ('ledger_idem', 'SELECT, INSERT (entry_id, ledger_id, uid, request_hash)',
                        'SELECT, INSERT (entry_id, ledger_id, uid, request_hash)'),
        ('ledger_reversed', 'SELECT, INSERT', 'SELECT'),
        ('ledger_document', 'SELECT, INSERT', 'SELECT, INSERT'),
        ('ledger_registry', 'SELECT, INSERT', 'SELECT'),
        ('ledger_seal', 'SELECT', 'SELECT, INSERT'),
        ('ledger_tile', 'SELECT', 'SELECT, INSERT'),
        ('ledger_checkpoint', 'SELECT', 'SELECT, INSERT'),
        ('ledger_anchor', 'SELECT, INSERT', 'SELECT'),
        ('ledger_verification', 'SELECT, INSERT', 'SELECT, INSERT'),
        ('ledger_seal_state', 'SELECT', 'SELECT, INSERT, UPDATE'),
        ('ledger_period', 'SELECT, INSERT, UPDATE', 'SELECT'),
        ('rollup_hour', 'SELECT', 'SELECT, INSERT, UPDATE'),
        ('rollup_day', 'SELECT', 'SELECT, INSERT, UPDATE')
    ) AS rules (name, of_app, of_sealer)
    LOOP
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, %I, %I', rule.name, app, sealer);
        EXECUTE format('GRANT %s ON %I TO %I', rule.of_app, rule.name, app);
        EXECUTE format('GRANT %s ON %I TO %I', rule.of_sealer, rule.name, sealer);
    END LOOP;
    EXECUTE format('GRANT USAGE ON SEQUENCE ledger_entry_id_seq TO %I, %I', app, sealer);
    EXECUTE format('GRANT USAGE ON SEQUENCE ledger_registry_number TO %I', app);
END $$;
"""

DROP = """
DROP FUNCTION ledger_refuse_change, ledger_period_moves_one_way CASCADE;
"""


class Migration(migrations.Migration):
    """Triggers and grants only; no row is touched."""

    dependencies = [("ledger", "0002_seal")]
    operations = [
        migrations.RunSQL(FUNCTIONS, DROP),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
