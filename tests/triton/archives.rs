//! Archives as the program makes them, in every form.

use super::{Packaged, REQUIRED, assert_close, binary_body, inputs, invoke, json_body, outputs, with_server};
use crate::gpu::{HALF_TOLERANCE, has_gpu};
use crate::support::{Workspace, triton_backend};
use planforge_core::{ModelName, OnnxBackend, Task};
use planforge_package::PackageOptions;
use planforge_runtime::{OnnxSession, SessionOptions, TensorValues, load_library};
use planforge_testkit::{TritonOptions, TritonServer, isolated, native};
use planforge_triton_config::{ServingOptions, module_config};

#[test]
fn both_forms_load_under_any_name() {
    with_server(concat!(module_path!(), "::both_forms_load_under_any_name"), |server| {
        let packaged = Packaged::fixture("resnet", Task::ImageClassification);
        let name = ModelName::try_from("resnet".to_owned()).unwrap();
        let flat =
            PackageOptions { onnx_backend: OnnxBackend::Planforge, top_folder: false, ..PackageOptions::new(&name) };
        let pictures = packaged.inputs(2, 1, 0);
        let expected = packaged.session().run(&pictures, &[]).unwrap();
        for archive in [packaged.archive.clone(), packaged.packed(&flat)] {
            for target_model in ["resnet.tar.gz", "another-name-v12.tar.gz", "team/a/b.tar.gz"] {
                let loaded = server.load(&archive, target_model);
                assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
                let answer = invoke(server, target_model, &binary_body(&pictures));
                assert_close(target_model, &outputs(&answer), &expected);
                assert_eq!(server.unload(target_model).status, 200);
                fs_err::remove_dir_all(TritonServer::model_folder(target_model)).unwrap();
            }
        }
    });
}

/// A server with nothing of planforge's installed, and an archive that brings the backend.
#[test]
fn archives_carry_the_backend_to_servers_without_it() {
    isolated(concat!(module_path!(), "::archives_carry_the_backend_to_servers_without_it"), REQUIRED, || {
        let workspace = Workspace::tiny();
        workspace.edit("tiny.toml", "platforms = [\"onnx\", \"tensorrt\"]", CARRIED);
        let library = triton_backend();
        let library = library.to_str().unwrap();
        workspace.planforge(&["package", "tiny.toml", "--triton-backend", library]).succeeds();
        let runtime = native().join("onnxruntime/libonnxruntime.so");
        let variable = ("PLANFORGE_ONNXRUNTIME_LIBRARY".to_owned(), runtime.to_str().unwrap().to_owned());
        let server = TritonServer::start(&TritonOptions { environment: vec![variable], ..TritonOptions::default() });
        let made = workspace.path("planforge-out/tiny");
        let loaded = server.load(&made.join("archives/onnx-fp32/tiny.tar.gz"), "tiny-v0.tar.gz");
        assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
        load_library(&runtime).unwrap();
        let graph = made.join("export/onnx-fp32/model.onnx");
        let mut session = OnnxSession::load(&graph, &SessionOptions::default()).unwrap();
        let texts = inputs(session.inputs(), (3, 7), 0);
        let expected = session.run(&texts, &[]).unwrap();
        let answer = invoke(&server, "tiny-v0.tar.gz", &json_body(&texts));
        assert_close("tiny", &outputs(&answer), &expected);
        let half = server.load(&made.join("archives/onnx-fp16/tiny.tar.gz"), "half-v0.tar.gz");
        assert_eq!(half.status, 200, "{}", half.text());
        let answer = invoke(&server, "half-v0.tar.gz", &json_body(&texts));
        assert_eq!(outputs(&answer).len(), expected.len());
        server.stop();
    });
}

const CARRIED: &str = r#"onnx_backend = "planforge"
include_backend = true
top_folder = false"#;

/// For a backend that this server lacks, its parser takes the configuration and misses the library.
#[test]
fn configurations_for_other_backends_are_accepted() {
    with_server(concat!(module_path!(), "::configurations_for_other_backends_are_accepted"), |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        let name = ModelName::try_from("bert".to_owned()).unwrap();
        let loaded = server.load(&packaged.packed(&PackageOptions::new(&name)), "bert.tar.gz");
        assert_eq!(loaded.status, 400);
        let text = loaded.text();
        assert!(text.contains("unable to find backend library for backend 'onnxruntime'"), "{text}");
        let folder = TritonServer::unpack(&packaged.archive, "module.tar.gz").join("bert");
        let config = module_config(
            &name,
            &packaged.model.record,
            &super::profiles(&packaged.model.record),
            &ServingOptions::default(),
        )
        .unwrap();
        fs_err::write(folder.join("config.pbtxt"), config).unwrap();
        let text = server.load_unpacked("module.tar.gz").text();
        assert!(text.contains("unable to find backend library for backend 'pytorch'"), "{text}");
    });
}

