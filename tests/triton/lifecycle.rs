//! Loading, unloading, and what stays in the server's memory.

use super::answers::minilm_with;
use super::{Packaged, assert_close, invoke, json_body, outputs, request, with_options, with_server};
use crate::support::triton_backend;
use planforge_core::{ModelName, OnnxBackend, RequestBody, Task};
use planforge_package::PackageOptions;
use planforge_testkit::{TritonOptions, TritonServer};
use std::path::Path;

/// Copies that are loaded at the same time.
const COPIES: usize = 8;

/// Loads eight copies at once, invokes them at once and unloads them one after another, `rounds` times. While models come
/// and go, the server (2.51) may not know one that it has just loaded, and two unloads at once may crash it: the one that
/// looks whether its model is gone does not expect the list of models to be refused.
fn cycle(server: &TritonServer, packaged: &Packaged, rounds: usize) {
    let inputs = packaged.inputs(2, 8, 1);
    let expected = packaged.session().run(&inputs, &[]).unwrap();
    let body = json_body(&inputs);
    for _ in 0..rounds {
        for_each_copy(|target_model| {
            let loaded = server.load(&packaged.archive, target_model);
            assert_eq!(loaded.status, 200, "{}", loaded.text());
        });
        for_each_copy(|target_model| {
            let answer = invoke(server, target_model, &body);
            assert_close(target_model, &outputs(&answer), &expected);
        });
        for copy in 0..COPIES {
            assert_eq!(server.unload(&target_model(copy)).status, 200);
        }
    }
}

/// Runs `work` for all target models at once.
fn for_each_copy(work: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for copy in 0..COPIES {
            let work = &work;
            scope.spawn(move || work(&target_model(copy)));
        }
    });
}

fn target_model(copy: usize) -> String {
    format!("copy-v{copy}.tar.gz")
}

#[test]
fn two_hundred_loads_and_unloads_give_the_memory_back() {
    with_server(concat!(module_path!(), "::two_hundred_loads_and_unloads_give_the_memory_back"), |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        // The server's own threads and pools grow at first.
        cycle(server, &packaged, 4);
        let before = server.resident_byte_count();
        cycle(server, &packaged, 25);
        let after = server.resident_byte_count();
        assert!(after as f64 <= before as f64 * 1.05, "{before} bytes grew to {after}");
    });
}

fn loaded_libraries(server: &TritonServer, part: &str) -> usize {
    let files = server.mapped_files();
    files.iter().filter(|file| file.to_string_lossy().contains(part)).count()
}

#[test]
fn copies_share_onnx_runtime() {
    with_server(concat!(module_path!(), "::copies_share_onnx_runtime"), |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        let name = ModelName::try_from("bert".to_owned()).unwrap();
        let own = triton_backend();
        let options = PackageOptions {
            onnx_backend: OnnxBackend::Planforge,
            backend_library: Some(&own),
            ..PackageOptions::new(&name)
        };
        let carrying = packaged.packed(&options);
        let load = |archive: &Path, target_model: &str| {
            let loaded = server.load(archive, target_model);
            assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
        };
        for copy in 0..3 {
            load(&packaged.archive, &format!("installed-v{copy}.tar.gz"));
        }
        assert_eq!(
            (loaded_libraries(server, "libtriton_planforge"), loaded_libraries(server, "libonnxruntime.so")),
            (1, 1)
        );
        for copy in 0..2 {
            load(&carrying, &format!("carrying-v{copy}.tar.gz"));
        }
        assert_eq!(
            (loaded_libraries(server, "libtriton_planforge"), loaded_libraries(server, "libonnxruntime.so")),
            (3, 1)
        );
        let inputs = packaged.inputs(1, 4, 0);
        let expected = packaged.session().run(&inputs, &[]).unwrap();
        for target_model in ["installed-v2.tar.gz", "carrying-v0.tar.gz", "carrying-v1.tar.gz"] {
            let answer = invoke(server, target_model, &json_body(&inputs));
            assert_close(target_model, &outputs(&answer), &expected);
        }
        for target_model in ["carrying-v0.tar.gz", "installed-v0.tar.gz", "installed-v1.tar.gz", "installed-v2.tar.gz"]
        {
            assert_eq!(server.unload(target_model).status, 200);
        }
        let answer = invoke(server, "carrying-v1.tar.gz", &json_body(&inputs));
        assert_close("the last one left", &outputs(&answer), &expected);
        // The server closes no backend, not even one whose model is gone.
        assert_eq!(loaded_libraries(server, "libtriton_planforge"), 3);
    });
}

/// The second begins before the first is done, and waits for the session that it shares.
#[test]
fn instances_are_loaded_at_a_time() {
    with_server(concat!(module_path!(), "::instances_are_loaded_at_a_time"), |server| {
        let (_workspace, archive, _) = minilm_with("instances = 2\n");
        let loaded = server.load(&archive, "minilm.tar.gz");
        assert_eq!(loaded.status, 200, "{}", loaded.text());
        let log = server.log();
        // `I1127 05:54:31.402193 212 planforge:0] "planforge: … loaded in 341 ms"`: when each ended, and what it took.
        let times = log.lines().filter_map(|line| {
            let took: f64 = line.split_once(", loaded in ")?.1.split(' ').next()?.parse().ok()?;
            let clock = line.split(' ').nth(1)?.split(':').map(|part| part.parse::<f64>().ok());
            let end = clock.collect::<Option<Vec<f64>>>()?.iter().fold(0.0, |sum, part| sum * 60.0 + part) * 1e3;
            Some((end - took, end))
        });
        let [first, second] = times.collect::<Vec<_>>()[..] else { panic!("{log}") };
        assert!(first.0 < second.1 && second.0 < first.1, "{first:?}, {second:?}\n{log}");
    });
}

/// Failures, and ONNX Runtime's messages about them, are not logged as mere information.
#[test]
fn the_log_tells_of_failures_when_it_is_told_to_be_short() {
    let options = TritonOptions { arguments: vec!["--log-info=false".to_owned()], ..TritonOptions::default() };
    with_options(
        concat!(module_path!(), "::the_log_tells_of_failures_when_it_is_told_to_be_short"),
        &options,
        |server| {
            let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
            assert_eq!(server.load(&packaged.archive, "bert.tar.gz").status, 200);
            assert!(!server.log().contains("loaded in"), "{}", server.log());
            let mut bad = request(&packaged.inputs(1, 4, 0));
            bad.inputs[0].data.0[0] = 9_999_999.into();
            assert_eq!(invoke(server, "bert.tar.gz", &RequestBody::json(&bad).unwrap()).status, 400);
            let log = server.log();
            let line = log.lines().find(|line| line.contains("planforge: ONNX Runtime: "));
            let line = line.unwrap_or_else(|| panic!("nothing of ONNX Runtime in:\n{log}"));
            assert!(line.starts_with('W') && line.contains("indices element out of data bounds"), "{line}");
        },
    );
}
