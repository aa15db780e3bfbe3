"""How do new months get their partitions? By the owner's functions, which the roles may call.

Each function is SECURITY DEFINER with a fixed search path, does nothing when the partition is
there, and refuses months no honest writer needs. A partition is built beside the table and then
attached: that lets writers of other months go on, where CREATE TABLE ... PARTITION OF would
stop them. The advisory lock makes two callers take turns.

Called by this migration, by the sealer every hour and by a writer that meets a new month.
"""

# ruff: noqa: E501 - a column comment is one line

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION ledger_create_partition(parent text, child text, lower_bound text, upper_bound text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('o10 ledger partition'), hashtext(parent));
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS
        INCLUDING COMMENTS INCLUDING STORAGE)', child, parent);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()', child);
    EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, %I, %I', child,
        current_database() || '_app', current_database() || '_sealer');
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        parent, child, lower_bound, upper_bound);
    RETURN true;
END $$;
COMMENT ON FUNCTION ledger_create_partition IS 'Builds, guards and attaches one partition; true when it was missing. Not for the roles.';

CREATE FUNCTION ledger_uid_at(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT overlay(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
                   PLACING '-' FROM 9 FOR 0) || '-0000-0000-000000000000'
$$;
COMMENT ON FUNCTION ledger_uid_at IS 'Smallest uid of an origin instant: its Unix milliseconds in the first 48 bits.';

CREATE FUNCTION ledger_create_month(at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    starts timestamptz := date_trunc('month', at, 'UTC');
    ends timestamptz := ((starts AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    suffix text := to_char(starts AT TIME ZONE 'UTC', 'YYYY_MM');
    made boolean;
BEGIN
    IF at < '2020-01-01Z' OR at > now() + interval '13 months' THEN
        RAISE EXCEPTION 'no ledger partition for %', at USING ERRCODE = 'check_violation';
    END IF;
    made := ledger_create_partition('ledger_entry', 'ledger_entry_' || suffix,
        quote_literal(starts::text), quote_literal(ends::text));
    RETURN ledger_create_partition('ledger_idem', 'ledger_idem_' || suffix,
        quote_literal(ledger_uid_at(starts)), quote_literal(ledger_uid_at(ends))) OR made;
END $$;
COMMENT ON FUNCTION ledger_create_month IS 'Partitions of entries and keys for the month of an instant; true when one was missing.';

CREATE FUNCTION ledger_create_seal_range(seq bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    number bigint := seq / 67108864;
    newest bigint := (SELECT coalesce(max(s.seq), 0) FROM ledger_seal_state s);
BEGIN
    IF seq < 0 OR seq > newest + 2 * 67108864 THEN
        RAISE EXCEPTION 'no seal partition for %', seq USING ERRCODE = 'check_violation';
    END IF;
    RETURN ledger_create_partition('ledger_seal', 'ledger_seal_' || lpad(number::text, 6, '0'),
        (number * 67108864)::text, ((number + 1) * 67108864)::text);
END $$;
COMMENT ON FUNCTION ledger_create_seal_range IS 'Partition of 64 Mi positions around seq; true when it was missing.';

DO $$
DECLARE
    app text := current_database() || '_app';
    sealer text := current_database() || '_sealer';
BEGIN
    REVOKE ALL ON FUNCTION ledger_create_partition, ledger_create_month,
        ledger_create_seal_range FROM PUBLIC;
    EXECUTE format('GRANT EXECUTE ON FUNCTION ledger_create_month TO %I, %I', app, sealer);
    EXECUTE format('GRANT EXECUTE ON FUNCTION ledger_create_seal_range TO %I', sealer);
END $$;
"""

# Keys without an origin time begin with zeroes; with those from before 2020 they have one partition.
FIRST = """
SELECT ledger_create_partition('ledger_idem', 'ledger_idem_bare', 'MINVALUE',
    quote_literal(ledger_uid_at('2020-01-01Z')));
SELECT ledger_create_month(now() + n * interval '1 month') FROM generate_series(0, 3) n;
SELECT ledger_create_seal_range(0);
"""

DROP = """
DROP FUNCTION ledger_create_seal_range, ledger_create_month, ledger_uid_at,
    ledger_create_partition;
"""


class Migration(migrations.Migration):
    """Functions, then the partitions of this month and the next three."""

    dependencies = [("ledger", "0003_immutability")]
    operations = [
        migrations.RunSQL(FUNCTIONS, DROP),
        migrations.RunSQL(FIRST, migrations.RunSQL.noop),
    ]
