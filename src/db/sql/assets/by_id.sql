SELECT id, code, anchor_asset_code, is_valid FROM assets WHERE id = ANY ($1)
