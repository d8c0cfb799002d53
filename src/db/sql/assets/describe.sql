WITH described AS (
    UPDATE assets a SET
        version = CASE WHEN (a.anchor_asset_code, a.anchor_asset_type, a.is_asset_anchored, a.display_decimals, a.name, a."desc",
                             a.conditions, a.fixed_number, a.max_number, a.is_unlimited, a.redemption_instructions,
                             a.collateral_addresses, a.collateral_address_signatures, a.status, a.asset_controlled_by_domain)
                       IS DISTINCT FROM ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                  THEN nextval('asset_version') ELSE a.version END,
        anchor_asset_code = $2, anchor_asset_type = $3, is_asset_anchored = $4, display_decimals = $5, name = $6, "desc" = $7,
        conditions = $8, fixed_number = $9, max_number = $10, is_unlimited = $11, redemption_instructions = $12,
        collateral_addresses = $13, collateral_address_signatures = $14, status = $15, asset_controlled_by_domain = $16,
        toml_applied_at = $17
    FROM assets was
    WHERE a.id = $1 AND was.id = a.id
    RETURNING a.version, was.version AS version_before
)
SELECT min(version), max(version) FROM described WHERE version <> version_before
