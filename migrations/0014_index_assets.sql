-- A new organisation of an issuer changes all its assets. Without this index each such change reads all assets.
CREATE INDEX assets_issuer ON assets (issuer);
-- Each minute the verdicts that are too old are looked for among the valid assets, which are few of all.
CREATE INDEX assets_is_valid ON assets (id) WHERE is_valid;
