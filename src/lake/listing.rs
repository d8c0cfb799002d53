//! The newest object of a lake, as S3 lists it (`ListObjectsV2`). It is asked for at a first start without Horizon, and
//! where the end of the lake may be a hole.

use bytes::Bytes;

use super::{LakeError, http::HttpLake};

/// Keys that are asked for. `.config.json` sorts before all others.
const KEYS_ASKED: u32 = 3;

/// First ledger of the newest object that the server lists. `None` if it has no listing.
///
/// The bucket is the first segment of the path (path style), or the host itself.
pub(super) async fn newest(http: &HttpLake) -> Result<Option<u32>, LakeError> {
    for BucketPrefix { bucket, prefix } in bucket_prefixes(http.url()) {
        let Some(partitions) = list(http, &bucket, &prefix).await? else { continue };
        let Some(first) = first_entry(&partitions, &prefix) else { continue };
        if !first.ends_with('/') {
            return Ok(first_ledger(&first));
        }
        let prefix = format!("{prefix}{first}");
        let objects = list(http, &bucket, &prefix).await?;
        return Ok(objects
            .and_then(|objects| first_entry(&objects, &prefix))
            .as_deref()
            .and_then(first_ledger));
    }
    Ok(None)
}

/// Bucket and prefix of a lake.
#[derive(Debug, PartialEq, Eq)]
struct BucketPrefix {
    /// Base URL of the bucket.
    bucket: String,
    /// Prefix of the lake's keys, empty or with a slash at its end.
    prefix: String,
}

/// Possible splits of a URL, the likely one first: the bucket is in the path, or it is the host.
fn bucket_prefixes(url: &str) -> Vec<BucketPrefix> {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let host_end = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |path| start + path);
    let (host, path) = url.split_at(host_end);
    let path = path.trim_matches('/');
    let as_prefix = |path: &str| if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut found = Vec::new();
    if !path.is_empty() {
        let (bucket, rest) = path.split_once('/').unwrap_or((path, ""));
        found.push(BucketPrefix { bucket: format!("{host}/{bucket}"), prefix: as_prefix(rest) });
    }
    found.push(BucketPrefix { bucket: host.to_owned(), prefix: as_prefix(path) });
    found
}

/// Listing of the first entries below a prefix. `None` if the answer is no listing.
async fn list(http: &HttpLake, bucket: &str, prefix: &str) -> Result<Option<String>, LakeError> {
    let prefix = prefix.replace('/', "%2F");
    let url = format!("{bucket}?list-type=2&delimiter=%2F&max-keys={KEYS_ASKED}&prefix={prefix}");
    let listing = match http.get(&url).await {
        Ok(listing) => listing,
        // A server without listings answers as it likes.
        Err(LakeError::Status { status, .. }) if status < 500 && status != 429 => None,
        Err(error) => return Err(error),
    };
    Ok(listing.as_ref().and_then(as_listing))
}

fn as_listing(body: &Bytes) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    text.contains("<ListBucketResult").then(|| text.to_owned())
}

/// First partition or object of a listing, relative to the prefix.
fn first_entry(listing: &str, prefix: &str) -> Option<String> {
    // A prefix also stands at the top of the listing, where it is the one that was asked for.
    let partitions = between(listing, "<CommonPrefixes>", "</CommonPrefixes>")
        .flat_map(|part| between(part, "<Prefix>", "</Prefix>"));
    let entries = partitions.chain(between(listing, "<Key>", "</Key>"));
    let relative = entries.filter_map(|entry| entry.strip_prefix(prefix));
    relative.filter(|entry| first_ledger(entry).is_some()).min().map(str::to_owned)
}

fn between<'a>(text: &'a str, open: &'static str, close: &'static str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
}

/// Ledger that the name of a partition or an object begins with: eight digits of the reversed number, and two dashes.
pub(super) fn first_ledger(name: &str) -> Option<u32> {
    let (reversed, rest) = name.split_once("--")?;
    let is_name = reversed.len() == 8 && rest.starts_with(|c: char| c.is_ascii_digit());
    u32::from_str_radix(reversed, 16).ok().filter(|_| is_name).map(|reversed| u32::MAX - reversed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_is_the_first_segment_or_the_host() {
        let of = |bucket: &str, prefix: &str| BucketPrefix { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(bucket_prefixes("http://h:443"), [of("http://h:443", "")]);
        assert_eq!(bucket_prefixes("http://h/lake"), [of("http://h/lake", ""), of("http://h", "lake/")]);
        assert_eq!(
            bucket_prefixes("http://h/bucket/v1/ledgers"),
            [of("http://h/bucket", "v1/ledgers/"), of("http://h", "bucket/v1/ledgers/")]
        );
    }

    #[test]
    fn the_newest_entry_of_a_listing_sorts_first() {
        let listing = "<?xml version=\"1.0\"?><ListBucketResult><Prefix>v1/</Prefix>\
            <Contents><Key>v1/.config.json</Key></Contents>\
            <CommonPrefixes><Prefix>v1/FC8A05FF--57999872-58063871/</Prefix></CommonPrefixes>\
            <CommonPrefixes><Prefix>v1/FC8AFFFF--57935872-57999871/</Prefix></CommonPrefixes></ListBucketResult>";
        assert_eq!(first_entry(listing, "v1/").as_deref(), Some("FC8A05FF--57999872-58063871/"));
        let flat = "<ListBucketResult><Key>.config.json</Key><Key>FFFFFF3F--192-255.xdr.zst</Key>";
        assert_eq!(first_entry(flat, "").as_deref().and_then(first_ledger), Some(192));
        assert_eq!(first_entry("<ListBucketResult></ListBucketResult>", ""), None);
        assert_eq!(as_listing(&Bytes::from_static(b"<html>")), None);
    }

    #[test]
    fn names_tell_their_first_ledger() {
        assert_eq!(first_ledger("FFFF0687--63864.xdr.zst"), Some(63_864));
        for other in [".config.json", "x--1", "FFFF0687--x", "FFFF--1"] {
            assert_eq!(first_ledger(other), None, "{other}");
        }
    }
}
