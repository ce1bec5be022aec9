//! Runs the models of `fixtures/tiny-onnx` on the real library.

use super::*;
use crate::{TensorValues, load_library};
use half::f16;
use std::path::PathBuf;

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap().to_owned()
}

/// The library that `scripts/setup` puts into `.native`, or under `PLANFORGE_NATIVE_DIR`.
fn library() -> PathBuf {
    let native = std::env::var_os("PLANFORGE_NATIVE_DIR").map_or_else(|| repository().join(".native"), PathBuf::from);
    let library = native.join("onnxruntime/libonnxruntime.so");
    assert!(library.is_file(), "`{}` is missing: run `scripts/setup`", library.display());
    library
}

fn load(model: &str) -> OnnxSession {
    load_library(&library()).unwrap();
    let graph = repository().join("fixtures/tiny-onnx").join(model).join("model.onnx");
    OnnxSession::load(&graph, &SessionOptions::default()).unwrap()
}

fn integers(name: &str, shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::new(name, shape, TensorValues::Int64(values.to_vec())).unwrap()
}

#[test]
fn loading_twice_gives_the_same_version() {
    let version = load_library(&library()).unwrap();
    assert!(version.starts_with("1."), "{version}");
    assert_eq!(load_library(&library()).unwrap(), version);
    let other = load_library(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path()).unwrap_err();
    assert!(matches!(other, Error::OtherLibrary { .. }), "{other}");
}

#[test]
fn specs_come_from_the_graph() {
    let session = load("embed");
    let dims = || vec![Dim::dynamic("batch"), Dim::dynamic("sequence")];
    assert_eq!(
        session.inputs(),
        [TensorSpec::new("ids", DataType::Int64, dims()), TensorSpec::new("mask", DataType::Int64, dims())]
    );
    assert_eq!(session.outputs()[0].dims, [Dim::dynamic("batch"), Dim::Fixed(4)]);
    let identity = load("identity");
    assert_eq!(identity.inputs()[1].dims, [Dim::dynamic("integer_dimension_0"), Dim::Fixed(3)]);
}

/// Expected numbers from the formula in `make.py`: row `i` of the table is `10 i, 10 i + 1, …`.
#[test]
fn weights_beside_the_graph_are_used() {
    let mut session = load("embed");
    let inputs = [integers("mask", &[2, 3], &[1, 1, 0, 1, 0, 0]), integers("ids", &[2, 3], &[1, 2, 15, 3, 0, 0])];
    let outputs = session.run(&inputs, &[]).unwrap();
    assert_eq!(outputs[0].shape, [2, 4]);
    assert_eq!(outputs[0].values, TensorValues::Fp32(vec![30.0, 32.0, 34.0, 36.0, 30.0, 31.0, 32.0, 33.0]));
    assert_eq!(outputs[1], integers("tokens", &[2], &[2, 1]));
    let one = session.run(&inputs, &["tokens".to_owned()]).unwrap();
    assert_eq!(one, [integers("tokens", &[2], &[2, 1])]);
}

#[test]
fn every_element_type_passes_through() {
    let mut session = load("identity");
    let inputs = [
        Tensor::new(
            "half",
            &[2, 3],
            TensorValues::Fp16([0.0, 0.5, -1.0, 2.0, 65504.0, 1.0].map(f16::from_f32).to_vec()),
        ),
        Tensor::new("integer", &[1, 3], TensorValues::Int32(vec![i32::MIN, 0, i32::MAX])),
        Tensor::new("flag", &[2], TensorValues::Bool(vec![true, false])),
    ]
    .map(Result::unwrap);
    let outputs = session.run(&inputs, &[]).unwrap();
    for (input, output) in inputs.iter().zip(&outputs) {
        assert_eq!((&output.shape, &output.values), (&input.shape, &input.values));
    }
}

#[test]
fn mistakes_are_errors_and_the_session_lives_on() {
    let mut session = load("embed");
    let good = [integers("ids", &[1, 1], &[1]), integers("mask", &[1, 1], &[1])];
    assert!(matches!(session.run(&good[..1], &[]), Err(Error::MissingInput { .. })));
    assert!(matches!(session.run(&good, &["nope".to_owned()]), Err(Error::UnknownOutput { .. })));
    let outside = [integers("ids", &[1, 1], &[99]), integers("mask", &[1, 1], &[1])];
    assert!(matches!(session.run(&outside, &[]), Err(Error::Run { .. })));
    assert!(session.run(&good, &[]).is_ok());
}

#[test]
fn bad_graphs_and_missing_weights_name_the_file() {
    load_library(&library()).unwrap();
    let options = SessionOptions::default();
    let fixtures = repository().join("fixtures/tiny-onnx");
    let missing = OnnxSession::load(&fixtures.join("none.onnx"), &options).unwrap_err();
    assert!(missing.to_string().contains("none.onnx"), "{missing}");
    let script = OnnxSession::load(&fixtures.join("make.py"), &options).unwrap_err();
    assert!(matches!(&script, Error::Load { path, .. } if path.ends_with("make.py")), "{script}");
    let weightless = OnnxSession::load(&fixtures.join("wide/model.onnx"), &options).unwrap_err();
    assert!(matches!(weightless, Error::Load { .. }), "{weightless}");
}

