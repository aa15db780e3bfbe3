"""Where does the proof stand? Seal, tree, checkpoints, periods, rollups, verification results.

Written by the sealer, except periods and anchors. `ledger_seal` is partitioned by ranges of 64 M
positions. Rollups and the seal state are caches: each is recomputed from entries by
`ledger_verify`.
"""

# ruff: noqa: E501 - a column comment is one line

from django.db import migrations

ROLLUP = """
CREATE TABLE {table} (
    bucket {bucket} NOT NULL,
    amount_nanos bigint NOT NULL,
    held_nanos bigint NOT NULL,
    unsettled_nanos bigint NOT NULL,
    reserved_nanos bigint NOT NULL,
    counter_nanos bigint NOT NULL,
    n bigint NOT NULL,
    tok_in bigint NOT NULL,
    tok_cache_read bigint NOT NULL,
    tok_cache_write bigint NOT NULL,
    tok_cache_write_1h bigint NOT NULL,
    tok_out bigint NOT NULL,
    tok_reasoning bigint NOT NULL,
    upto_seq bigint NOT NULL,
    ledger_id integer NOT NULL,
    use_case_id integer NOT NULL,
    envelope_id integer NOT NULL,
    venue_id integer NOT NULL,
    model_id integer NOT NULL,
    dims_id integer NOT NULL,
    kind_class smallint NOT NULL,
    PRIMARY KEY (ledger_id, bucket, use_case_id, envelope_id, venue_id, model_id, dims_id,
                 kind_class)
) WITH (fillfactor = 70);
COMMENT ON TABLE {table} IS 'Cache. {what}';
COMMENT ON COLUMN {table}.kind_class IS 'ledger.core.rollup.KindClass.';
COMMENT ON COLUMN {table}.upto_seq IS 'The cell counts every entry up to here that belongs to it.';
"""

