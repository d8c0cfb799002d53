SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('candles_1m'::regclass, 'candles_1h'::regclass, 'candles_1d'::regclass)
