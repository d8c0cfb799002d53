-- Assets without a credible answer stay as they are. They are due again if the next sweep does not contain them either.
UPDATE assets a SET checked_at = $3
FROM unnest($1::text[], $2::text[]) AS incoming (code, issuer)
WHERE a.code = incoming.code AND a.issuer = incoming.issuer