#[test]
fn an_engine_answers_on_a_gpu() {
    if !has_gpu("an_engine_answers_on_a_gpu") {
        return;
    }
    with_server(concat!(module_path!(), "::an_engine_answers_on_a_gpu"), |server| {
        let workspace = Workspace::tiny();
        workspace.edit("tiny.toml", "[load]", "[triton]\ninstances = 2\ncuda_graphs = true\n\n[load]");
        let report = workspace.json(&["package", "tiny.toml", "--gpu", "auto", "--precision", "fp16"]);
        let made = workspace.path("planforge-out/tiny");
        let gpu = report["engines"][0]["gpu"].as_str().unwrap();
        let loaded = server.load(&made.join(format!("archives/tensorrt-fp16-{gpu}/tiny.tar.gz")), "engine.tar.gz");
        assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
        let instances = server.log().matches(", CUDA graphs, loaded in ").count();
        assert_eq!(instances, 2 * planforge_tensorrt::local_gpus().unwrap().len(), "{}", server.log());
        load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
        let graph = made.join("export/onnx-fp16/model.onnx");
        let mut session = OnnxSession::load(&graph, &SessionOptions::default()).unwrap();
        for (seed, batch) in [1, 3, 4, 1, 2].into_iter().enumerate() {
            let texts = inputs(session.inputs(), (batch, 16), seed);
            let found = outputs(&invoke(server, "engine.tar.gz", &binary_body(&texts)));
            let names: Vec<String> = found.iter().map(|output| output.name.clone()).collect();
            for (found, expected) in found.iter().zip(session.run(&texts, &names).unwrap()) {
                let (TensorValues::Fp32(found), TensorValues::Fp32(expected)) = (&found.values, &expected.values)
                else {
                    panic!("{found:?}");
                };
                assert_eq!(found.len(), expected.len());
                assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= HALF_TOLERANCE), "batch {batch}");
            }
        }
        // Shorter than the profile's shortest sequence.
        let short = inputs(session.inputs(), (1, 2), 0);
        let answer = invoke(server, "engine.tar.gz", &json_body(&short));
        assert!(answer.text().contains("the engine was built for [1 to 4, 4 to 64]"), "{}", answer.text());
        assert_eq!(server.unload("engine.tar.gz").status, 200);
    });
}

#[test]
fn an_engine_says_what_it_needs() {
    with_server(concat!(module_path!(), "::an_engine_says_what_it_needs"), |server| {
        let workspace = Workspace::tiny();
        workspace.planforge(&["package", "tiny.toml"]).succeeds();
        let archives = workspace.path("planforge-out/tiny/archives");
        let config = "dynamic_batching { }\ninstance_group [\n  {\n    count: 1\n    kind: KIND_GPU\n  }\n]\n";
        let loaded = server.load(&archives.join("tensorrt-fp16-l4/tiny.tar.gz"), "engine.tar.gz");
        let text = loaded.text();
        assert_eq!(loaded.status, 400, "{text}");
        assert!(text.contains("has kind KIND_GPU but no GPUs are available"), "{text}");
        let file = TritonServer::model_folder("engine.tar.gz").join("tiny/config.pbtxt");
        let own = fs_err::read_to_string(&file).unwrap();
        assert!(own.contains(config), "{own}");
        fs_err::write(&file, own.replace("KIND_GPU", "KIND_CPU")).unwrap();
        let loaded = server.load_unpacked("engine.tar.gz");
        let text = loaded.text();
        assert_eq!(loaded.status, 400, "{text}");
        assert!(text.contains("model.plan` is a TensorRT-RTX engine for compute capability 8.9"), "{text}");
        assert!(text.contains("it needs an NVIDIA GPU and its driver, and there is none here"), "{text}");
        // One archive for all types.
        workspace.edit("tiny.toml", "[package]", "[package]\nfat = true");
        workspace.planforge(&["package", "tiny.toml"]).succeeds();
        let archive = archives.join("tensorrt-fp16-sm75-sm89/tiny.tar.gz");
        let file = TritonServer::unpack(&archive, "fat.tar.gz").join("tiny/config.pbtxt");
        let own = fs_err::read_to_string(&file).unwrap();
        fs_err::write(&file, own.replace("KIND_GPU", "KIND_CPU")).unwrap();
        let text = server.load_unpacked("fat.tar.gz").text();
        assert!(text.contains("model-sm75.plan` is a TensorRT-RTX engine for compute capability 7.5,8.9"), "{text}");
        // NVIDIA's backend is not here; the server's parser takes the map.
        let theirs = own.replace("backend: \"planforge\"", "platform: \"tensorrt_plan\"\nbackend: \"tensorrt\"");
        fs_err::write(&file, theirs).unwrap();
        let text = server.load_unpacked("fat.tar.gz").text();
        assert!(text.contains("unable to find backend library for backend 'tensorrt'"), "{text}");
    });
}
