WITH expired AS (
    UPDATE assets a SET is_valid = false, version = nextval('asset_version')
    FROM toml_files f
    WHERE f.url = a.toml_url AND a.is_valid AND a.issuer <> 'native' AND NOT f.is_good AND f.good_at <= $1
    RETURNING a.version
)
SELECT min(version), max(version) FROM expired
