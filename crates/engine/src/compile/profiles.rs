//! Shapes of every input in every optimization profile.

use crate::sample::fixed_length;
use crate::{Error, Result};
use planforge_core::{Dim, InputShapes, Model, Profile, ProfileRange, TensorSpec, fixed_batch};

/// For each profile, the shapes of every input.
pub(super) type Shapes = Vec<Vec<InputShapes>>;

/// Checks that the model can serve every profile.
///
/// # Errors
/// [`Error::ProfileLimit`] for a sequence beyond the checkpoint's position table, [`Error::ProfileFixed`] for a batch or sequence
/// other than that which a graph fixes, [`Error::ProfileDimension`] for a profile without a dimension that an input has.
pub fn check_profiles(model: &Model, profiles: &[Profile]) -> Result<()> {
    profile_shapes(model, profiles).map(drop)
}

/// Shapes of every input in every profile.
pub(super) fn profile_shapes(model: &Model, profiles: &[Profile]) -> Result<Shapes> {
    check_fixed(model, profiles)?;
    let sequence = profiles.iter().filter_map(|profile| profile.sequence).map(|range| range.max).max();
    if let (Some(asked), Some(allowed)) = (sequence, model.max_sequence)
        && asked > allowed
    {
        return Err(Error::ProfileLimit { asked, allowed });
    }
    let of_profile =
        |profile: &Profile| model.inputs.iter().map(|input| input_shapes(input, profile)).collect::<Result<Vec<_>>>();
    profiles.iter().map(of_profile).collect()
}

/// Fails for a profile with other sizes than those that a graph fixes.
fn check_fixed(model: &Model, profiles: &[Profile]) -> Result<()> {
    let (batch, length) = (fixed_batch(&model.inputs), fixed_length(&model.inputs));
    for profile in profiles {
        let ranges = [("batch", Some(profile.batch), batch), ("sequence", profile.sequence, length)];
        for (dimension, asked, fixed) in ranges {
            if let (Some(asked), Some(fixed)) = (asked, fixed)
                && (asked.min, asked.max) != (fixed, fixed)
            {
                return Err(Error::ProfileFixed { dimension, asked: asked.into(), fixed });
            }
        }
    }
    Ok(())
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
