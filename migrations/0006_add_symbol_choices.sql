-- The asset that stands for each code in formats whose keys are codes. Stored, so that a few days of bought volume change nothing.

CREATE TABLE symbol_choices (
    code              text PRIMARY KEY,
    issuer            text NOT NULL,
    since             timestamptz NOT NULL, -- the choice counts from here on; before it, the previous issuer counts
    previous_issuer   text,
    challenger_issuer text,                 -- issuer that leads now, and since when
    challenger_since  timestamptz,
    checked_at        timestamptz NOT NULL
);
