SELECT seq, kind, from_token, to_token, trades FROM ingest_batches WHERE seq > $1 ORDER BY seq
