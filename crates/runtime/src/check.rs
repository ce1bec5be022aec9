//! Checks a request's tensors against a model's description before native code sees them.

use crate::{Error, Result, TensorView};
use planforge_core::{DataType, Dim, TensorSpec};
use std::collections::HashMap;

/// Every input of `specs` is given exactly once, with its type, a shape that fits, and booleans that are 0 or 1.
///
/// # Errors
/// The first mistake, naming the input.
pub(crate) fn check_inputs(specs: &[TensorSpec], inputs: &[TensorView<'_>]) -> Result<()> {
    let mut sizes = HashMap::new();
    for (index, input) in inputs.iter().enumerate() {
        let spec = specs
            .iter()
            .find(|spec| spec.name == input.name)
            .ok_or_else(|| Error::UnknownInput { name: input.name.to_owned(), known: names(specs) })?;
        if inputs[..index].iter().any(|earlier| earlier.name == input.name) {
            return Err(Error::DuplicateInput { name: input.name.to_owned() });
        }
        if input.data_type != spec.data_type {
            return Err(Error::DataType {
                name: input.name.to_owned(),
                found: input.data_type,
                expected: spec.data_type,
            });
        }
        check_shape(spec, input, &mut sizes)?;
        input.check_element_count()?;
        check_booleans(input)?;
    }
    match specs.iter().find(|spec| inputs.iter().all(|input| input.name != spec.name)) {
        Some(missing) => Err(Error::MissingInput { name: missing.name.clone() }),
        None => Ok(()),
    }
}

/// Native code does not define what a boolean other than 0 and 1 means.
fn check_booleans(input: &TensorView<'_>) -> Result<()> {
    if input.data_type == DataType::Bool && input.bytes.iter().any(|&byte| byte > 1) {
        return Err(Error::Boolean { name: input.name.to_owned() });
    }
    Ok(())
}

/// Every name of `outputs` is an output of `specs`.
///
/// # Errors
/// [`Error::UnknownOutput`].
pub(crate) fn check_outputs(specs: &[TensorSpec], outputs: &[String]) -> Result<()> {
    match outputs.iter().find(|name| specs.iter().all(|spec| spec.name != **name)) {
        Some(name) => Err(Error::UnknownOutput { name: name.clone(), known: names(specs) }),
        None => Ok(()),
    }
}

/// Sizes that earlier inputs gave to the dynamic dimensions, with the input that did.
type Sizes<'a> = HashMap<&'a str, (&'a str, usize)>;

fn check_shape<'a>(spec: &'a TensorSpec, input: &TensorView<'_>, sizes: &mut Sizes<'a>) -> Result<()> {
    let fits = |(dim, &size): (&Dim, &usize)| match dim {
        Dim::Fixed(expected) => *expected == size as u64,
        Dim::Dynamic(_) => size > 0,
    };
    if spec.dims.len() != input.shape.len() || !spec.dims.iter().zip(input.shape).all(fits) {
        return Err(Error::Shape {
            name: spec.name.clone(),
            found: input.shape.to_vec(),
            expected: shape_text(&spec.dims),
        });
    }
    for (dim, &size) in spec.dims.iter().zip(input.shape) {
        let Dim::Dynamic(dimension) = dim else { continue };
        let (other, other_size) = *sizes.entry(dimension).or_insert((&spec.name, size));
        if other_size != size {
            return Err(Error::DimensionDisagrees {
                dimension: dimension.clone(),
                name: spec.name.clone(),
                size,
                other: other.to_owned(),
                other_size,
            });
        }
    }
    Ok(())
}

/// `[batch, 384]`.
fn shape_text(dims: &[Dim]) -> String {
    let sizes: Vec<_> = dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(size) => size.to_string(),
            Dim::Dynamic(name) => name.clone(),
        })
        .collect();
    format!("[{}]", sizes.join(", "))
}

fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("`{}`", spec.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, TensorValues};

    fn specs() -> Vec<TensorSpec> {
        let dims = || vec![Dim::dynamic("batch"), Dim::dynamic("sequence")];
        vec![
            TensorSpec::new("ids", DataType::Int64, dims()),
            TensorSpec::new("mask", DataType::Int64, dims()),
            TensorSpec::new("scale", DataType::Fp32, vec![Dim::dynamic("batch"), Dim::Fixed(2)]),
        ]
    }

    fn integers(name: &str, shape: &[usize]) -> Tensor {
        Tensor::new(name, shape, TensorValues::Int64(vec![0; shape.iter().product()])).unwrap()
    }

    fn floats(name: &str, shape: &[usize]) -> Tensor {
        Tensor::new(name, shape, TensorValues::Fp32(vec![0.0; shape.iter().product()])).unwrap()
    }

    fn check(inputs: &[Tensor]) -> Result<()> {
        check_inputs(&specs(), &inputs.iter().map(Tensor::view).collect::<Vec<_>>())
    }

    fn message(inputs: &[Tensor]) -> String {
        check(inputs).unwrap_err().to_string()
    }

    #[test]
    fn good_inputs_pass_in_any_order() {
        let inputs = [floats("scale", &[3, 2]), integers("mask", &[3, 5]), integers("ids", &[3, 5])];
        check(&inputs).unwrap();
    }

    #[test]
    fn names_are_checked() {
        let ids = integers("ids", &[1, 2]);
        assert_eq!(
            message(&[integers("id", &[1, 2])]),
            "unknown input `id`; the model's inputs: `ids`, `mask`, `scale`"
        );
        assert_eq!(message(&[ids.clone(), ids.clone()]), "input `ids` is given more than once");
        assert_eq!(message(&[ids]), "input `mask` is missing");
        assert_eq!(message(&[]), "input `ids` is missing");
    }

    #[test]
    fn types_and_shapes_are_checked() {
        assert_eq!(message(&[floats("ids", &[1, 2])]), "input `ids` has type FP32, expected INT64");
        assert_eq!(message(&[integers("ids", &[2])]), "input `ids` has shape [2], expected [batch, sequence]");
        assert_eq!(message(&[integers("ids", &[0, 2])]), "input `ids` has shape [0, 2], expected [batch, sequence]");
        assert_eq!(message(&[floats("scale", &[1, 3])]), "input `scale` has shape [1, 3], expected [batch, 2]");
        let cut = Tensor { values: TensorValues::Int64(vec![0]), ..integers("ids", &[1, 2]) };
        assert_eq!(message(&[cut]), "tensor `ids` has 1 elements, its shape [1, 2] needs 2");
    }

    #[test]
    fn shared_dimensions_must_agree() {
        assert_eq!(
            message(&[integers("ids", &[1, 2]), integers("mask", &[1, 3])]),
            "input `mask` has sequence 3, input `ids` has sequence 2"
        );
    }
}
