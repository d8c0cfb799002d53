-- Ends verdicts that are too old: of a file that fails, or of an asset whose link changed to a file that was never
-- good. Locks the assets in the order of assets/lock.sql, which prevents deadlocks.
WITH old AS (
    SELECT a.id FROM assets a
    LEFT JOIN toml_files f ON f.url = a.toml_url
    WHERE a.is_valid AND a.issuer <> 'native'
      AND (NOT f.is_good AND f.good_at <= $1 OR f.good_at IS NULL AND a.last_valid <= $1)
    ORDER BY a.id
    FOR NO KEY UPDATE OF a
), expired AS (
    UPDATE assets a SET is_valid = false, version = nextval('asset_version')
    FROM old WHERE a.id = old.id
    RETURNING a.version
)
SELECT min(version), max(version) FROM expired