#[test]
fn lent_inputs_may_lie_anywhere() {
    let mut session = load("embed");
    let (ids, mask) = (integers("ids", &[1, 2], &[1, 2]), integers("mask", &[1, 2], &[1, 1]));
    let expected = session.run(&[ids.clone(), mask.clone()], &[]).unwrap();
    let shifted = [&[0], ids.view().bytes].concat();
    for start in [0, 1] {
        let moved = [&vec![0; start], ids.view().bytes].concat();
        let inputs = [TensorView { bytes: &moved[start..], ..ids.view() }, mask.view()];
        let sums = session.run_lent(&inputs, &[], |outputs| outputs[0].to_tensor()).unwrap();
        assert_eq!(sums, expected[0]);
    }
    let long = TensorView { bytes: &shifted, ..ids.view() };
    assert!(matches!(session.run_lent(&[long, mask.view()], &[], |_| ()), Err(Error::ElementCount { .. })));
}

#[test]
fn bytes_that_are_no_booleans_are_refused() {
    let mut session = load("identity");
    let half = Tensor::new("half", &[2, 3], TensorValues::Fp16(vec![f16::ONE; 6])).unwrap();
    let integer = Tensor::new("integer", &[1, 3], TensorValues::Int32(vec![1; 3])).unwrap();
    let flag = TensorView { name: "flag", data_type: DataType::Bool, shape: &[2], bytes: &[1, 2] };
    let error = session.run_lent(&[half.view(), integer.view(), flag], &[], |_| ()).unwrap_err();
    assert!(error.is_mistake(), "{error}");
    assert_eq!(error.to_string(), "input `flag` has a byte that is neither 0 nor 1");
}

#[test]
fn options_choose_threads_and_memory() {
    load_library(&library()).unwrap();
    let graph = repository().join("fixtures/tiny-onnx/embed/model.onnx");
    let options = SessionOptions {
        intra_op_threads: 2,
        inter_op_threads: 2,
        spinning: Spinning::Microseconds(20),
        arena: true,
        memory_pattern: true,
        device: Device::Cpu,
    };
    let mut session = OnnxSession::load(&graph, &options).unwrap();
    let inputs = [integers("ids", &[1, 1], &[3]), integers("mask", &[1, 1], &[1])];
    assert_eq!(session.run(&inputs, &[]).unwrap()[0].values, TensorValues::Fp32(vec![30.0, 31.0, 32.0, 33.0]));
    let gpu = OnnxSession::load(&graph, &SessionOptions { device: Device::Cuda(0), ..options });
    assert!(matches!(gpu, Err(Error::Load { .. })), "this library has no CUDA provider");
}

/// Several callers at once, some led by their own thread and some by one of the pool: each gets its own answers, and a
/// mistake is the answer of the one that made it alone.
#[test]
fn callers_of_one_session_get_their_own_answers() {
    load_library(&library()).unwrap();
    let graph = repository().join("fixtures/tiny-onnx/embed/model.onnx");
    for (intra_op_threads, inter_op_threads) in [(1, 1), (2, 1), (4, 1), (2, 2)] {
        let options = SessionOptions { intra_op_threads, inter_op_threads, arena: true, ..SessionOptions::default() };
        let first = OnnxSession::load(&graph, &options).unwrap();
        std::thread::scope(|scope| {
            for caller in 0..6_i64 {
                let mut session = first.share();
                scope.spawn(move || {
                    for round in 0..300 {
                        // Row `i` of the table is `10 i, 10 i + 1, …`; `length` times row `row`, and their number.
                        let (row, length) = (caller + round % 7, usize::try_from(1 + round % 5).unwrap());
                        let inputs = |row| {
                            [
                                integers("ids", &[1, length], &vec![row; length]),
                                integers("mask", &[1, length], &vec![1; length]),
                            ]
                        };
                        let outputs = session.run(&inputs(row), &[]).unwrap();
                        let sums: Vec<f32> =
                            (0..4).map(|column| ((10 * row + column) * length as i64) as f32).collect();
                        assert_eq!(outputs[0].values, TensorValues::Fp32(sums));
                        assert_eq!(outputs[1], integers("tokens", &[1], &[length as i64]));
                        if round % 50 == caller {
                            let error = session.run(&inputs(1_000_000), &[]).unwrap_err();
                            assert!(matches!(error, Error::Run { .. }), "{error}");
                        }
                    }
                });
            }
        });
    }
}

/// Weights and threads go with the last handle.
#[test]
fn a_shared_session_outlives_its_first_handle() {
    let first = load("embed");
    let mut second = first.share();
    drop(first);
    let inputs = [integers("mask", &[1, 1], &[1]), integers("ids", &[1, 1], &[2])];
    assert_eq!(second.run(&inputs, &["tokens".to_owned()]).unwrap(), [integers("tokens", &[1], &[1])]);
}

#[test]
fn a_run_without_an_end_can_be_ended() {
    let mut session = load("endless");
    let inputs = [Tensor::new("x", &[1, 4], TensorValues::Fp32(vec![1.0; 4])).unwrap()];
    let stop = RunStop::new().unwrap();
    let stopper = stop.clone();
    let other = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        stopper.stop();
    });
    let error = session.run_until(&inputs, &[], Some(&stop)).unwrap_err();
    assert!(matches!(&error, Error::Run { .. }), "{error}");
    other.join().unwrap();
    // It is for one run; another that was ended before it began does not begin.
    assert!(session.run_until(&inputs, &[], Some(&stop)).is_err());
}
