//! The model that tells of its server, in a server that has nothing of planforge's installed.

use super::REQUIRED;
use crate::support::{Workspace, triton_backend};
use planforge_testkit::{TritonOptions, TritonServer, isolated};
use serde_json::{Value, json};

#[test]
fn the_server_tells_of_itself_through_the_endpoint() {
    isolated(concat!(module_path!(), "::the_server_tells_of_itself_through_the_endpoint"), REQUIRED, || {
        let workspace = Workspace::empty();
        let library = triton_backend();
        let arguments = ["metrics-model", "--triton-backend", library.to_str().unwrap()];
        workspace.planforge(&arguments).succeeds();
        let archive = workspace.path("planforge-metrics.tar.gz");
        let server = TritonServer::start(&TritonOptions::default());
        let loaded = server.load(&archive, "metrics.tar.gz");
        assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
        let ask = |request: &Value| {
            let answer = server.invoke("metrics.tar.gz", "application/json", request.to_string().as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text());
            serde_json::from_slice::<Value>(&answer.body).unwrap()
        };
        let answer = ask(&json!({ "inputs": [] }));
        let data = |name: &str| {
            let outputs = answer["outputs"].as_array().unwrap();
            let output = outputs.iter().find(|output| output["name"] == name).unwrap();
            serde_json::from_value::<Vec<i64>>(output["data"].clone()).unwrap()
        };
        let kernel = fs_err::read_to_string("/proc/meminfo").unwrap();
        let total = kernel.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
        let total: i64 = total.trim().trim_end_matches(" kB").parse().unwrap();
        assert_eq!(data("host_memory_total"), [total * 1024]);
        assert!((1..total * 1024).contains(&data("host_memory_available")[0]));
        // A server takes tens of megabytes.
        assert!((10 << 20..total * 1024).contains(&data("server_memory_resident")[0]));
        let gpus = data("gpu_memory_total").len();
        assert_eq!((data("gpu_memory_used").len(), data("gpu_utilization").len()), (gpus, gpus));
        assert_eq!(gpus > 0, std::path::Path::new("/proc/driver/nvidia/version").exists());
        let one = ask(&json!({ "inputs": [], "outputs": [{ "name": "host_memory_total" }] }));
        assert_eq!(one["outputs"].as_array().unwrap().len(), 1);
        assert_eq!(server.unload("metrics.tar.gz").status, 200);
        server.stop();
    });
}

#[test]
fn without_the_backend_it_says_what_is_missing() {
    let workspace = Workspace::empty();
    let arguments = ["metrics-model", "--triton-backend", "/nowhere.so"];
    workspace.planforge(&arguments).fails(3, &["`/nowhere.so` is missing; build it with"]);
    assert!(!workspace.path("planforge-metrics.tar.gz").exists());
    let written = workspace.json(&["metrics-model", "--without-backend"]);
    assert_eq!(written["byte_count"], fs_err::metadata(workspace.path("planforge-metrics.tar.gz")).unwrap().len());
}
