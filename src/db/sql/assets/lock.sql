-- The order prevents deadlocks between two that lock the same rows. Trades may refer to the rows meanwhile.
SELECT a.id FROM unnest($1::text[], $2::text[]) AS incoming (code, issuer)
JOIN assets a ON a.code = incoming.code AND a.issuer = incoming.issuer
ORDER BY a.id
FOR NO KEY UPDATE OF a
