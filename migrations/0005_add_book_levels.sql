-- Levels of the order books that the poller reads, up to 200 a side, for readers who want more than the best prices.

CREATE TABLE orderbook_levels (
    market_id  int PRIMARY KEY REFERENCES orderbook_stats (market_id) ON DELETE CASCADE,
    bids       jsonb NOT NULL, -- [price numerator, price denominator, stroops] each; price counter per base, the best first
    asks       jsonb NOT NULL, -- bids count stroops of the counter, asks of the base, as Horizon does
    fetched_at timestamptz NOT NULL
);
