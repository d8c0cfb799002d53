-- XLM, and the assets of markets. Batches name no others, so a full load must not either.
SELECT id, code, issuer FROM assets
WHERE issuer = 'native' OR id IN (SELECT base_asset_id FROM markets UNION SELECT counter_asset_id FROM markets)
