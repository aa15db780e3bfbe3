"""Who may write what belongs to a closed month? Nobody, by a CHECK that replaces itself.

`ledger_hold_entries` stops writers of entries for the moment of a close. `ledger_lock_period`
then flips the period and puts one CHECK on the entries: from now on none is recorded in, and
none that moves money or counts calls is effective in, a closed month. It is NOT VALID, because
what stands there was right when it was written, and it costs five comparisons a row where a
trigger would cost a third of the COPY rate. Closing in order makes one bound enough.

The tables of bills, closing balances and accruals are append-only; imports are a work list.
"""

# ruff: noqa: E501 - a comment in SQL is one line

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION ledger_hold_entries() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    -- Whoever wrote entries has finished; whoever wants to waits for this transaction.
    LOCK TABLE ledger_entry IN EXCLUSIVE MODE;
END $$;
COMMENT ON FUNCTION ledger_hold_entries IS 'Nobody else writes entries until this transaction ends. For the close of a period.';

CREATE FUNCTION ledger_lock_period(of_ledger integer, of_period text, closing_at timestamptz,
    first_of bigint, last_of bigint, root_of bytea, balances_root_of bytea)
RETURNS timestamptz LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    bound timestamptz;
BEGIN
    UPDATE ledger_period SET status = 'closed', closed_at = closing_at, first_seq = first_of,
        last_seq = last_of, root = root_of, balances_root = balances_root_of
    WHERE ledger_id = of_ledger AND period = of_period AND status = 'closing'
      AND ends_at <= closing_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'period % is not closing, or not over', of_period
            USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT max(ends_at) INTO bound FROM ledger_period
    WHERE ledger_id = of_ledger AND status = 'closed';
    EXECUTE format('ALTER TABLE ledger_entry
        DROP CONSTRAINT IF EXISTS entry_not_in_closed_period,
        ADD CONSTRAINT entry_not_in_closed_period CHECK (ledger_id <> %s
            OR recorded_at >= %L AND (effective_at >= %L OR (amount_nanos = 0
               AND held_nanos = 0 AND unsettled_nanos = 0 AND n = 0))) NOT VALID',
        of_ledger, bound, bound);
    RETURN bound;
END $$;
COMMENT ON FUNCTION ledger_lock_period IS 'Closes a period for good: nothing is recorded in it or moves it any more.';

DO $$
DECLARE
    app text := current_database() || '_app';
    sealer text := current_database() || '_sealer';
    frozen text;
    work text;
BEGIN
    FOREACH frozen IN ARRAY ARRAY['ledger_invoice', 'ledger_invoice_line',
        'ledger_booked_difference', 'ledger_period_balance', 'ledger_accrual']
    LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %I
            FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()', frozen);
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()', frozen);
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, %I, %I', frozen, app, sealer);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO %I', frozen, app);
    END LOOP;
    FOREACH work IN ARRAY ARRAY['ledger_import', 'ledger_import_reject']
    LOOP
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, %I, %I', work, app, sealer);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', work, app);
    END LOOP;
    REVOKE ALL ON FUNCTION ledger_hold_entries, ledger_lock_period FROM PUBLIC;
    EXECUTE format('GRANT EXECUTE ON FUNCTION ledger_hold_entries TO %I', app);
    EXECUTE format('GRANT EXECUTE ON FUNCTION ledger_lock_period TO %I', app);
    -- The state alone: closing for good goes through the function above.
    EXECUTE format('REVOKE UPDATE ON ledger_period FROM %I', app);
    EXECUTE format('GRANT UPDATE (status) ON ledger_period TO %I', app);
END $$;
COMMENT ON TABLE ledger_invoice IS 'Append-only: bills received.';
COMMENT ON TABLE ledger_invoice_line IS 'Append-only: lines of bills; each has its entry.';
COMMENT ON TABLE ledger_booked_difference IS 'Append-only: differences booked by two people.';
COMMENT ON TABLE ledger_period_balance IS 'Append-only: leaves of balances_root of closed periods.';
COMMENT ON TABLE ledger_accrual IS 'Append-only: expected cost of a month, taken back in the next.';
"""

DROP = """
ALTER TABLE ledger_entry DROP CONSTRAINT IF EXISTS entry_not_in_closed_period;
DROP FUNCTION ledger_lock_period, ledger_hold_entries;
DO $$
DECLARE
    frozen text;
BEGIN
    FOREACH frozen IN ARRAY ARRAY['ledger_invoice', 'ledger_invoice_line',
        'ledger_booked_difference', 'ledger_period_balance', 'ledger_accrual']
    LOOP
        EXECUTE format('DROP TRIGGER refuse_change ON %I', frozen);
        EXECUTE format('DROP TRIGGER refuse_truncate ON %I', frozen);
    END LOOP;
    EXECUTE format('GRANT UPDATE ON ledger_period TO %I', current_database() || '_app');
END $$;
"""


class Migration(migrations.Migration):
    """Functions, triggers and grants; no row is touched."""

    dependencies = [("ledger", "0010_close")]
    operations = [migrations.RunSQL(FUNCTIONS, DROP)]
