SELECT a.id, a.code, a.issuer
FROM unnest($1::text[], $2::text[]) AS wanted (code, issuer)
JOIN assets a ON a.code = wanted.code AND a.issuer = wanted.issuer
