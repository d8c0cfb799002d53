-- Horizon sums balances with big integers: all holders together may have more than one of them can.

-- Authorised supply in stroops where amount cannot hold it, which is 9223372036854775807 then; NULL: amount is the supply.
ALTER TABLE assets ADD COLUMN supply numeric(39, 0);
