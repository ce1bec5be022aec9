//! Each fault alone: how the client recovers, or which error it returns.

use super::{Place, REPO, checkpoint, is_complete, rule, run};
use crate::{FetchOptions, Token};
use planforge_core::NoProgress;
use planforge_testkit::{Access, Fault, HubOptions, Log, Mirror, TestHub, WrongResponse};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WEIGHTS: &str = "GET /someone/model/resolve/0123456789abcdef0123456789abcdef01234567/model.safetensors";

/// A Hub that is not the usual one.
pub(super) fn place(change: impl FnOnce(&mut HubOptions)) -> Place {
    let folder = checkpoint();
    let mut options = HubOptions {
        name: REPO.to_owned(),
        folder: folder.path().join("model"),
        large: 10 << 10,
        access: Access::Public,
        former_name: None,
        mirror: Mirror::default(),
        wrong_responses: Vec::new(),
    };
    change(&mut options);
    Place { folder, hub: TestHub::with(options).unwrap() }
}

fn lie(path: &str, byte_count: u64, digest: &str) -> Place {
    place(|options| {
        options.wrong_responses.push(WrongResponse { path: path.to_owned(), byte_count, digest: digest.to_owned() })
    })
}

#[test]
fn large_files_come_from_elsewhere_in_pieces_and_the_token_stays_with_the_hub() {
    let place = Place::new();
    place.succeeds();
    let seen = place.hub.seen();
    let (elsewhere, hub): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| seen.line.starts_with("CDN "));
    // 200,000 bytes in pieces of 30,000, and 39,993 bytes.
    assert_eq!(elsewhere.len(), 7 + 2);
    assert!(elsewhere.iter().all(|seen| !seen.has_token) && hub.iter().all(|seen| seen.has_token), "{seen:?}");
    assert!(!seen.iter().any(|seen| seen.line.contains("pytorch_model.bin")), "{seen:?}");
}

#[test]
fn all_files_are_fetched_when_asked_for() {
    let place = Place::new();
    let snapshot = run(&FetchOptions { all_files: true, ..place.options() }, Arc::new(NoProgress)).unwrap();
    assert_eq!(fs_err::read(snapshot.directory.join("pytorch_model.bin")).unwrap(), b"not needed");
    is_complete(&snapshot, &place.folder.path().join("model"));
}

#[test]
fn a_connection_that_is_cut_resumes_where_it_ended() {
    let place = Place::with(vec![rule("CDN ", Fault::Cut(10_000), 2)]);
    place.succeeds();
    let place = Place::with(vec![rule("CDN ", Fault::Cut(10_000), 100)]);
    // Each attempt brings 10,000 bytes of a piece of 30,000.
    place.succeeds();
    place.hub.set_rules(vec![rule(&place.weights(), Fault::Cut(0), 100)]);
    fs_err::remove_dir_all(place.cache()).unwrap();
    assert_eq!(
        place.fails(&place.options()),
        "failed after 4 attempts: connection failed for `HUB/someone/model/resolve/\
         0123456789abcdef0123456789abcdef01234567/model.safetensors`: end of file before message length reached"
    );
}

#[test]
fn a_download_of_a_killed_process_is_resumed() {
    let place = Place::new();
    let model = fs_err::read(place.folder.path().join("model/model.safetensors")).unwrap();
    let blobs = place.cache().join("models--someone--model/blobs");
    fs_err::create_dir_all(&blobs).unwrap();
    let incomplete = blobs.join(format!("{}.incomplete", planforge_core::digest_bytes(&model)));
    fs_err::write(&incomplete, &model[..150_000]).unwrap();
    place.succeeds();
    let pieces = place.hub.requests().iter().filter(|line| line.starts_with(WEIGHTS)).count();
    assert_eq!(pieces, 2, "50,000 bytes in pieces of 30,000");
    assert!(!incomplete.exists());
}

