-- The self-audit compares all candles of an hour with its trades.
CREATE INDEX candles_1m_begins_at ON candles_1m (begins_at);
CREATE INDEX candles_1h_begins_at ON candles_1h (begins_at);
CREATE INDEX candles_1d_begins_at ON candles_1d (begins_at);
