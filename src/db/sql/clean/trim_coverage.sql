-- Deletes ranges that end before the day $1, that of the oldest partition.
DELETE FROM coverage WHERE to_time < $1::timestamp AT TIME ZONE 'UTC'
