-- Only the rows as they were read: one that grew meanwhile stays.
WITH cleared (from_ledger, to_ledger) AS (SELECT * FROM unnest($1::bigint[], $2::bigint[])),
     of_an_earlier_version AS (
         DELETE FROM unproven_ledgers WHERE (from_ledger, 4294967295) IN (SELECT * FROM cleared)
     )
DELETE FROM unconfirmed_ranges WHERE (from_ledger, to_ledger) IN (SELECT * FROM cleared)
