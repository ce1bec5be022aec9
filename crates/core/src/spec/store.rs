//! Checks of the table `[store]`.

use super::tables::StoreSpec;

/// What S3 takes for one object.
const MOST_TAGS: usize = 10;
const LONGEST_TAG: (usize, usize) = (128, 256);

/// Keys of S3 need a store on S3, and tags its limits.
pub(super) fn check(store: &StoreSpec) -> Result<(), (&'static str, String)> {
    let is_s3 = store.url.as_deref().is_some_and(|url| url.starts_with("s3:"));
    let keys = [
        ("store.region", store.region.is_some()),
        ("store.path_style", store.path_style.is_some()),
        ("store.kms_key", store.kms_key.is_some()),
        ("store.storage_class", store.storage_class.is_some()),
        ("store.tags", !store.tags.is_empty()),
    ];
    if let (false, Some((key, _))) = (is_s3, keys.iter().find(|(_, is_set)| *is_set)) {
        return Err((key, "only a store on S3 has it: set `url = \"s3://bucket/prefix\"`".to_owned()));
    }
    if store.timeout_seconds == 0 {
        return Err(("store.timeout_seconds", "use at least 1".to_owned()));
    }
    check_tags(store)
}

fn check_tags(store: &StoreSpec) -> Result<(), (&'static str, String)> {
    let fault = |message: String| Err(("store.tags", message));
    if store.tags.len() > MOST_TAGS {
        return fault(format!("{} tags: an object of S3 has at most {MOST_TAGS}", store.tags.len()));
    }
    let (longest_key, longest_value) = LONGEST_TAG;
    for (key, value) in &store.tags {
        if key.is_empty() || key.chars().count() > longest_key || value.chars().count() > longest_value {
            return fault(format!(
                "`{key}`: a tag of S3 has a name of 1 to {longest_key} characters and a value of at most {longest_value}"
            ));
        }
        let allowed = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
        if let Some(other) = key.chars().chain(value.chars()).find(|&c| !allowed(c)) {
            return fault(format!(
                "`{key}`: a tag of S3 has letters, digits, spaces and _ . : / = + - @, not `{other}`"
            ));
        }
        if key.to_lowercase().starts_with("aws:") {
            return fault(format!("`{key}`: names with `aws:` are AWS's own"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(toml: &str) -> String {
        let store: StoreSpec = toml::from_str(toml).unwrap();
        check(&store).unwrap_err().1
    }

    #[test]
    fn keys_of_s3_need_s3_and_tags_its_limits() {
        let url = "url = \"s3://bucket\"\n";
        for good in ["", "region = \"eu-central-1\"", "storage_class = \"ONEZONE_IA\"", "tags = { team = \"\" }"] {
            check(&toml::from_str(&format!("{url}{good}")).unwrap()).unwrap();
        }
        assert!(message("region = \"x\"").contains("s3://bucket/prefix"));
        assert!(message("url = \"file:///x\"\npath_style = true").contains("s3://bucket/prefix"));
        let many: String = (0..11).map(|number| format!("t{number} = \"\"\n")).collect();
        assert!(message(&format!("{url}[tags]\n{many}")).contains("11 tags"));
        assert!(message(&format!("{url}[tags]\n\"AWS:x\" = \"\"")).contains("AWS's own"));
        assert!(message(&format!("{url}[tags]\nx = \"{}\"", "v".repeat(257))).contains("at most 256"));
        assert!(message(&format!("{url}[tags]\nx = \"a & b\"")).contains("not `&`"));
        assert!(message("timeout_seconds = 0").contains("at least 1"));
        let unknown = toml::from_str::<StoreSpec>("storage_class = \"GLACIER\"").unwrap_err().to_string();
        assert!(unknown.contains("GLACIER_IR"), "{unknown}");
    }
}
