-- The assets of a trade are those of its market. So an asset that is in no market is in no trade.
WITH gone AS (
    SELECT a.id FROM assets a
    WHERE NOT a.is_valid AND NOT a.meets_rules AND a.issuer <> 'native'
      AND NOT EXISTS (SELECT 1 FROM markets m WHERE m.base_asset_id = a.id)
      AND NOT EXISTS (SELECT 1 FROM markets m WHERE m.counter_asset_id = a.id)
    LIMIT $1
)
DELETE FROM assets a USING gone WHERE a.id = gone.id
