-- Only what really changed gets a new version; comes back with the versions that were given.
WITH told AS (
    SELECT * FROM unnest($1::int[], $2::bool[], $3::bigint[], $4::bigint[], $5::bool[], $6::bool[], $7::text[], $8::text[])
        AS t (id, is_valid, num_accounts, amount, auth_required, auth_revocable, toml_url, anchor_asset_code)
), checked AS (
    UPDATE assets a SET
        checked_at = $9,
        last_valid = CASE WHEN t.is_valid THEN $9 ELSE a.last_valid END,
        version = CASE WHEN (a.is_valid, a.num_accounts, a.amount, a.auth_required, a.auth_revocable, a.toml_url, a.anchor_asset_code)
                     IS DISTINCT FROM (t.is_valid, t.num_accounts, t.amount, t.auth_required, t.auth_revocable, t.toml_url, t.anchor_asset_code)
                  THEN nextval('asset_version') ELSE a.version END,
        is_valid = t.is_valid, num_accounts = t.num_accounts, amount = t.amount, auth_required = t.auth_required,
        auth_revocable = t.auth_revocable, toml_url = t.toml_url, anchor_asset_code = t.anchor_asset_code
    FROM told t JOIN assets was ON was.id = t.id
    WHERE a.id = t.id
    RETURNING a.version, was.version AS version_before
)
SELECT min(version), max(version) FROM checked WHERE version <> version_before
