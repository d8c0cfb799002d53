-- The lowest ledger of a lake that is stored, and to which no hash of Horizon leads. Stored, so that a restart or a
-- take-over forgets no doubt. No row: nothing is unproven.

CREATE TABLE unproven_ledgers (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    from_ledger bigint NOT NULL,
    from_time   timestamptz NOT NULL
);