#[test]
fn a_beginning_that_is_wrong_or_too_long_is_thrown_away() {
    for length in [150_000, 300_000] {
        let place = Place::new();
        let model = fs_err::read(place.folder.path().join("model/model.safetensors")).unwrap();
        let blobs = place.cache().join("models--someone--model/blobs");
        fs_err::create_dir_all(&blobs).unwrap();
        let incomplete = blobs.join(format!("{}.incomplete", planforge_core::digest_bytes(&model)));
        fs_err::write(&incomplete, vec![1; length]).unwrap();
        place.succeeds();
    }
}

#[test]
fn a_busy_hub_is_asked_again_after_the_pause_that_it_wishes() {
    for route in ["GET /api/models/someone/model/revision/main", "/tree/", WEIGHTS, "CDN "] {
        let place = Place::with(vec![rule(route, Fault::Status("429 Too Many Requests", Some(1)), 1)]);
        let (start, notes) = (Instant::now(), Arc::new(Log::default()));
        let snapshot = run(&place.options(), Arc::clone(&notes) as Arc<_>).unwrap();
        is_complete(&snapshot, &place.folder.path().join("model"));
        assert!(start.elapsed() >= Duration::from_secs(1), "{route}");
        let notes = notes.texts();
        assert!(notes.iter().any(|note| note.contains("429") && note.ends_with("trying again in 1.0 s")), "{notes:?}");
    }
    let place = Place::with(vec![rule("/tree/", Fault::Status("429 Too Many Requests", Some(3600)), 1)]);
    assert_eq!(
        place.fails(&place.options()),
        "failed after 1 attempt: `HUB/api/models/someone/model/tree/0123456789abcdef0123456789abcdef01234567?recursive=true` \
         answered 429 Too Many Requests and asks for a pause of 3600 s"
    );
}

#[test]
fn a_hub_that_keeps_failing_is_an_error_after_all_attempts() {
    let place = Place::with(vec![rule("/revision/main", Fault::Status("503 Service Unavailable", None), 3)]);
    place.succeeds();
    let place = Place::with(vec![rule("/revision/main", Fault::Status("503 Service Unavailable", None), 4)]);
    assert_eq!(
        place.fails(&place.options()),
        "failed after 4 attempts: `HUB/api/models/someone/model/revision/main` answered 503 Service Unavailable"
    );
    place.succeeds();
}

#[test]
fn an_error_page_does_not_become_a_file() {
    let place = Place::with(vec![rule("/config.json", Fault::Status("500 Internal Server Error", None), 100)]);
    let message = place.fails(&place.options());
    assert!(
        message.starts_with("failed after 4 attempts") && message.ends_with("answered 500 Internal Server Error"),
        "{message}"
    );
}

#[test]
fn silence_is_waited_out_and_a_slow_server_is_not_given_up() {
    let place = Place::with(vec![rule(WEIGHTS, Fault::Silent, 1), rule("CDN ", Fault::Slow, 100)]);
    place.succeeds();
    let place = Place::with(vec![rule("/tree/", Fault::Silent, 100)]);
    assert_eq!(
        place.fails(&place.options()),
        "failed after 4 attempts: connection failed for `HUB/api/models/someone/model/tree/\
         0123456789abcdef0123456789abcdef01234567?recursive=true`: no data within the time limit"
    );
}

#[test]
fn bytes_with_another_digest_are_fetched_once_more_and_then_refused() {
    for path in ["CDN ", "/config.json"] {
        let place = Place::with(vec![rule(path, Fault::WrongByte(5), 1)]);
        place.succeeds();
    }
    let wrong = "a".repeat(64);
    let place = lie("model.safetensors", 200_000, &wrong);
    assert_eq!(
        place.fails(&place.options()),
        format!(
            "SHA-256 mismatch for `model.safetensors` of `someone/model`: expected {wrong}, got {}; \
             the download was deleted",
            planforge_core::digest_bytes(&fs_err::read(place.folder.path().join("model/model.safetensors")).unwrap())
        )
    );
    let place = lie("config.json", 22, &"b".repeat(40));
    let message = place.fails(&place.options());
    assert!(
        message.starts_with("git object id mismatch for `config.json` of `someone/model`: expected bbbb"),
        "{message}"
    );
    let left = crate::snapshot::list(&place.cache().join("models--someone--model/blobs")).unwrap();
    assert!(!left.iter().any(|name| name.contains("bbbb")), "{left:?}");
}

