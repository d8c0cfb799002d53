-- Creates the row again if somebody deleted it.
INSERT INTO asset_sweep (token, began_at, swept_from, finished_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (only_row) DO UPDATE SET
    token = excluded.token, began_at = excluded.began_at, swept_from = excluded.swept_from,
    finished_at = excluded.finished_at
