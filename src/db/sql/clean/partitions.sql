-- Names of all partitions as SQL, whatever they are called: trades count wherever they are.
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'trades'::regclass ORDER BY 1
