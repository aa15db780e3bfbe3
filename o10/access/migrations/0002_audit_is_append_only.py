"""Why: a row of `access_audit` that could be edited would prove nothing.

A trigger refuses UPDATE, DELETE and TRUNCATE for everybody who has not disabled it, and the
application's role loses the right to try. The role exists before migrations run.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION access_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'access_audit is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER access_audit_rows_stay
    BEFORE UPDATE OR DELETE ON access_audit
    FOR EACH ROW EXECUTE FUNCTION access_audit_refuse();

CREATE TRIGGER access_audit_table_stays
    BEFORE TRUNCATE ON access_audit
    FOR EACH STATEMENT EXECUTE FUNCTION access_audit_refuse();

DO $$
DECLARE
    app text := current_database() || '_app';
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = app) THEN
        EXECUTE format('REVOKE ALL ON access_audit FROM %I', app);
        EXECUTE format('GRANT SELECT, INSERT ON access_audit TO %I', app);
        EXECUTE format('GRANT USAGE ON SEQUENCE access_audit_id_seq TO %I', app);
    END IF;
END $$;
"""

BACKWARD = """
DROP TRIGGER access_audit_table_stays ON access_audit;
DROP TRIGGER access_audit_rows_stay ON access_audit;
DROP FUNCTION access_audit_refuse();
"""


class Migration(migrations.Migration):
    """Trigger and grants of the audit table."""

    dependencies = [("access", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
