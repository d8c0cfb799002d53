SELECT id, code, anchor_asset_code, is_valid FROM assets WHERE version BETWEEN $1 AND $2
