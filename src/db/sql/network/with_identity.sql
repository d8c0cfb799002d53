-- The network, and the identity of schema/identity.sql.
SELECT passphrase, (SELECT applied_on FROM refinery_schema_history WHERE version = 1) FROM network
