//! Checks of the table `[store]`.

use super::checksums::Checksums;
use super::schema::Contradiction;
use super::tables::StoreSpec;

/// Tags that an S3 object can have.
const MOST_TAGS: usize = 10;
/// Characters of a tag's name.
const LONGEST_TAG_KEY: usize = 128;
/// Characters of a tag's value.
const LONGEST_TAG_VALUE: usize = 256;

/// Keys of S3 need a store on S3, and tags must be within its limits.
pub(super) fn contradictions(store: &StoreSpec) -> Vec<Contradiction> {
    let is_s3 = store.url.as_deref().is_some_and(|url| url.starts_with("s3:"));
    let keys = [
        ("store.region", store.region.is_some()),
        ("store.path_style", store.path_style.is_some()),
        ("store.kms_key", store.kms_key.is_some()),
        ("store.storage_class", store.storage_class.is_some()),
        ("store.tags", !store.tags.is_empty()),
        ("store.checksums", store.checksums != Checksums::Auto),
    ];
    let needs_s3 = |key| {
        let message = "needs a store on S3; set `store.url = \"s3://bucket/prefix\"` or remove this key";
        Contradiction::new(&[key, "store.url"], message)
    };
    let unfit = keys.into_iter().filter(|(_, is_set)| *is_set && !is_s3).map(|(key, _)| needs_s3(key));
    let tags = tag_faults(store).into_iter().map(|message| Contradiction::new(&["store.tags"], message));
    let address = store.url.as_deref().filter(|url| !url.contains(':'));
    let address = address.map(|url| {
        let message = format!(
            "invalid address `{url}`; expected `file:///folder` or `s3://bucket/prefix`; write for example \
             `url = \"file:///{}\"`",
            url.trim_start_matches('/')
        );
        Contradiction::new(&["store.url"], message)
    });
    address.into_iter().chain(unfit).chain(tags).collect()
}

fn tag_faults(store: &StoreSpec) -> Vec<String> {
    let count = store.tags.len();
    let too_many = (count > MOST_TAGS).then(|| format!("{count} tags; an S3 object has at most {MOST_TAGS}"));
    too_many.into_iter().chain(store.tags.iter().filter_map(|(key, value)| tag_fault(key, value))).collect()
}

fn tag_fault(key: &str, value: &str) -> Option<String> {
    let is_too_long = |text: &str, most: usize| text.chars().count() > most;
    if key.is_empty() || is_too_long(key, LONGEST_TAG_KEY) || is_too_long(value, LONGEST_TAG_VALUE) {
        return Some(format!(
            "invalid tag `{key}`; expected a name of 1 to {LONGEST_TAG_KEY} characters and a value of at most \
             {LONGEST_TAG_VALUE}"
        ));
    }
    let is_allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    if let Some(other) = key.chars().chain(value.chars()).find(|&c| !is_allowed(c)) {
        return Some(format!(
            "invalid character `{other}` in tag `{key}`; expected letters, digits, spaces and _ . : / = + - @"
        ));
    }
    key.to_lowercase().starts_with("aws:").then(|| format!("invalid tag `{key}`; names with `aws:` are AWS's own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(toml: &str) -> String {
        let store: StoreSpec = toml::from_str(toml).unwrap();
        contradictions(&store).remove(0).message
    }

    #[test]
    fn keys_of_s3_need_s3_and_tags_its_limits() {
        let url = "url = \"s3://bucket\"\n";
        for good in [
            "",
            "region = \"eu-central-1\"",
            "storage_class = \"ONEZONE_IA\"",
            "tags = { team = \"\" }",
            "checksums = \"off\"",
        ] {
            assert_eq!(contradictions(&toml::from_str(&format!("{url}{good}")).unwrap()), []);
        }
        assert!(message("region = \"x\"").contains("s3://bucket/prefix"));
        assert!(message("url = \"file:///x\"\npath_style = true").contains("s3://bucket/prefix"));
        let many: String = (0..11).map(|number| format!("t{number} = \"\"\n")).collect();
        assert!(message(&format!("{url}[tags]\n{many}")).contains("11 tags"));
        assert!(message(&format!("{url}[tags]\n\"AWS:x\" = \"\"")).contains("AWS's own"));
        assert!(message(&format!("{url}[tags]\nx = \"{}\"", "v".repeat(257))).contains("at most 256"));
        assert!(message(&format!("{url}[tags]\nx = \"a & b\"")).contains("invalid character `&`"));
        let unknown = toml::from_str::<StoreSpec>("storage_class = \"GLACIER\"").unwrap_err().to_string();
        assert!(unknown.contains("GLACIER_IR"), "{unknown}");
    }
}
