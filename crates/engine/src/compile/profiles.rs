//! Shapes of every input in every optimization profile.

use crate::{Error, Result};
use planforge_core::{Dim, InputShapes, Model, Profile, ProfileRange, TensorSpec};

/// For each profile, the shapes of every input.
pub(super) type Shapes = Vec<Vec<InputShapes>>;

/// Checks that the model can serve every profile.
///
/// # Errors
/// [`Error::ProfileLimit`] for a sequence beyond the checkpoint's position table and a batch beyond a graph's fixed one,
/// [`Error::ProfileDimension`] for a profile without a dimension that an input has.
pub fn check_profiles(model: &Model, profiles: &[Profile]) -> Result<()> {
    profile_shapes(model, profiles).map(drop)
}

/// Shapes of every input in every profile.
pub(super) fn profile_shapes(model: &Model, profiles: &[Profile]) -> Result<Shapes> {
    let sequence = profiles.iter().filter_map(|profile| profile.sequence).map(|range| range.max).max();
    let batch = profiles.iter().map(|profile| profile.batch.max).max();
    for (dimension, asked, allowed) in
        [("sequence", sequence, model.max_sequence), ("batch", batch, fixed_batch(&model.inputs))]
    {
        if let (Some(asked), Some(allowed)) = (asked, allowed)
            && asked > allowed
        {
            return Err(Error::ProfileLimit { dimension, asked, allowed });
        }
    }
    let of_profile =
        |profile: &Profile| model.inputs.iter().map(|input| input_shapes(input, profile)).collect::<Result<Vec<_>>>();
    profiles.iter().map(of_profile).collect()
}

/// The batch of a graph none of whose inputs takes another.
fn fixed_batch(inputs: &[TensorSpec]) -> Option<u64> {
    let size = |input: &TensorSpec| match input.dims.first()? {
        Dim::Fixed(size) => Some(*size),
        Dim::Dynamic(_) => None,
    };
    inputs.iter().map(size).min().flatten()
}

fn input_shapes(input: &TensorSpec, profile: &Profile) -> Result<InputShapes> {
    let range = |dim: &Dim| match dim {
        Dim::Fixed(size) => Ok(ProfileRange { min: *size, opt: *size, max: *size }),
        Dim::Dynamic(name) => match (name.as_str(), profile.sequence) {
            ("batch", _) => Ok(profile.batch),
            ("sequence", Some(sequence)) => Ok(sequence),
            _ => Err(Error::ProfileDimension { dimension: name.clone() }),
        },
    };
    let ranges = input.dims.iter().map(range).collect::<Result<Vec<_>>>()?;
    let pick = |value: fn(&ProfileRange) -> u64| ranges.iter().map(|range| value(range) as i64).collect();
    Ok(InputShapes {
        name: input.name.clone(),
        min: pick(|range| range.min),
        opt: pick(|range| range.opt),
        max: pick(|range| range.max),
    })
}
