-- XLM, and the assets that trade: a reader who follows the batches learns of no others.
SELECT id, code, issuer FROM assets
WHERE issuer = 'native' OR id IN (SELECT base_asset_id FROM markets UNION SELECT counter_asset_id FROM markets)