#[test]
fn files_of_another_length_are_refused() {
    let place = Place::with(vec![rule("/config.json", Fault::Short(9), 1)]);
    place.succeeds();
    let place = Place::with(vec![rule("4567/config.json", Fault::Short(0), 100)]);
    assert_eq!(
        place.fails(&place.options()),
        "failed after 4 attempts: short response from \
         `HUB/someone/model/resolve/0123456789abcdef0123456789abcdef01234567/config.json`: 0 bytes; expected 22"
    );
    let place = Place::with(vec![rule("CDN ", Fault::Whole, 100)]);
    place.succeeds();
}

#[test]
fn a_listing_that_leads_out_of_the_snapshot_is_refused() {
    let place = lie("../../../../planted", 3, &"a".repeat(40));
    assert_eq!(
        place.fails(&place.options()),
        "invalid path `../../../../planted` in the listing of `someone/model`: it leads outside the snapshot"
    );
    let place = lie("config.json", 22, "../../../../planted");
    assert_eq!(place.fails(&place.options()), "invalid listing of `someone/model`: `config.json` without a digest");
}

#[test]
fn too_little_room_is_found_before_anything_is_fetched() {
    let place = lie("model.safetensors", 1 << 60, &"a".repeat(64));
    let message = place.fails(&place.options());
    let (before, after) = message.split_once(": ").unwrap();
    assert_eq!(before, "not enough disk space in `FOLDER/cache/models--someone--model/blobs`");
    // The other files: 39,993 + 22 + 2.
    assert!(after.ends_with(&format!("bytes free, {} needed", (1_u64 << 60) + 40_017)), "{message}");
    assert!(!place.hub.requests().iter().any(|line| line.contains("/resolve/")));
}

#[test]
fn gated_repositories_need_a_token_that_was_granted_access() {
    let place = place(|options| options.access = Access::Gated("hf_granted".to_owned()));
    for token in [None, Some(Token("hf_other".to_owned()))] {
        assert_eq!(
            place.fails(&FetchOptions { token, ..place.options() }),
            "`someone/model` is gated: the Hub gives its files only to accounts that have been granted access at \
             `HUB/someone/model`"
        );
    }
    let options = FetchOptions { token: Some(Token("hf_granted".to_owned())), ..place.options() };
    is_complete(&run(&options, Arc::new(NoProgress)).unwrap(), &place.folder.path().join("model"));
}

#[test]
fn private_repositories_need_a_token_and_are_not_seen_without() {
    let place = place(|options| options.access = Access::Private("hf_own".to_owned()));
    assert_eq!(
        place.fails(&FetchOptions { token: None, ..place.options() }),
        "repository `someone/model` not found on the Hub at `HUB`; it may be private"
    );
    assert_eq!(
        place.fails(&place.options()),
        "the Hub at `HUB` denied access to `someone/model`: 401 Unauthorized: Invalid credentials in Authorization header"
    );
    let options = FetchOptions { token: Some(Token("hf_own".to_owned())), ..place.options() };
    is_complete(&run(&options, Arc::new(NoProgress)).unwrap(), &place.folder.path().join("model"));
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    assert_eq!(
        place.fails(&FetchOptions { repo: "someone/else".to_owned(), ..place.options() }),
        "repository `someone/else` not found on the Hub at `HUB`; it may be private"
    );
    assert_eq!(
        place.fails(&FetchOptions { revision: "v2".to_owned(), ..place.options() }),
        "revision `v2` not found in `someone/model`; expected a branch, tag or commit"
    );
    assert_eq!(
        place.fails(&FetchOptions { endpoint: "huggingface".to_owned(), ..place.options() }),
        "invalid Hub endpoint `huggingface`; expected a URL"
    );
}

