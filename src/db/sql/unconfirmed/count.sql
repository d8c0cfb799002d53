SELECT count(*) FROM unconfirmed_ranges
