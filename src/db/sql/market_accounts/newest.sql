SELECT max(until) FROM market_accounts
