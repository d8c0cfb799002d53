-- Ends verdicts that are too old: of a file that fails, or of an asset whose link changed to a file that was never
-- good.
WITH expired AS (
    UPDATE assets a SET is_valid = false, version = nextval('asset_version')
    FROM assets was
    LEFT JOIN toml_files f ON f.url = was.toml_url
    WHERE was.id = a.id AND a.is_valid AND a.issuer <> 'native'
      AND (NOT f.is_good AND f.good_at <= $1 OR f.good_at IS NULL AND a.last_valid <= $1)
    RETURNING a.version
)
SELECT min(version), max(version) FROM expired
