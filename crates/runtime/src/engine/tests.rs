use super::*;
use crate::TensorValues;

fn tensor(name: &str, data_type: &str, dims: &[i64]) -> EngineTensor {
    EngineTensor { name: name.to_owned(), data_type: data_type.to_owned(), dims: dims.to_vec() }
}

#[test]
fn tensors_are_described_like_those_of_onnx_runtime() {
    let spec = tensor_spec(&tensor("ids", "INT64", &[-1, -1, 4])).unwrap();
    let dims = vec![Dim::dynamic("batch"), Dim::dynamic("ids_dimension_1"), Dim::Fixed(4)];
    assert_eq!(spec, TensorSpec::new("ids", DataType::Int64, dims));
    let message = tensor_spec(&tensor("x", "FP8", &[1])).unwrap_err().to_string();
    assert_eq!(message, "tensor `x` has type FP8, which is not supported");
}

#[test]
fn what_is_no_engine_is_refused_with_its_name_with_or_without_a_gpu() {
    let library = Path::new("/nowhere/libtensorrt_rtx.so.1");
    let missing = EngineModel::load(library, Path::new("/nowhere/m.plan"), 0).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/m.plan"), "{missing}");
    let file = std::env::current_exe().unwrap().with_file_name("no-engine.plan");
    fs_err::write(&file, [0; 64]).unwrap();
    let message = EngineModel::load(library, &file, 0).unwrap_err().to_string();
    fs_err::remove_file(&file).unwrap();
    assert!(message.ends_with("no-engine.plan` is not a TensorRT-RTX engine: it does not begin like one"), "{message}");
}

#[test]
fn shapes_and_values_convert_both_ways() {
    assert_eq!(unsigned(&signed(&[3, 0, 224])), [3, 0, 224]);
    let tensor = Tensor::new("x", &[2], TensorValues::Fp32(vec![1.0, 2.0])).unwrap();
    assert_eq!(tensor.view().to_tensor(), tensor);
}
