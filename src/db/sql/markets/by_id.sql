SELECT id, base_asset_id, counter_asset_id FROM markets WHERE id = ANY ($1)
