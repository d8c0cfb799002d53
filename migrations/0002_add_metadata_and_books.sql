-- What issuers say of their assets in stellar.toml, and the age of what is polled.

ALTER TABLE assets
    ADD COLUMN meets_rules                   boolean NOT NULL DEFAULT false,  -- what /assets alone tells of validity
    ADD COLUMN asset_controlled_by_domain    boolean NOT NULL DEFAULT false,
    ADD COLUMN anchor_asset_type             text NOT NULL DEFAULT '',
    ADD COLUMN display_decimals              bigint NOT NULL DEFAULT 0,
    ADD COLUMN name                          text NOT NULL DEFAULT '',
    ADD COLUMN "desc"                        text NOT NULL DEFAULT '',
    ADD COLUMN conditions                    text NOT NULL DEFAULT '',
    ADD COLUMN is_asset_anchored             boolean NOT NULL DEFAULT false,
    ADD COLUMN fixed_number                  bigint NOT NULL DEFAULT 0,
    ADD COLUMN max_number                    bigint NOT NULL DEFAULT 0,
    ADD COLUMN is_unlimited                  boolean NOT NULL DEFAULT false,
    ADD COLUMN redemption_instructions       text NOT NULL DEFAULT '',
    ADD COLUMN collateral_addresses          text[] NOT NULL DEFAULT '{}',
    ADD COLUMN collateral_address_signatures text[] NOT NULL DEFAULT '{}',
    ADD COLUMN status                        text NOT NULL DEFAULT '',
    ADD COLUMN toml_applied_at               timestamptz;                     -- when its file's words were last taken over
CREATE INDEX assets_toml_url ON assets (toml_url) WHERE meets_rules;

UPDATE assets SET meets_rules = true, asset_controlled_by_domain = true, display_decimals = 7, name = 'Stellar Lumens'
WHERE issuer = 'native';

ALTER TABLE issuers
    ADD COLUMN federation_server text NOT NULL DEFAULT '',
    ADD COLUMN auth_server       text NOT NULL DEFAULT '',
    ADD COLUMN transfer_server   text NOT NULL DEFAULT '',
    ADD COLUMN web_auth_endpoint text NOT NULL DEFAULT '',
    ADD COLUMN deposit_server    text NOT NULL DEFAULT '',
    ADD COLUMN org_twitter       text NOT NULL DEFAULT '';
INSERT INTO issuers (public_key, name, url, org_twitter)
VALUES ('native', 'Stellar Development Foundation', 'http://stellar.org', 'https://twitter.com/stellarorg');

-- One row a stellar.toml, however many assets share it: the last verdict, and when to look again.
CREATE TABLE toml_files (
    url           text PRIMARY KEY,
    is_good       boolean NOT NULL,        -- the last fetch gave a file that parses
    good_at       timestamptz,             -- when it last did; NULL: never
    failures      int NOT NULL,            -- in a row
    problem       text NOT NULL,           -- of the last fetch; empty where it was good
    checked_at    timestamptz NOT NULL,
    next_check_at timestamptz NOT NULL
);

-- Counts every change of a book, as asset_version does for assets.
CREATE SEQUENCE book_version;
ALTER TABLE orderbook_stats ADD COLUMN version bigint NOT NULL DEFAULT nextval('book_version');
CREATE INDEX orderbook_stats_version ON orderbook_stats (version);

-- The sweep of /assets: its cursor is a paging token of /assets, NULL between sweeps.
CREATE TABLE asset_sweep (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    token       text,
    began_at    timestamptz,   -- of the sweep that is under way
    swept_from  timestamptz,   -- when the last whole one began; NULL: never
    finished_at timestamptz    -- when it ended
);
INSERT INTO asset_sweep DEFAULT VALUES;
