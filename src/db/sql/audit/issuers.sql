-- Every issuer of a valid asset as GraphQL should return it. If its assets name several files, that of the last code
-- counts.
SELECT a.issuer, json_build_object(
    'publicKey', a.issuer, 'name', coalesce(i.name, ''), 'url', coalesce(i.url, ''), 'tomlURL', a.toml_url,
    'federationServer', coalesce(i.federation_server, ''), 'authServer', coalesce(i.auth_server, ''),
    'transferServer', coalesce(i.transfer_server, ''), 'webAuthEndpoint', coalesce(i.web_auth_endpoint, ''),
    'depositServer', coalesce(i.deposit_server, ''), 'orgTwitter', coalesce(i.org_twitter, ''))::text
FROM (SELECT issuer, (array_agg(toml_url ORDER BY code COLLATE "C" DESC))[1] AS toml_url
      FROM assets WHERE is_valid GROUP BY issuer) a
LEFT JOIN issuers i ON i.public_key = a.issuer
