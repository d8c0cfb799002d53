DELETE FROM market_accounts
WHERE until NOT IN (SELECT DISTINCT until FROM market_accounts ORDER BY until DESC LIMIT 2)
