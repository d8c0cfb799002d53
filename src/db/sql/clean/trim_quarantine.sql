DELETE FROM quarantine WHERE id IN (
    SELECT id FROM quarantine
    WHERE seen_at < $1 OR id <= (SELECT max(id) FROM quarantine) - $2
    ORDER BY id LIMIT $3
)
