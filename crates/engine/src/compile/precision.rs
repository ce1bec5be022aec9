//! The precision of every layer that multiplies, against the request.

use crate::onnx::covers;
use planforge_core::{Model, Precision};
use planforge_engine_protocol::WorkerProduct;

/// Whether the network multiplies in the model's precision, except for values that the export keeps in binary32 and what
/// is computed from them. A prebuilt graph chooses its own types.
pub(super) fn check_precision(model: &Model, products: &[WorkerProduct]) -> Result<(), String> {
    if model.prebuilt { Ok(()) } else { check_products(model.precision, &model.keep_fp32, products) }
}

fn check_products(expected: Precision, wide: &[String], products: &[WorkerProduct]) -> Result<(), String> {
    // A value that was only turned or cut is called after what it was made from: `value/transposed`.
    let is_wide = |name: &String| wide.iter().any(|wide| covers(wide, name));
    let expected_type = |product: &WorkerProduct| {
        let is_wide = is_wide(&product.output) || product.inputs.iter().any(is_wide);
        let precision = if is_wide { Precision::Fp32 } else { expected };
        precision.data_type().kserve_name()
    };
    match products.iter().find(|product| product.data_type != expected_type(product)) {
        Some(product) => Err(format!(
            "it computes `{}` in {}; expected {}",
            product.output,
            product.data_type,
            expected_type(product)
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(output: &str, input: &str, data_type: &str) -> WorkerProduct {
        WorkerProduct { output: output.to_owned(), inputs: vec![input.to_owned()], data_type: data_type.to_owned() }
    }

    #[test]
    fn every_product_has_the_precision_asked_for_or_is_kept_in_fp32() {
        let products = [product("a", "x", "FP16"), product("b", "a.sum", "FP32"), product("c", "b/turned", "FP32")];
        let check = |expected, wide: &[&str]| {
            let wide: Vec<String> = wide.iter().map(|&name| name.to_owned()).collect();
            check_products(expected, &wide, &products)
        };
        assert_eq!(check(Precision::Fp16, &["b"]), Ok(()));
        assert_eq!(check(Precision::Fp16, &["a.sum", "c"]), Ok(()));
        assert_eq!(check(Precision::Fp16, &["a.sum"]).unwrap_err(), "it computes `c` in FP32; expected FP16");
        assert_eq!(check(Precision::Fp16, &["a", "b"]).unwrap_err(), "it computes `a` in FP16; expected FP32");
        assert_eq!(check(Precision::Fp32, &[]).unwrap_err(), "it computes `a` in FP16; expected FP32");
    }
}
