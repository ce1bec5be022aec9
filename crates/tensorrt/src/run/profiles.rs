//! Which optimization profile takes a set of shapes.

use crate::{Error, InputShapes, ProfileShapes, Result};

/// Position of the profile that takes `shapes`, one for each input: of those that do, the one that was optimised for the
/// nearest number of elements, the first of equals.
///
/// # Errors
/// [`Error::Shape`] naming the first input that no profile takes, or that none takes together with those before it.
pub fn choose_profile(profiles: &[ProfileShapes], shapes: &[(&str, &[i64])]) -> Result<usize> {
    let taken = |profile: &&ProfileShapes, count: usize| {
        shapes[..count].iter().all(|(name, shape)| ranges(profile, name).is_some_and(|input| is_within(input, shape)))
    };
    let distance = |profile: &ProfileShapes| {
        shapes
            .iter()
            .filter_map(|(name, shape)| Some(volume(shape).abs_diff(volume(&ranges(profile, name)?.opt))))
            .fold(0, u128::saturating_add)
    };
    let fitting = profiles.iter().enumerate().filter(|(_, profile)| taken(profile, shapes.len()));
    if let Some((index, _)) = fitting.min_by_key(|(_, profile)| distance(profile)) {
        return Ok(index);
    }
    let beyond = (1..=shapes.len()).find(|&count| !profiles.iter().any(|profile| taken(&profile, count)));
    let (name, shape) = shapes[beyond.unwrap_or(1).min(shapes.len()) - 1];
    Err(Error::Shape { name: name.to_owned(), shape: shape.to_vec(), expected: expected(profiles, name) })
}

fn ranges<'a>(profile: &'a ProfileShapes, name: &str) -> Option<&'a InputShapes> {
    profile.iter().find(|input| input.name == name)
}

fn is_within(input: &InputShapes, shape: &[i64]) -> bool {
    let ranges = input.min.iter().zip(&input.max);
    input.min.len() == shape.len() && ranges.zip(shape).all(|((min, max), size)| (min..=max).contains(&size))
}

fn volume(shape: &[i64]) -> u128 {
    shape.iter().map(|&size| u128::try_from(size).unwrap_or(0)).fold(1, u128::saturating_mul)
}

/// `[1 to 8, 3, 224, 224]`, of each profile.
fn expected(profiles: &[ProfileShapes], name: &str) -> String {
    let range = |(min, max): (&i64, &i64)| if min == max { min.to_string() } else { format!("{min} to {max}") };
    let mut texts: Vec<String> = Vec::new();
    for input in profiles.iter().filter_map(|profile| ranges(profile, name)) {
        let sizes: Vec<_> = input.min.iter().zip(&input.max).map(range).collect();
        let text = format!("[{}]", sizes.join(", "));
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if texts.is_empty() { "no shape at all".to_owned() } else { texts.join(" or ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, [min, opt, max]: [&[i64]; 3]) -> InputShapes {
        InputShapes { name: name.to_owned(), min: min.to_vec(), opt: opt.to_vec(), max: max.to_vec() }
    }

    fn profiles() -> Vec<ProfileShapes> {
        vec![
            vec![input("ids", [&[1, 8], &[1, 16], &[4, 32]]), input("mask", [&[1, 8], &[1, 16], &[4, 32]])],
            vec![input("ids", [&[1, 8], &[8, 16], &[16, 32]]), input("mask", [&[1, 8], &[8, 16], &[16, 32]])],
            vec![input("ids", [&[1, 64], &[1, 64], &[1, 128]]), input("mask", [&[1, 64], &[1, 64], &[1, 128]])],
        ]
    }

    fn choose(ids: &[i64], mask: &[i64]) -> Result<usize> {
        choose_profile(&profiles(), &[("ids", ids), ("mask", mask)])
    }

    #[test]
    fn the_nearest_profile_that_takes_the_shapes_is_chosen() {
        assert_eq!(choose(&[1, 16], &[1, 16]).unwrap(), 0);
        assert_eq!(choose(&[4, 16], &[4, 16]).unwrap(), 0);
        assert_eq!(choose(&[4, 32], &[4, 32]).unwrap(), 1);
        assert_eq!(choose(&[16, 8], &[16, 8]).unwrap(), 1);
        assert_eq!(choose(&[1, 100], &[1, 100]).unwrap(), 2);
    }

    #[test]
    fn shapes_beyond_all_profiles_name_the_input_and_the_ranges() {
        let message = |ids: &[i64], mask: &[i64]| choose(ids, mask).unwrap_err().to_string();
        let ranges = "[1 to 4, 8 to 32] or [1 to 16, 8 to 32] or [1, 64 to 128]";
        assert_eq!(
            message(&[17, 16], &[17, 16]),
            format!("input `ids` has shape [17, 16], the engine was built for {ranges}")
        );
        assert!(message(&[2, 100], &[2, 100]).starts_with("input `ids` has shape [2, 100]"));
        assert!(message(&[1], &[1]).starts_with("input `ids` has shape [1]"));
        // Each alone is taken by a profile, both together by none.
        assert!(message(&[2, 16], &[1, 64]).starts_with("input `mask` has shape [1, 64]"));
    }

    #[test]
    fn an_engine_without_inputs_or_profiles_does_not_panic() {
        assert_eq!(choose_profile(&[Vec::new()], &[]).unwrap(), 0);
        let message = choose_profile(&[], &[("x", &[1])]).unwrap_err().to_string();
        assert_eq!(message, "input `x` has shape [1], the engine was built for no shape at all");
    }
}
