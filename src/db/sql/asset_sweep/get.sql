SELECT token, began_at, swept_from, finished_at FROM asset_sweep
