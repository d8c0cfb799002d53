-- Assets without a credible answer stay as they are. They are due again if the next sweep does not contain them either.
-- Locks them in the order of lock.sql, which prevents deadlocks.
WITH postponed AS (
    SELECT a.id FROM unnest($1::text[], $2::text[]) AS incoming (code, issuer)
    JOIN assets a ON a.code = incoming.code AND a.issuer = incoming.issuer
    ORDER BY a.id
    FOR NO KEY UPDATE OF a
)
UPDATE assets a SET checked_at = $3 FROM postponed WHERE a.id = postponed.id
