-- All valid assets, or the assets with a version from $1 to $2, valid or not. `supply` counts only if `amount` is at
-- its maximum, because the previous version of the program writes `amount` alone.
SELECT a.id, a.is_valid, a.code, a.issuer, a.type, a.num_accounts, a.auth_required, a.auth_revocable,
       (CASE WHEN a.amount = 9223372036854775807 THEN coalesce(a.supply, a.amount) ELSE a.amount END)::text AS amount,
       a.asset_controlled_by_domain, a.anchor_asset_code, a.anchor_asset_type, a.display_decimals, a.name, a."desc", a.conditions, a.is_asset_anchored,
       a.fixed_number, a.max_number, a.is_unlimited, a.redemption_instructions, a.collateral_addresses,
       a.collateral_address_signatures, a.status, a.toml_url, a.last_valid,
       coalesce(i.id, 0) AS issuer_id, coalesce(i.name, '') AS org_name, coalesce(i.url, '') AS org_url, coalesce(i.org_twitter, '') AS org_twitter,
       coalesce(i.federation_server, '') AS federation_server, coalesce(i.auth_server, '') AS auth_server,
       coalesce(i.transfer_server, '') AS transfer_server, coalesce(i.web_auth_endpoint, '') AS web_auth_endpoint,
       coalesce(i.deposit_server, '') AS deposit_server
FROM assets a
LEFT JOIN issuers i ON i.public_key = a.issuer
WHERE ($1::bigint IS NULL AND a.is_valid) OR a.version BETWEEN $1 AND $2
