-- Writes only rows that change. All assets of those issuers get a new version, also those that link to another file,
-- since each is published with the row of its issuer. The link in that row is from the newest look-up (link.sql). An
-- issuer whose link is another one by now has moved, and some of its assets were not looked up since.
WITH wanted AS (
    SELECT DISTINCT a.issuer FROM assets a
    WHERE a.toml_url = $1 AND a.meets_rules
      AND NOT EXISTS (SELECT 1 FROM issuers i WHERE i.public_key = a.issuer AND i.toml_url NOT IN ($1, ''))
), written AS (
    INSERT INTO issuers (public_key, toml_url, name, url, federation_server, auth_server, transfer_server,
                         web_auth_endpoint, deposit_server, org_twitter)
    SELECT issuer, $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM wanted
    WHERE NOT EXISTS (SELECT 1 FROM issuers i WHERE i.public_key = wanted.issuer
        AND (i.toml_url, i.name, i.url, i.federation_server, i.auth_server, i.transfer_server, i.web_auth_endpoint,
             i.deposit_server, i.org_twitter) IS NOT DISTINCT FROM ($1, $2, $3, $4, $5, $6, $7, $8, $9))
    ON CONFLICT (public_key) DO UPDATE SET
        toml_url = excluded.toml_url, name = excluded.name, url = excluded.url,
        federation_server = excluded.federation_server, auth_server = excluded.auth_server,
        transfer_server = excluded.transfer_server, web_auth_endpoint = excluded.web_auth_endpoint,
        deposit_server = excluded.deposit_server, org_twitter = excluded.org_twitter
    RETURNING public_key
), changed AS (
    UPDATE assets a SET version = nextval('asset_version')
    FROM written WHERE a.issuer = written.public_key
    RETURNING a.version
)
SELECT min(version), max(version) FROM changed
