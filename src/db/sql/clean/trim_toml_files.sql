-- Files that an asset links to stay whatever their age: the checker reads them again. A link of an asset that does not
-- meet the rules does not count, since its file is not read. A file that the checker writes at this moment stays.
DELETE FROM toml_files WHERE url IN (
    SELECT f.url FROM toml_files f
    WHERE f.checked_at < $1 AND NOT EXISTS (SELECT FROM assets a WHERE a.toml_url = f.url AND a.meets_rules)
    ORDER BY f.checked_at DESC OFFSET $2 LIMIT $3
    FOR UPDATE OF f SKIP LOCKED
)
