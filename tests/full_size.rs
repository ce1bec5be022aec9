//! A checkpoint of full size against what timm or transformers computes (scripts/parity).

#![expect(clippy::print_stdout, reason = "a person runs it for what it measures")]

use crate::parity::{
    BF16_COSINE_FLOOR, FP16_COSINE_FLOOR, cosine, engine_for, floats, relative_difference, run_on, try_export,
};
use crate::support::Workspace;
use planforge_core::{Model, Precision};
use planforge_runtime::{Tensor, TensorValues};
use planforge_testkit::FixtureCase;
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Largest difference of an fp32 output, relative to the largest value of the output.
const FP32_TOLERANCE: f64 = 2e-4;
/// The same of a TorchScript module in fp32.
#[cfg(feature = "torch")]
const MODULE_TOLERANCE: f64 = 1e-5;

/// How near to the reference an output must be.
#[derive(Clone, Copy)]
enum Bound {
    /// Relative to the largest value.
    LargestError(f64),
    SmallestCosine(f64),
}

#[test]
#[ignore = "needs a checkpoint of full size, which scripts/parity makes"]
fn a_model_of_full_size_agrees_with_its_reference() {
    let folder = PathBuf::from(std::env::var_os("PLANFORGE_FULL_SIZE_MODEL").expect("scripts/parity sets it"));
    let name = folder.file_name().unwrap().to_str().unwrap();
    let fixture = FixtureCase::read(&folder, name).unwrap();
    let parameters = fixture.parameters.expect("scripts/parity counts them");
    // Next to the checkpoint, so that its files can be linked.
    let workspace = Workspace { folder: tempfile::tempdir_in(folder.parent().unwrap()).unwrap() };
    for precision in Precision::ALL {
        let start = Instant::now();
        let model = try_export(&workspace, &fixture, precision).unwrap();
        println!("{name} {precision}: exported in {} ms", start.elapsed().as_millis());
        assert_eq!(model.record.parameter_count, parameters, "{name}");
        let bound = match precision {
            Precision::Fp32 => Bound::LargestError(FP32_TOLERANCE),
            Precision::Fp16 => Bound::SmallestCosine(FP16_COSINE_FLOOR),
            Precision::Bf16 => Bound::SmallestCosine(BF16_COSINE_FLOOR),
        };
        for file in expected_files(&folder) {
            let run = |inputs: &[Tensor]| run_on(&model, inputs);
            agrees((&model.record, run), &format!("{name} {precision}"), &file, bound);
        }
        let gpus: &[&str] = if precision == Precision::Fp16 { &["t4", "a10g", "l4"] } else { &["a10g", "l4"] };
        for gpu in gpus {
            let engine = engine_for(&workspace, &model, gpu, 128);
            let (size, seconds) = (engine.files.iter().map(|file| file.byte_count).max(), engine.elapsed.as_secs_f64());
            println!("{name} {precision} {gpu}: {} bytes, {seconds:.1} s", size.unwrap());
        }
    }
    #[cfg(feature = "torch")]
    module_agrees(&workspace, &fixture, parameters);
}

/// The same for TorchScript in fp32.
#[cfg(feature = "torch")]
fn module_agrees(workspace: &Workspace, fixture: &FixtureCase, parameters: u64) {
    let (name, start) = (&fixture.name, Instant::now());
    let module = crate::torchscript::export(&workspace.path("cache"), fixture, Precision::Fp32);
    println!("{name} torchscript: exported in {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(module.record.parameter_count, parameters, "{name}");
    let session = crate::torchscript::session(&module);
    for file in expected_files(&fixture.folder) {
        let run = |inputs: &[Tensor]| session.run(inputs).unwrap();
        agrees((&module.record, run), &format!("{name} torchscript"), &file, Bound::LargestError(MODULE_TOLERANCE));
    }
}

fn expected_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_expected = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("expected-");
    let mut files: Vec<_> = entries.filter(is_expected).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn agrees((model, run): (&Model, impl Fn(&[Tensor]) -> Vec<Tensor>), what: &str, file: &Path, bound: Bound) {
    let bytes = fs_err::read(file).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let inputs: Vec<Tensor> = model.inputs.iter().map(|spec| input(&expected, &spec.name)).collect();
    let shape = inputs[0].shape.clone();
    for output in run(&inputs) {
        let reference = expected.tensor(&format!("out.{}", output.name)).unwrap();
        assert_eq!(output.shape, reference.shape(), "{what} {}", output.name);
        let reference: Vec<f64> = binary32(reference.data()).map(f64::from).collect();
        let found = floats(&output);
        let difference = relative_difference(found, &reference);
        let similarity = cosine(found, &reference);
        println!("{what} {shape:?} {}: {difference:.1e}, cosine {similarity:.7}", output.name);
        match bound {
            Bound::LargestError(most) => assert!(difference <= most, "{difference}"),
            Bound::SmallestCosine(least) => assert!(similarity >= least, "{similarity}"),
        }
    }
}

fn input(expected: &SafeTensors<'_>, name: &str) -> Tensor {
    let given = expected.tensor(&format!("in.{name}")).unwrap();
    let values = match given.dtype() {
        Dtype::I64 => {
            TensorValues::Int64(given.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
        }
        _ => TensorValues::Fp32(binary32(given.data()).collect()),
    };
    Tensor::new(name, given.shape(), values).unwrap()
}

fn binary32(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
}
