-- $1 is the newest count. Later ones come from a clock that was ahead.
DELETE FROM market_accounts
WHERE until > $1
   OR until NOT IN (SELECT DISTINCT until FROM market_accounts WHERE until <= $1 ORDER BY until DESC LIMIT 2)
