-- Only what really changed gets a new version; comes back with the first and the last version that was given.
-- An asset whose link moved waits for the new file's words; those of the old one stay until then, and its verdict for 24
-- hours where the new one was never good.
WITH told AS (
    SELECT DISTINCT ON (code, issuer) * FROM unnest($1::text[], $2::text[], $3::bool[], $4::bigint[], $5::text[]::numeric[],
        $6::bool[], $7::bool[], $8::text[])
        AS t (code, issuer, meets_rules, num_accounts, amount, auth_required, auth_revocable, toml_url)
), judged AS (
    SELECT told.*, a.id, a.version AS version_before,
           least(told.amount, 9223372036854775807)::bigint AS held_amount,
           CASE WHEN told.amount > 9223372036854775807 THEN told.amount END AS supply,
           told.meets_rules AND (NOT $9::bool OR coalesce(f.is_good OR f.good_at > $10 - interval '24 hours', false)) AS is_proven,
           told.toml_url <> '' AND f.good_at IS NULL AND a.is_valid
               AND coalesce(a.last_valid > $10 - interval '24 hours', false) AS is_in_grace,
           CASE WHEN a.toml_url = told.toml_url THEN a.toml_applied_at END AS toml_applied_at
    FROM told
    JOIN assets a ON a.code = told.code AND a.issuer = told.issuer
    LEFT JOIN toml_files f ON f.url = told.toml_url
), decided AS (
    SELECT judged.*, is_proven OR meets_rules AND is_in_grace AS is_valid FROM judged
), checked AS (
    UPDATE assets a SET
        checked_at = $10,
        last_valid = CASE WHEN j.is_proven THEN $10 ELSE a.last_valid END,
        version = CASE WHEN j.is_proven AND a.last_valid IS DISTINCT FROM $10 -- published as well
                         OR (a.is_valid, a.num_accounts, a.amount, a.supply, a.auth_required, a.auth_revocable, a.toml_url)
                     IS DISTINCT FROM (j.is_valid, j.num_accounts, j.held_amount, j.supply, j.auth_required, j.auth_revocable, j.toml_url)
                  THEN nextval('asset_version') ELSE a.version END,
        is_valid = j.is_valid, meets_rules = j.meets_rules, num_accounts = j.num_accounts, amount = j.held_amount,
        supply = j.supply,
        auth_required = j.auth_required, auth_revocable = j.auth_revocable, toml_url = j.toml_url,
        toml_applied_at = j.toml_applied_at
    FROM decided j
    WHERE a.id = j.id
    RETURNING a.version, j.version_before
)
SELECT min(version), max(version) FROM checked WHERE version <> version_before
