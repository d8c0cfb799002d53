-- Close time of the newest complete ledger or trade. Of several trades: the newest one may carry a time that is too early.
SELECT greatest(
    (SELECT max(to_time) FROM coverage),
    (SELECT max(ledger_close_time) FROM
        (SELECT ledger_close_time FROM trades ORDER BY toid DESC, trade_order DESC LIMIT 200) AS newest))
