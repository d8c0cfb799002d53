UPDATE asset_sweep SET token = $1, began_at = $2, swept_from = $3, finished_at = $4
