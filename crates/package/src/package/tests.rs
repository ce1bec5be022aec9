//! Packages made of small files, and the records that other tests use.

use super::*;
use crate::{UnpackLimits, unpack};
use planforge_core::{
    DataType, EngineWeight, EngineWeights, NoProgress, OnnxBackend, Precision, WeightPlace, WeightTransform,
};
use planforge_testkit::{engine_record, model_name, model_record, profiles, stored};
use planforge_triton_config::Backend;
use std::path::Path;

fn model(folder: &Path) -> CachedArtifact<Model> {
    stored(folder, model_record(), &[("graph.onnx", b"graph"), ("model.safetensors", &[7; 3 << 20])])
}

fn make(folder: &Path, cache: &str, model: &CachedArtifact<Model>) -> Result<CachedArtifact<Archive>> {
    let variant = Variant::onnx(Precision::Fp32);
    package(
        &PackageOptions::new(&model_name()),
        &variant,
        model,
        &[],
        &profiles(),
        &Cache::new(&folder.join(cache)),
        &NoProgress,
    )
}

#[test]
fn an_onnx_package_is_complete_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let archive = make(folder.path(), "cache", &model).unwrap();
    assert_eq!((archive.record.file.as_str(), archive.record.max_batch_size), ("tiny.tar.gz", 8));
    let target = folder.path().join("out");
    let unpacked = unpack(&archive.path("tiny.tar.gz"), &target, &UnpackLimits::default()).unwrap();
    assert_eq!(unpacked.model_file, target.join("tiny/1/model.onnx"));
    assert_eq!((unpacked.max_batch_size, unpacked.byte_count), (8, archive.record.unpacked_byte_count));
    assert_eq!(fs_err::read(target.join("tiny/1/model.safetensors")).unwrap(), [7; 3 << 20]);
    assert!(make(folder.path(), "cache", &model).unwrap().cache_hit);
}

#[test]
fn two_builds_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let first = make(folder.path(), "first", &model).unwrap();
    let second = make(folder.path(), "second", &model).unwrap();
    assert!(!second.cache_hit);
    assert_eq!(first.record.sha256, second.record.sha256);
    assert_eq!(first.record.sha256, first.file("tiny.tar.gz").unwrap().sha256);
}

#[test]
fn headers_hold_nothing_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let archive = make(folder.path(), "cache", &model(&folder.path().join("model"))).unwrap();
    let file = fs_err::File::open(archive.path("tiny.tar.gz")).unwrap();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut paths = Vec::new();
    for entry in tar.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        assert_eq!(header.username().unwrap().unwrap_or(""), "");
        let is_folder = header.entry_type().is_dir();
        assert_eq!(header.mode().unwrap(), if is_folder { 0o755 } else { 0o644 });
        paths.push(entry.path().unwrap().to_string_lossy().into_owned());
    }
    assert_eq!(paths, ["tiny/", "tiny/1/", "tiny/1/model.onnx", "tiny/1/model.safetensors", "tiny/config.pbtxt"]);
}

#[test]
fn changed_inputs_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    for bytes in [vec![8; 3 << 20], vec![7; 100], vec![7; (3 << 20) + 1]] {
        fs_err::write(model.path("model.safetensors"), bytes).unwrap();
        let error = make(folder.path(), "cache", &model).unwrap_err();
        assert!(matches!(&error, Error::Changed { path, .. } if path.ends_with("model.safetensors")), "{error}");
    }
    fs_err::remove_file(model.path("graph.onnx")).unwrap();
    assert!(make(folder.path(), "cache", &model).unwrap_err().to_string().contains("graph.onnx"));
}

#[test]
fn engines_are_packed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let engine =
        stored(&folder.path().join("engine"), engine_record(), &[("engine.plan", b"plan"), ("build.log", b"log")]);
    let cache = Cache::new(&folder.path().join("cache"));
    let variant = Variant::tensorrt(Precision::Fp16, "l4");
    let archive = package(
        &PackageOptions::new(&model_name()),
        &variant,
        &model,
        &[(&engine).into()],
        &profiles(),
        &cache,
        &NoProgress,
    )
    .unwrap();
    let unpacked = unpack(&archive.path("tiny.tar.gz"), &folder.path().join("out"), &UnpackLimits::default()).unwrap();
    assert_eq!(fs_err::read(unpacked.model_file).unwrap(), b"plan");
    let without = package(&PackageOptions::new(&model_name()), &variant, &model, &[], &profiles(), &cache, &NoProgress)
        .unwrap_err();
    assert_eq!(without.to_string(), "variant `tensorrt-fp16-l4` needs an engine");
}

