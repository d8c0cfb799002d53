-- Every valid asset as assets.json and as GraphQL should return it. The amount is multiplied, since a division would
-- lose digits.
SELECT a.code, a.issuer, json_build_object(
    'code', a.code, 'issuer', a.issuer, 'type', a.type, 'num_accounts', a.num_accounts, 'auth_required', a.auth_required,
    'auth_revocable', a.auth_revocable, 'amount', s.stroops * 0.0000001, 'asset_controlled_by_domain', a.asset_controlled_by_domain,
    'anchor_asset', a.anchor_asset_code, 'anchor_asset_type', a.anchor_asset_type, 'display_decimals', a.display_decimals,
    'name', a.name, 'desc', a."desc", 'conditions', a.conditions, 'is_asset_anchored', a.is_asset_anchored,
    'fixed_number', a.fixed_number, 'max_number', a.max_number, 'is_unlimited', a.is_unlimited,
    'redemption_instructions', a.redemption_instructions, 'collateral_addresses', a.collateral_addresses,
    'collateral_address_signatures', a.collateral_address_signatures, 'countries', '', 'status', a.status,
    'issuer_detail', json_build_object(
        'public_key', a.issuer, 'name', coalesce(i.name, ''), 'url', coalesce(i.url, ''), 'toml_url', a.toml_url,
        'federation_server', coalesce(i.federation_server, ''), 'auth_server', coalesce(i.auth_server, ''),
        'transfer_server', coalesce(i.transfer_server, ''), 'web_auth_endpoint', coalesce(i.web_auth_endpoint, ''),
        'deposit_server', coalesce(i.deposit_server, ''), 'org_twitter', coalesce(i.org_twitter, '')),
    'last_valid', to_char(coalesce(a.last_valid, 'epoch') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))::text,
    json_build_object(
    'code', a.code, 'issuerAccount', a.issuer, 'type', a.type, 'numAccounts', least(a.num_accounts, 2147483647),
    'authRequired', a.auth_required, 'authRevocable', a.auth_revocable, 'amount', s.stroops * 0.0000001,
    'assetControlledByDomain', a.asset_controlled_by_domain, 'anchorAssetCode', a.anchor_asset_code,
    'anchorAssetType', a.anchor_asset_type, 'isAssetAnchored', a.is_asset_anchored, 'displayDecimals', a.display_decimals,
    'name', a.name, 'desc', a."desc", 'conditions', a.conditions, 'fixedNumber', a.fixed_number, 'maxNumber', a.max_number,
    'isUnlimited', a.is_unlimited, 'redemptionInstructions', a.redemption_instructions,
    'collateralAddresses', array_to_string(a.collateral_addresses, ','),
    'collateralAddressSignatures', array_to_string(a.collateral_address_signatures, ','),
    'countries', '', 'status', a.status, 'issuerID', coalesce(i.id, 0))::text
FROM assets a
CROSS JOIN LATERAL (SELECT CASE WHEN a.amount = 9223372036854775807 THEN coalesce(a.supply, a.amount) ELSE a.amount END AS stroops) s
LEFT JOIN issuers i ON i.public_key = a.issuer
WHERE a.is_valid
