//! Engines, on fakes of the driver and the library, which shows nothing of a GPU.

use super::{Folders, Served, UNLIMITED, api_error, options, write_archive};
use crate::{EngineOptions, HostOptions};
use planforge_testkit::{fake_engine, fake_weights, on_fake_gpu};
use serde_json::{Value, json};
use std::path::Path;

/// Two checkpoints of one engine.
async fn weights_are_put_in(served: &Served, folders: &Folders, folder: &Path) {
    let plan = fake_engine(folder, "model.plan", &[(101, b'S')]);
    let file = |path: &Path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs_err::read(path).unwrap());
    for (name, factor, sum) in [("one.tar.gz", 2.0, 25.0), ("two.tar.gz", 3.0, 37.0)] {
        let [weights, list] = fake_weights(&plan, [factor; 4], 1.0);
        write_archive(&folders.store().join(name), CONFIG.as_bytes(), &[file(&plan), file(&weights), file(&list)]);
        assert_eq!(served.outputs(name, &request(1)).await[0]["data"], json!([sum]));
    }
    write_archive(&folders.store().join("none.tar.gz"), CONFIG.as_bytes(), &[file(&plan)]);
    let (status, _, error) = api_error(served.invoke("none.tar.gz", &request(1)).await).await;
    assert!(status == 424 && format!("{error:?}").contains("was built without its weights"), "{error:?}");
}

const CONFIG: &str = r#"backend: "planforge" max_batch_size: 16 default_model_filename: "model.plan"
input [{ name: "ids" data_type: TYPE_INT64 dims: -1 }, { name: "mask" data_type: TYPE_INT64 dims: -1 }]
output { name: "sum" data_type: TYPE_FP32 dims: 1 reshape { shape: [] } }"#;

fn publish(folders: &Folders, folder: &Path, target_model: &str) {
    let engine = fs_err::read(fake_engine(folder, "model.plan", &[])).unwrap();
    let files = [("model.plan".to_owned(), engine)];
    write_archive(&folders.store().join(target_model), CONFIG.as_bytes(), &files);
}

fn request(rows: usize) -> Value {
    let tensor = |name: &str, value: i64| json!({ "name": name, "datatype": "INT64", "shape": [rows, 4], "data": vec![value; rows * 4] });
    json!({ "inputs": [tensor("ids", 3), tensor("mask", 1)] })
}

#[test]
fn engines_are_served_within_the_memory_of_the_gpu() {
    let name = concat!(module_path!(), "::engines_are_served_within_the_memory_of_the_gpu");
    on_fake_gpu(name, |folder| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(serve(folder));
    });
}

/// The fake's memory falls by 1 MiB with each buffer and stream.
async fn serve(folder: &Path) {
    let folders = Folders::new();
    for copy in 0..3 {
        publish(&folders, folder, &format!("sum-v{copy}.tar.gz"));
    }
    let engines = Some(EngineOptions { library: folder.join("libtensorrt_rtx.so.1"), gpu: 0 });
    let started = Served::start_with(HostOptions { engines: engines.clone(), ..options(&folders, UNLIMITED) }).await;
    let outputs = started.outputs("sum-v0.tar.gz", &request(5)).await;
    assert_eq!(outputs[0]["data"], json!([12.0, 12.0, 12.0, 12.0, 12.0]), "{outputs}");
    let one = started.state().await.used_byte_count;
    assert!(one >= 1 << 20, "{one}");
    let (status, _, error) = api_error(started.invoke("sum-v0.tar.gz", &request(17)).await).await;
    assert_eq!(status, 424, "{error:?}");
    started.end().await;
    // Room for two copies: the third takes the place of the first.
    let options = HostOptions { engines, ..options(&folders, 2 * one + (1 << 19)) };
    let served = Served::start_with(options).await;
    for copy in [0, 1, 2, 0] {
        let outputs = served.outputs(&format!("sum-v{copy}.tar.gz"), &request(1)).await;
        assert_eq!(outputs[0]["data"], json!([12.0]), "{outputs}");
    }
    let state = served.state().await;
    assert_eq!((state.models.len(), state.evictions), (2, 2), "{state:?}");
    // Of several engines, the one of this GPU.
    let config = CONFIG.replace("default_model_filename: \"model.plan\"", "");
    let config = format!(
        "{config} cc_model_filenames [ {{ key: \"7.5\" value: \"a.plan\" }}, {{ key: \"8.9\" value: \"b.plan\" }} ]"
    );
    let engine = fs_err::read(fake_engine(folder, "model.plan", &[])).unwrap();
    let files = [("a.plan".to_owned(), b"another".to_vec()), ("b.plan".to_owned(), engine)];
    write_archive(&folders.store().join("fat.tar.gz"), config.as_bytes(), &files);
    assert_eq!(served.outputs("fat.tar.gz", &request(1)).await[0]["data"], json!([12.0]));
    weights_are_put_in(&served, &folders, folder).await;
    served.end().await;
}
