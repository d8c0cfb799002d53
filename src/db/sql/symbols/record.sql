INSERT INTO symbol_choices (code, issuer, since, previous_issuer, challenger_issuer, challenger_since, checked_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])
ON CONFLICT (code) DO UPDATE SET
    issuer = excluded.issuer, since = excluded.since, previous_issuer = excluded.previous_issuer,
    challenger_issuer = excluded.challenger_issuer, challenger_since = excluded.challenger_since,
    checked_at = excluded.checked_at
