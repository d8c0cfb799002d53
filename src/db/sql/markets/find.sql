SELECT m.id, m.base_asset_id, m.counter_asset_id
FROM unnest($1::int[], $2::int[]) AS wanted (base, counter)
JOIN markets m ON m.base_asset_id = wanted.base AND m.counter_asset_id = wanted.counter
