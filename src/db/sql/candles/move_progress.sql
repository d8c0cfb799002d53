UPDATE candle_progress
SET seq = $1, rest_toid = $2, rest_order = $3, rest_to_toid = $4, rest_to_order = $5
