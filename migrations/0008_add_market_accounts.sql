-- Numbers of the accounts behind each market's trades of 24 hours, counted each hour. Stored, so that all replicas show the same.

CREATE TABLE market_accounts (
    until        timestamptz NOT NULL, -- end of the 24 hours, a full hour
    market_id    int NOT NULL,
    counts_from  timestamptz NOT NULL, -- views show it from here on
    takers       int NOT NULL,
    makers       int NOT NULL,
    largest_pair smallint NOT NULL,    -- share of the base volume, in hundredths of a per cent
    PRIMARY KEY (until, market_id)
);