#[test]
fn a_moved_repository_is_followed() {
    let place = place(|options| options.former_name = Some("someone/old".to_owned()));
    let notes = Arc::new(Log::default());
    let options = FetchOptions { repo: "someone/old".to_owned(), ..place.options() };
    let snapshot = run(&options, Arc::clone(&notes) as Arc<_>).unwrap();
    is_complete(&snapshot, &place.folder.path().join("model"));
    assert_eq!(notes.texts(), ["the repository is called `someone/model` now"]);
}

#[test]
fn two_at_once_download_once() {
    let place = Place::with(vec![rule("CDN ", Fault::Slow, 100)]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| place.succeeds());
        }
    });
    let elsewhere = place.hub.requests().iter().filter(|line| line.starts_with("CDN ")).count();
    assert_eq!(elsewhere, 7 + 2);
}

#[test]
fn threads_that_note_one_revision_and_link_one_file_do_not_meet() {
    let place = Place::new();
    for _ in 0..20 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| place.succeeds());
            }
        });
        let repo = place.cache().join("models--someone--model");
        let names = fs_err::read_dir(&repo).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        assert_eq!(names, ["blobs", "refs", "snapshots"]);
        fs_err::remove_dir_all(repo.join("refs")).unwrap();
        fs_err::remove_dir_all(repo.join("snapshots")).unwrap();
    }
}

#[test]
fn damage_in_the_cache_is_found_and_mended() {
    for revision in ["main", "0123456789abcdef0123456789abcdef01234567"] {
        let place = Place::new();
        let options = FetchOptions { revision: revision.to_owned(), ..place.options() };
        let snapshot = run(&options, Arc::new(NoProgress)).unwrap();
        for path in ["model.safetensors", "config.json"] {
            let blob = snapshot.directory.join(path).canonicalize().unwrap();
            let mut bytes = fs_err::read(&blob).unwrap();
            bytes[3] ^= 1;
            fs_err::write(&blob, bytes).unwrap();
        }
        let error = run(&FetchOptions { offline: true, ..options.clone() }, Arc::new(NoProgress)).unwrap_err();
        assert!(error.to_string().contains("git object id"), "{error}");
        is_complete(&run(&options, Arc::new(NoProgress)).unwrap(), &place.folder.path().join("model"));
    }
}

#[test]
fn answers_and_listings_without_end_are_read_up_to_a_limit() {
    let revision = "GET /api/models/someone/model/revision/main";
    for (route, times) in [(revision, 1), ("GET /api/models/someone/model/tree/", 1)] {
        let place = Place::with(vec![rule(route, Fault::Endless, times)]);
        let text = place.fails(&place.options());
        assert!(text.contains("answers of more than 67108864 bytes, the last from `HUB/api/models/"), "{text}");
    }
    let place = Place::with(vec![rule("GET /api/models/someone/model/tree/", Fault::EndlessPages, 2000)]);
    let text = place.fails(&place.options());
    assert!(text.contains("more than 1000 pages of files"), "{text}");
}

#[test]
fn a_token_that_no_header_can_carry_is_refused_before_a_request() {
    let place = Place::new();
    for (token, what) in [("hf_a\nb", "several lines"), ("hf_ü", "not ASCII"), ("hf a", "blanks")] {
        let options = FetchOptions { token: Some(Token(token.to_owned())), ..place.options() };
        let text = place.fails(&options);
        assert!(text.starts_with("invalid access token: ") && text.contains(what), "{text}");
    }
    assert_eq!(place.hub.seen().len(), 0);
}
