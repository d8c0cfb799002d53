DELETE FROM symbol_choices WHERE code = ANY($1::text[])
