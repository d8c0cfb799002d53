SELECT to_regclass('trades') IS NOT NULL AND to_regclass('ingest_lease') IS NOT NULL