TABLES = (
    """
CREATE TABLE ledger_seal (
    seq bigint NOT NULL CONSTRAINT seal_seq_starts_at_one CHECK (seq >= 1),
    entry_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    ledger_id integer NOT NULL,
    chain bytea NOT NULL CONSTRAINT seal_chain_is_a_hash CHECK (octet_length(chain) = 32),
    PRIMARY KEY (ledger_id, seq)
) PARTITION BY RANGE (seq);
CREATE INDEX ledger_seal_by_entry ON ledger_seal (entry_id);
COMMENT ON TABLE ledger_seal IS 'Append-only, by the sealer. Contiguous position and chain hash of each entry.';
COMMENT ON COLUMN ledger_seal.seq IS 'Position, from 1; the leaf of seq stands at tree index seq - 1.';
COMMENT ON COLUMN ledger_seal.entry_id IS 'ledger_entry.id; with recorded_at its key.';
COMMENT ON COLUMN ledger_seal.chain IS 'SHA-256(0x02 || chain of seq - 1 || leaf).';

CREATE TABLE ledger_tile (
    idx bigint NOT NULL CONSTRAINT tile_idx_not_negative CHECK (idx >= 0),
    ledger_id integer NOT NULL,
    level smallint NOT NULL CONSTRAINT tile_level_known CHECK (level BETWEEN 0 AND 7),
    hashes bytea NOT NULL CONSTRAINT tile_is_full CHECK (octet_length(hashes) = 8192),
    PRIMARY KEY (ledger_id, level, idx)
);
ALTER TABLE ledger_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
COMMENT ON TABLE ledger_tile IS 'Append-only, by the sealer. Full C2SP tlog-tiles: 256 hashes each.';

CREATE TABLE ledger_checkpoint (
    size bigint NOT NULL CONSTRAINT checkpoint_size_not_negative CHECK (size >= 0),
    signed_at timestamptz NOT NULL,
    ledger_id integer NOT NULL,
    root bytea NOT NULL CONSTRAINT checkpoint_root_is_a_hash CHECK (octet_length(root) = 32),
    chain bytea NOT NULL CONSTRAINT checkpoint_chain_is_a_hash CHECK (octet_length(chain) = 32),
    note text NOT NULL,
    key_id bytea NOT NULL CONSTRAINT checkpoint_key_id_is_4_bytes CHECK (octet_length(key_id) = 4),
    PRIMARY KEY (ledger_id, size)
);
COMMENT ON TABLE ledger_checkpoint IS 'Append-only, by the sealer. Signed C2SP notes over size and root.';
COMMENT ON COLUMN ledger_checkpoint.chain IS 'Chain hash at size; bound by the hourly checkpoint_ref entry.';
COMMENT ON COLUMN ledger_checkpoint.key_id IS 'First 4 bytes of the C2SP key hash.';

CREATE TABLE ledger_anchor (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size bigint NOT NULL,
    at timestamptz NOT NULL,
    ledger_id integer NOT NULL,
    kind text NOT NULL CONSTRAINT anchor_kind_known CHECK (
        kind IN ('file', 'witness', 'rfc3161', 'object_lock', 'pack')),
    evidence bytea NOT NULL,
    FOREIGN KEY (ledger_id, size) REFERENCES ledger_checkpoint (ledger_id, size)
);
COMMENT ON TABLE ledger_anchor IS 'Append-only. Receipts of checkpoints kept outside.';

CREATE TABLE ledger_seal_state (
    ledger_id integer PRIMARY KEY REFERENCES ledger_ledger (id),
    seq bigint NOT NULL,
    last_xid xid8 NOT NULL,
    last_id bigint NOT NULL,
    chain bytea NOT NULL,
    ranges bytea NOT NULL,
    fence bigint NOT NULL,
    system_id bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT seal_state_chain_is_a_hash CHECK (octet_length(chain) = 32),
    CONSTRAINT seal_state_ranges_are_hashes CHECK (octet_length(ranges) % 32 = 8)
) WITH (fillfactor = 10);
COMMENT ON TABLE ledger_seal_state IS 'Cache of the sealer, one row a ledger.';
COMMENT ON COLUMN ledger_seal_state.last_xid IS 'With last_id the cursor: everything at or below it is sealed.';
COMMENT ON COLUMN ledger_seal_state.ranges IS 'Compact range of the tree: size as uint64, then the roots of its perfect subtrees, widest first.';
COMMENT ON COLUMN ledger_seal_state.fence IS 'Raised by each sealer that takes over; an older one changes nothing.';
COMMENT ON COLUMN ledger_seal_state.system_id IS 'Cluster in which last_xid has a meaning (pg_control_system).';

CREATE TABLE ledger_period (
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    first_seq bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    closed_at timestamptz,
    ledger_id integer NOT NULL REFERENCES ledger_ledger (id),
    period text NOT NULL,
    status text NOT NULL DEFAULT 'open'
        CONSTRAINT period_status_known CHECK (status IN ('open', 'closing', 'closed')),
    root bytea NOT NULL DEFAULT '',
    balances_root bytea NOT NULL DEFAULT '',
    PRIMARY KEY (ledger_id, period),
    CONSTRAINT period_is_half_open CHECK (starts_at < ends_at),
    CONSTRAINT period_closed_at_iff_closed CHECK ((closed_at IS NOT NULL) = (status = 'closed'))
);
COMMENT ON TABLE ledger_period IS 'Frozen once closed. Status moves open, closing, closed and never back.';

CREATE TABLE ledger_verification (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    from_seq bigint NOT NULL,
    upto_seq bigint NOT NULL,
    ledger_id integer NOT NULL,
    mode text NOT NULL CONSTRAINT verification_mode_known CHECK (
        mode IN ('tail', 'incremental', 'full')),
    ok boolean NOT NULL,
    finding jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT verification_finding_iff_not_ok CHECK (ok = (finding = '{}'))
);
CREATE INDEX ledger_verification_newest ON ledger_verification (ledger_id, id DESC);
CREATE INDEX ledger_verification_bad ON ledger_verification (ledger_id, id DESC) WHERE NOT ok;
COMMENT ON TABLE ledger_verification IS 'Append-only. What each verifier run found.';
COMMENT ON COLUMN ledger_verification.upto_seq IS 'Every position up to here was recomputed.';
COMMENT ON COLUMN ledger_verification.finding IS 'First difference: code, seq, uid, column, expected, found; empty when ok.';
"""
    + ROLLUP.format(
        table="rollup_hour",
        bucket="timestamptz",
        what="Sums of entries by UTC hour of effective_at.",
    )
    + ROLLUP.format(
        table="rollup_day",
        bucket="date",
        what="Sums of entries by day of effective_at in the ledger zone.",
    )
    + """
CREATE INDEX rollup_day_by_use_case ON rollup_day (use_case_id, bucket);
CREATE INDEX rollup_hour_by_use_case ON rollup_hour (use_case_id, bucket);
"""
)

DROP = """
DROP TABLE rollup_day, rollup_hour, ledger_verification, ledger_period, ledger_seal_state,
    ledger_anchor, ledger_checkpoint, ledger_tile, ledger_seal;
"""


class Migration(migrations.Migration):
    """Expand only: creates empty tables."""

    dependencies = [("ledger", "0001_entry")]
    operations = [migrations.RunSQL(TABLES, DROP)]