#[test]
fn an_engine_without_weights_has_them_next_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let record = Engine { weights: Some("left-out.json".to_owned()), ..engine_record() };
    let engine = stored(&folder.path().join("engine"), record, &[("engine.plan", b"plan"), ("left-out.json", b"{}")]);
    let weight = EngineWeight {
        name: "w".to_owned(),
        data_type: DataType::Fp16,
        element_count: 2,
        transform: WeightTransform::Identity,
        sources: vec!["w".to_owned()],
    };
    let placed = |file: &str| {
        let place = WeightPlace { file: file.to_owned(), offset: 8, byte_count: 4 };
        EngineWeights { weights: vec![weight.clone()] }.placed(|_| Some(place.clone())).unwrap()
    };
    let make = |weights: Option<&PlacedWeights>| {
        let (variant, cache) = (Variant::tensorrt(Precision::Fp16, "l4"), Cache::new(&folder.path().join("cache")));
        let engines = [PackedEngine { engine: &engine, weights }];
        package(&PackageOptions::new(&model_name()), &variant, &model, &engines, &profiles(), &cache, &NoProgress)
    };
    let archive = make(Some(&placed("model.safetensors"))).unwrap();
    let unpacked = unpack(&archive.path("tiny.tar.gz"), &folder.path().join("out"), &UnpackLimits::default()).unwrap();
    assert_eq!(PlacedWeights::beside(&unpacked.model_file).unwrap(), Some(placed("model.safetensors")));
    let weights = unpacked.model_file.with_file_name("model.safetensors");
    assert_eq!(fs_err::metadata(weights).unwrap().len(), 3 << 20);
    let config = fs_err::read_to_string(folder.path().join("out/tiny/config.pbtxt")).unwrap();
    // prose: part of archives
    assert!(config.contains("# It lacks weights, which lie beside it"), "{config}");
    assert!(make(None).unwrap_err().to_string().contains("left-out.json"));
    assert!(make(Some(&placed("other.safetensors"))).unwrap_err().to_string().contains("other.safetensors"));
}

#[test]
fn engines_for_several_gpus_go_into_one_archive_where_the_server_can_tell_them_apart() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let engine = |gpu: &str, capability: &str, plan: &[u8]| {
        let compute_capabilities = vec![capability.parse().unwrap()];
        let record = Engine { gpu: gpu.to_owned(), compute_capabilities, ..engine_record() };
        stored(&folder.path().join(gpu), record, &[("engine.plan", plan)])
    };
    let cache = Cache::new(&folder.path().join("cache"));
    let make = |engines: &[&CachedArtifact<Engine>]| {
        let variant = Variant::tensorrt(Precision::Fp16, "sm86-sm89");
        let engines: Vec<_> = engines.iter().copied().map(PackedEngine::from).collect();
        package(&PackageOptions::new(&model_name()), &variant, &model, &engines, &profiles(), &cache, &NoProgress)
    };
    let (a10g, l4) = (engine("a10g", "8.6", b"for 8.6"), engine("l4", "8.9", b"for 8.9"));
    let (l40s, other) = (engine("l40s", "8.9", b"for 8.9"), engine("rtx-4090", "8.9", b"another"));
    let archive = make(&[&a10g, &l4, &l40s]).unwrap();
    assert_eq!(make(&[&l40s, &l4, &a10g]).unwrap().record.sha256, archive.record.sha256);
    let target = folder.path().join("out");
    let unpacked = unpack(&archive.path("tiny.tar.gz"), &target, &UnpackLimits::default()).unwrap();
    assert_eq!(unpacked.backend, Backend::TensorrtRtx);
    for (file, bytes) in [("model-sm86.plan", b"for 8.6"), ("model-sm89.plan", b"for 8.9")] {
        assert_eq!(fs_err::read(target.join("tiny/1").join(file)).unwrap(), bytes);
    }
    assert_eq!(
        make(&[&a10g, &l4, &other]).unwrap_err().to_string(),
        "the engines for `l4` and `rtx-4090` differ, and of one archive Triton takes the engine by compute capability \
         (8.9) alone; leave one of them out of `compile.gpus`, or set `package.fat = false`"
    );
}

#[test]
fn an_archive_may_contain_the_backend_and_omit_the_top_folder() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let (name, library) = (model_name(), folder.path().join("backend.so"));
    let onnx_backend = OnnxBackend::Planforge;
    let options = |backend_library| PackageOptions {
        top_folder: false,
        onnx_backend,
        backend_library,
        ..PackageOptions::new(&name)
    };
    let carrying = options(Some(&*library));
    let make = |options: &PackageOptions<'_>| {
        let cache = Cache::new(&folder.path().join("cache"));
        package(options, &Variant::onnx(Precision::Fp32), &model, &[], &profiles(), &cache, &NoProgress)
    };
    let missing = make(&carrying).unwrap_err().to_string();
    assert!(missing.contains("backend.so` is missing; build it with"), "{missing}");
    fs_err::write(&library, "library").unwrap();
    let files = |archive: &CachedArtifact<Archive>| {
        let target = folder.path().join(archive.record.sha256.to_string());
        unpack(&archive.path("tiny.tar.gz"), &target, &UnpackLimits::default()).unwrap();
        let mut names: Vec<_> = fs_err::read_dir(target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let own = make(&carrying).unwrap();
    assert_eq!(files(&own), ["1", "config.pbtxt", "libtriton_planforge.so"]);
    let without = make(&options(None)).unwrap();
    assert_eq!(files(&without), ["1", "config.pbtxt"]);
    fs_err::write(&library, "another").unwrap();
    assert_ne!(make(&carrying).unwrap().record.sha256, own.record.sha256);
}
