-- True if a range of held ledgers begins before this moment.
SELECT EXISTS (SELECT FROM coverage WHERE from_time < $1)
