-- Times of the first and the last stored trade, and the time before which candles are frozen.
SELECT (SELECT min(ledger_close_time) FROM trades), (SELECT max(ledger_close_time) FROM trades), frozen_before
FROM candle_progress
