//! An endpoint under load for a long time: its memory, descriptors and files stay what they are.

use super::{COPIES, assert_close, expected, processes, request, workspace};
use crate::support::Hosted;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Clients that send requests all the time.
const CLIENTS: usize = 4;
/// Each waits so long between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident_mib: f64,
    descriptors: usize,
    threads: usize,
}

fn held(process: u32) -> Held {
    let status = fs_err::read_to_string(format!("/proc/{process}/status")).unwrap();
    let number = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    };
    Held {
        resident_mib: number("VmRSS") / 1024.0,
        descriptors: fs_err::read_dir(format!("/proc/{process}/fd")).unwrap().count(),
        threads: number("Threads") as usize,
    }
}

#[test]
#[ignore = "takes half an hour; scripts/attack soak runs it"]
fn an_endpoint_holds_what_it_holds() {
    let minutes: u64 = std::env::var("PLANFORGE_SOAK_MINUTES").map_or(30, |text| text.parse().unwrap());
    let workspace = workspace("embedded", "72 MiB");
    let hosted = Hosted::start(&workspace, "tiny.toml");
    let expected = expected();
    // The other one waits for Ctrl-C.
    let serves =
        |process: &&u32| fs_err::read_to_string(format!("/proc/{process}/cmdline")).unwrap().contains("internal");
    let process = *processes("planforge").iter().find(serves).unwrap();
    let (is_over, sent, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let measured = std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (hosted, expected, is_over, sent, refused) = (&hosted, &expected, &is_over, &sent, &refused);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let index = sent.fetch_add(1, Ordering::Relaxed);
                    let (seed, copy) = (index % expected.len(), (index / 40 + index % 2) % COPIES);
                    let copy = format!("tiny-v{copy}.tar.gz");
                    if (index + client) % 10 == 0 {
                        // Cut off, not JSON, and no copy.
                        let (name, body) =
                            [("tiny-v0.tar.gz", "{\"inputs\": ["), (&copy, "{}"), ("no.tar.gz", "{}")][index % 3];
                        let (status, _, _) = hosted.invoke_bytes("tiny", name, "application/json", body.as_bytes());
                        assert!(status == 424 || status == 400, "{status}");
                        refused.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let (status, answer) = hosted.invoke("tiny", &copy, &request(seed));
                        assert_eq!(status, 200, "{answer}");
                        assert_close(&answer, &expected[seed]);
                    }
                    std::thread::sleep(PAUSE);
                }
            });
        }
        let (start, mut measured) = (Instant::now(), Vec::new());
        for part in 1..=10_u32 {
            let until = Duration::from_secs(minutes * 60) * part / 10;
            std::thread::sleep(until.saturating_sub(start.elapsed()));
            let held = held(process);
            println!(
                "after {:>5.1} min: {held:?}, {} requests",
                start.elapsed().as_secs_f64() / 60.0,
                sent.load(Ordering::Relaxed)
            );
            measured.push(held);
        }
        is_over.store(true, Ordering::Relaxed);
        measured
    });
    println!("{} requests, {} of them refused as they must be", sent.into_inner(), refused.into_inner());
    let state = super::state(&hosted);
    println!("{} evictions", state["evictions"]);
    let models = fs_err::read_dir(workspace.path("planforge-out/tiny/host/models")).unwrap().count();
    assert_eq!(models, 1, "one folder, that of the endpoint");
    hosted.stop();
    // The first tenth is the start.
    let (before, after) = (&measured[1..4], &measured[7..10]);
    let most = |part: &[Held], of: fn(&Held) -> f64| part.iter().map(of).fold(0.0, f64::max);
    let (memory, memory_after) = (most(before, |it| it.resident_mib), most(after, |it| it.resident_mib));
    assert!(memory_after < 1.05 * memory + 4.0, "{memory} MiB, then {memory_after}");
    // Some are of requests under way.
    let other = |part| (most(part, |it| it.descriptors as f64), most(part, |it| it.threads as f64));
    let ((descriptors, threads), (descriptors_after, threads_after)) = (other(before), other(after));
    assert!(descriptors_after <= descriptors + CLIENTS as f64, "{descriptors} descriptors, then {descriptors_after}");
    assert!(threads_after <= threads + CLIENTS as f64, "{threads} threads, then {threads_after}");
}
