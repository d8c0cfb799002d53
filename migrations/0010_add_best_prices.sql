-- Exact best prices of a book, counter per base: bid_max and ask_min are doubles. NULL: the side is empty, or the row is
-- of a program that did not know these columns yet. Such a program leaves them as they were: they hold only if their
-- quotients are bid_max and ask_min.

ALTER TABLE orderbook_stats
    ADD COLUMN bid_n bigint,
    ADD COLUMN bid_d bigint,
    ADD COLUMN ask_n bigint,
    ADD COLUMN ask_d bigint;
