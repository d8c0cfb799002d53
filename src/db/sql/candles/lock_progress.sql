SELECT seq, rest_toid, rest_order, rest_to_toid, rest_to_order, frozen_before FROM candle_progress FOR UPDATE
