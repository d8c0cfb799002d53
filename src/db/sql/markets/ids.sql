SELECT id FROM markets ORDER BY id
