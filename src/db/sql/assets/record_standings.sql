-- Gives a new version only to assets that change. Returns the first and the last new version. If the link of an asset
-- changed, the words of the old file stay until the new one is read, but the new domain has confirmed nothing yet. The
-- old verdict stays for 24 hours if the new file was never good.
--
-- Words of a file that was read while the asset did not meet the rules are not its own: they may be old by now.
--
-- An asset that is not valid, and whose file can be read soon, waits for the words of that file: toml_files/judge.sql
-- then makes both visible together. Otherwise its trades would stand under another pair until then. A good file is due
-- at once (toml_files/due.sql). A file that failed is waited for if its next fetch is within a minute, as after a first
-- failure. If not, the asset shares the last good verdict of its file, without words.
WITH found AS (
    SELECT DISTINCT ON (code, issuer) * FROM unnest($1::text[], $2::text[], $3::bool[], $4::bigint[], $5::text[]::numeric[],
        $6::bool[], $7::bool[], $8::text[])
        AS t (code, issuer, meets_rules, num_accounts, amount, auth_required, auth_revocable, toml_url)
), judged AS (
    SELECT found.*, a.id, a.version AS version_before,
           least(found.amount, 9223372036854775807)::bigint AS held_amount,
           CASE WHEN found.amount > 9223372036854775807 THEN found.amount END AS supply,
           found.meets_rules AND (NOT $9::bool OR coalesce(f.is_good OR f.good_at > $10 - interval '24 hours', false)
               AND (a.is_valid OR words.toml_applied_at IS NOT NULL
                    OR NOT f.is_good AND f.next_check_at > $10 + interval '1 minute')) AS is_proven,
           found.toml_url <> '' AND f.good_at IS NULL AND a.is_valid
               AND coalesce(a.last_valid > $10 - interval '24 hours', false) AS is_in_grace,
           words.toml_applied_at
    FROM found
    JOIN assets a ON a.code = found.code AND a.issuer = found.issuer
    CROSS JOIN LATERAL (
        SELECT CASE WHEN a.toml_url = found.toml_url AND a.meets_rules THEN a.toml_applied_at END AS toml_applied_at
    ) words
    LEFT JOIN toml_files f ON f.url = found.toml_url
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
        toml_applied_at = j.toml_applied_at,
        asset_controlled_by_domain = a.asset_controlled_by_domain AND a.toml_url = j.toml_url
    FROM decided j
    WHERE a.id = j.id
    RETURNING a.version, j.version_before
)
SELECT min(version), max(version) FROM checked WHERE version <> version_before
