-- The verdict is the same for every asset of a file; a failure does not take away the last good one for 24 hours.
-- A new last_valid is a change that is published.
WITH judged AS (
    UPDATE assets a SET
        is_valid = v.is_valid,
        last_valid = CASE WHEN v.is_valid THEN $3 ELSE a.last_valid END,
        version = CASE WHEN a.is_valid <> v.is_valid OR v.is_valid AND a.last_valid IS DISTINCT FROM $3 THEN nextval('asset_version') ELSE a.version END
    FROM (SELECT NOT $2::bool OR coalesce(is_good OR good_at > $3 - interval '24 hours', false) AS is_valid
          FROM toml_files WHERE url = $1) v
    JOIN assets was ON true
    WHERE a.toml_url = $1 AND a.meets_rules AND was.id = a.id
    RETURNING a.version, was.version AS version_before
)
SELECT min(version), max(version) FROM judged WHERE version <> version_before
