-- All assets of a file get the same verdict. After a failure the last good verdict stays for 24 hours, and so does that
-- of an asset whose link changed to this file. An asset that is not valid, and for which the file was not read, waits
-- while the file can be read soon: see assets/record_standings.sql. A new last_valid is published, so it counts as a
-- change.
WITH judged AS (
    UPDATE assets a SET
        is_valid = v.is_proven OR coalesce(v.was_never_good AND a.is_valid AND a.last_valid > $3 - interval '24 hours', false),
        last_valid = CASE WHEN v.is_proven THEN $3 ELSE a.last_valid END,
        version = CASE WHEN v.is_proven AND (NOT a.is_valid OR a.last_valid IS DISTINCT FROM $3)
                         OR a.is_valid AND NOT v.is_proven
                            AND NOT coalesce(v.was_never_good AND a.last_valid > $3 - interval '24 hours', false)
                  THEN nextval('asset_version') ELSE a.version END
    FROM (SELECT NOT $2::bool OR coalesce(is_good OR good_at > $3 - interval '24 hours', false) AS is_proven,
                 good_at IS NULL AS was_never_good,
                 NOT $2::bool OR NOT is_good AND next_check_at > $3 + interval '1 minute' AS has_no_words_soon
          FROM toml_files WHERE url = $1) v
    JOIN assets was ON true
    WHERE a.toml_url = $1 AND a.meets_rules AND was.id = a.id
      AND (a.is_valid OR a.toml_applied_at IS NOT NULL OR v.has_no_words_soon)
    RETURNING a.version, was.version AS version_before
)
SELECT min(version), max(version) FROM judged WHERE version <> version_before
