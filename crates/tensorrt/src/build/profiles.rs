//! Optimization profiles of a build.

use super::request::{EngineTensor, ProfileShapes};
use crate::{Error, Result};
use trtx::optimization_profile::OptimizationProfile;
use trtx::trtx_sys::Dims64;
use trtx::{Builder, BuilderConfig, OptProfileSelector};

/// Adds the profile at `index` of the request.
pub(super) fn add_profile<'builder>(
    builder: &mut Builder<'builder>,
    config: &mut BuilderConfig<'builder>,
    index: usize,
    shapes: &ProfileShapes,
    inputs: &[EngineTensor],
) -> Result<()> {
    let fail = |message: String| Error::Profile { index, message };
    check_profile(shapes, inputs).map_err(fail)?;
    let mut profile = builder.creata_optimization_profile()?;
    fill_profile(&mut profile, shapes)?;
    if !profile.is_valid() {
        return Err(fail("TensorRT calls it invalid".to_owned()));
    }
    config.add_optimization_profile(&mut profile)?;
    Ok(())
}

/// Sets the shapes of a profile.
pub(super) fn fill_profile(profile: &mut OptimizationProfile<'_>, shapes: &ProfileShapes) -> Result<()> {
    for input in shapes {
        let selected = [
            (OptProfileSelector::kMIN, &input.min),
            (OptProfileSelector::kOPT, &input.opt),
            (OptProfileSelector::kMAX, &input.max),
        ];
        for (selector, dims) in selected {
            profile.set_dimensions(&input.name, selector, &Dims64::from_slice(dims))?;
        }
    }
    Ok(())
}

/// Every input of the network once, with its rank, its fixed dimensions, and min <= opt <= max.
fn check_profile(shapes: &ProfileShapes, inputs: &[EngineTensor]) -> std::result::Result<(), String> {
    if let Some(unknown) = shapes.iter().find(|shape| inputs.iter().all(|input| input.name != shape.name)) {
        return Err(format!("the graph has no input `{}`", unknown.name));
    }
    for input in inputs {
        let name = &input.name;
        let shape =
            shapes.iter().find(|shape| shape.name == *name).ok_or_else(|| format!("no shapes for input `{name}`"))?;
        if [&shape.min, &shape.opt, &shape.max].iter().any(|dims| dims.len() != input.dims.len()) {
            return Err(format!("input `{name}` has {} dimensions", input.dims.len()));
        }
        for (axis, &dim) in input.dims.iter().enumerate() {
            let (min, opt, max) = (shape.min[axis], shape.opt[axis], shape.max[axis]);
            if !(1 <= min && min <= opt && opt <= max) {
                return Err(format!("dimension {axis} of input `{name}` needs 1 <= {min} <= {opt} <= {max}"));
            }
            if dim >= 0 && (min, max) != (dim, dim) {
                return Err(format!("dimension {axis} of input `{name}` is fixed to {dim} in the graph"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InputShapes;

    fn input(dims: &[i64]) -> EngineTensor {
        EngineTensor { name: "x".to_owned(), data_type: "FP32".to_owned(), dims: dims.to_vec() }
    }

    fn shapes(name: &str, [min, opt, max]: [&[i64]; 3]) -> ProfileShapes {
        vec![InputShapes { name: name.to_owned(), min: min.to_vec(), opt: opt.to_vec(), max: max.to_vec() }]
    }

    #[test]
    fn profiles_that_do_not_fit_are_told_apart() {
        let inputs = [input(&[-1, 3])];
        let check = |name, ranges| check_profile(&shapes(name, ranges), &inputs);
        assert_eq!(check("x", [&[1, 3], &[2, 3], &[4, 3]]), Ok(()));
        assert!(check("y", [&[1, 3], &[2, 3], &[4, 3]]).unwrap_err().contains("no input `y`"));
        assert!(check("x", [&[1], &[2], &[4]]).unwrap_err().contains("2 dimensions"));
        assert!(check("x", [&[1, 3], &[8, 3], &[4, 3]]).unwrap_err().contains("1 <= 1 <= 8 <= 4"));
        assert!(check("x", [&[1, 3], &[2, 3], &[4, 5]]).unwrap_err().contains("fixed to 3"));
        assert!(check_profile(&Vec::new(), &inputs).unwrap_err().contains("no shapes for input `x`"));
    }
}
