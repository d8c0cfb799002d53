SELECT code, issuer, since, previous_issuer, challenger_issuer, challenger_since, checked_at FROM symbol_choices
