INSERT INTO markets (base_asset_id, counter_asset_id)
SELECT * FROM unnest($1::int[], $2::int[])
ON CONFLICT (base_asset_id, counter_asset_id) DO NOTHING
