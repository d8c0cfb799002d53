SELECT NOT EXISTS (
    SELECT FROM unnest($1::text[]) AS wanted (raw_hash)
    WHERE NOT EXISTS (SELECT FROM quarantine q WHERE q.raw_hash = wanted.raw_hash)
)
