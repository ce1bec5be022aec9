//! Mirrors, which answer otherwise than the Hub, and signed addresses whose time is over.

use super::faults::place;
use super::{Place, is_complete, rule, run};
use crate::FetchOptions;
use planforge_core::NoProgress;
use planforge_testkit::{Fault, Log, Mirror, Tags};
use std::sync::Arc;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn mirror(mirror: Mirror) -> Place {
    place(|options| options.mirror = mirror)
}

#[test]
fn a_mirror_may_lie_below_a_path() {
    for prefix in ["", "/x/hf"] {
        let place = mirror(Mirror { prefix: prefix.to_owned(), ..Mirror::default() });
        for end in ["", "/"] {
            let endpoint = format!("{}{end}", place.hub.url());
            let options = FetchOptions { endpoint, cache: place.cache().join(end), ..place.options() };
            is_complete(&run(&options, Arc::new(NoProgress)).unwrap(), &place.folder.path().join("model"));
        }
    }
}

#[test]
fn the_next_page_is_asked_of_the_mirror() {
    // The name cannot be looked up: whoever asks there fails.
    for base in ["https://huggingface.invalid", ""] {
        for prefix in ["", "/x/hf"] {
            let next_page = Some(base.to_owned());
            let place = mirror(Mirror { next_page, prefix: prefix.to_owned(), ..Mirror::default() });
            place.succeeds();
            let pages = place.hub.seen().into_iter().filter(|seen| seen.line.contains("/tree/")).collect::<Vec<_>>();
            assert!(pages.len() == 2 && pages.iter().all(|seen| seen.has_token), "{pages:?}");
        }
    }
}

#[test]
fn a_mirror_without_listing_is_asked_about_each_file() {
    for tags in [Tags::Linked, Tags::Weak, Tags::Sha1, Tags::Own] {
        for head in [None, Some("403 Forbidden"), Some("405 Method Not Allowed"), Some("501 Not Implemented")] {
            let place = mirror(Mirror { lacks_listing: true, tags, head, ..Mirror::default() });
            let log = Arc::new(Log::default());
            let fetched = run(&place.options(), Arc::clone(&log) as Arc<_>).unwrap();
            is_complete(&fetched, &place.folder.path().join("model"));
            let is_unverified = log.texts().iter().any(|note| note.contains("names no digests of 6 files"));
            assert_eq!(is_unverified, tags == Tags::Own, "{tags:?} {head:?}: {:?}", log.texts());
            // Another time everything is there, and at most asked about.
            let before = place.hub.requests().len();
            place.succeeds();
            let later = place.hub.requests().split_off(before);
            assert!(tags != Tags::Linked || !later.iter().any(|line| line.starts_with("CDN ")), "{later:?}");
        }
    }
}

#[test]
fn a_mirror_may_name_the_commit_with_the_files_alone() {
    let place = mirror(Mirror { lacks_commit: true, ..Mirror::default() });
    assert_eq!(place.succeeds().commit.as_str(), COMMIT);
    let refused = Some("405 Method Not Allowed");
    let place = mirror(Mirror { lacks_commit: true, head: refused, ..Mirror::default() });
    assert_eq!(place.fails(&place.options()), "invalid listing of `someone/model`: no commit");
}

#[test]
fn a_signed_address_whose_time_is_over_is_asked_for_again() {
    for status in ["403 Forbidden", "400 Bad Request", "410 Gone"] {
        let place = Place::with(vec![rule("CDN ", Fault::Status(status, None), 2)]);
        place.succeeds();
    }
    let place = Place::with(vec![rule("CDN ", Fault::Status("403 Forbidden", None), 1000)]);
    let message = place.fails(&place.options());
    assert!(message.starts_with("failed after 4 attempts: `HUB/someone/model/resolve/"), "{message}");
    assert!(message.ends_with("answered 403 Forbidden") && !message.contains("signature"), "{message}");
}

#[test]
fn what_a_server_does_not_implement_is_not_tried_again() {
    let place = Place::with(vec![rule("/config.json", Fault::Status("501 Not Implemented", None), 100)]);
    let message = place.fails(&place.options());
    assert!(message.starts_with("`HUB/") && message.ends_with("answered 501 Not Implemented"), "{message}");
}

#[test]
fn a_pinned_commit_that_the_cache_holds_whole_needs_no_hub() {
    // The Hub is asked whether there are safetensors, unless it is known that there are none.
    let place = Place::new();
    fs_err::remove_file(place.folder.path().join("model/model.safetensors")).unwrap();
    let nowhere =
        FetchOptions { revision: COMMIT.to_owned(), endpoint: "http://127.0.0.1:9".to_owned(), ..place.options() };
    let fetched = run(&place.options(), Arc::new(NoProgress)).unwrap();
    let pinned: Vec<_> = fetched.files.iter().map(|file| file.path.clone()).collect();
    assert!(pinned.contains(&"pytorch_model.bin".to_owned()), "{pinned:?}");
    assert!(run(&nowhere, Arc::new(NoProgress)).is_err());
    let whole = FetchOptions { pinned, ..nowhere };
    assert_eq!(run(&whole, Arc::new(NoProgress)).unwrap().files, fetched.files);
    fs_err::remove_file(fetched.directory.join("tokenizer.json")).unwrap();
    assert!(run(&whole, Arc::new(NoProgress)).is_err());
}
