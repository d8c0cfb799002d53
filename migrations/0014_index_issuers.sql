-- A new organisation of an issuer changes all its assets. Without this index each such change reads all assets.
CREATE INDEX assets_issuer ON assets (issuer);
