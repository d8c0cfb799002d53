-- Start of the first migration, to the nanosecond. Copies and dumps of a database have it too, so they have the same numbers.
SELECT applied_on FROM refinery_schema_history WHERE version = 1
