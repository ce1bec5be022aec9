//! Data that a server warms a model up with.

use crate::{Error, Result};
use planforge_core::{Model, Profile, fixed_batch};
use planforge_engine::Sample;
use planforge_runtime::Tensor;
use planforge_triton_config::WarmUpInput;
use planforge_validate::input_tensors;

/// The first of `samples`, each of which is a batch of one, as one item of each of the model's inputs. A text is padded
/// where the `profiles` of an engine need that in a batch of one of these sizes; other models have no profiles. For a model
/// with a fixed batch, an item is a whole batch.
pub(crate) fn warm_up_inputs(
    model: &Model,
    samples: &[Sample],
    batch_sizes: &[u64],
    profiles: &[Profile],
) -> Result<Vec<WarmUpInput>> {
    let sample = samples.first().ok_or(Error::NoWarmUpSample)?;
    let sample = pad_to_profile(sample.clone(), batch_sizes, profiles)?;
    let fixed = fixed_batch(&model.inputs).and_then(|batch| usize::try_from(batch).ok());
    let sample = fixed.map_or(sample.clone(), |batch| sample.select(&vec![0; batch]));
    let item = |tensor: &Tensor| WarmUpInput {
        name: tensor.name.clone(),
        data_type: tensor.data_type(),
        dims: tensor.shape.iter().skip(usize::from(fixed.is_none())).map(|&size| size as u64).collect(),
        bytes: tensor.view().bytes.to_vec(),
    };
    Ok(input_tensors(&model.inputs, &sample)?.iter().map(item).collect())
}

/// The sample, padded to the shortest length that some profile takes in batches of each size.
fn pad_to_profile(sample: Sample, batch_sizes: &[u64], profiles: &[Profile]) -> Result<Sample> {
    let Sample::Text(text) = sample else { return Ok(sample) };
    let own = text.sequence as u64;
    let ranges = || profiles.iter().filter_map(|profile| profile.sequence);
    if ranges().next().is_none() {
        return Ok(Sample::Text(text));
    }
    let is_taken = |batch: u64, length: u64| {
        profiles.iter().any(|profile| {
            (profile.batch.min..=profile.batch.max).contains(&batch)
                && profile.sequence.is_none_or(|range| (range.min..=range.max).contains(&length))
        })
    };
    let lengths = ranges().map(|range| range.min.max(own));
    let lengths = lengths.filter(|&length| batch_sizes.iter().all(|&batch| is_taken(batch, length)));
    let length = lengths.min().ok_or_else(|| Error::WarmUpLength { length: own, batch_sizes: batch_sizes.to_vec() })?;
    Ok(Sample::Text(text.padded_to(usize::try_from(length).unwrap_or(usize::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::ProfileRange;
    use planforge_engine::TextSample;

    fn profile(batch: [u64; 3], sequence: [u64; 3]) -> Profile {
        let range = |values| ProfileRange::try_from(values).unwrap();
        Profile { batch: range(batch), sequence: Some(range(sequence)) }
    }

    fn text() -> Sample {
        Sample::Text(TextSample {
            batch: 1,
            sequence: 3,
            input_ids: vec![7, 8, 9],
            attention_mask: vec![1; 3],
            token_type_ids: vec![0; 3],
            tokens: Vec::new(),
            second_spans: Vec::new(),
        })
    }

    fn length(batches: &[u64], profiles: &[Profile]) -> Result<usize> {
        let Sample::Text(text) = pad_to_profile(text(), batches, profiles)? else { panic!("it was a text") };
        assert_eq!(text.input_ids.iter().take(3).collect::<Vec<_>>(), [&7, &8, &9]);
        assert!(text.attention_mask.iter().skip(3).all(|&mask| mask == 0));
        Ok(text.sequence)
    }

    #[test]
    fn a_text_is_padded_to_what_the_profiles_of_all_batch_sizes_take() {
        let (short, long) = (profile([1, 1, 1], [1, 4, 8]), profile([2, 4, 8], [6, 8, 32]));
        assert_eq!(length(&[1, 8], &[]).unwrap(), 3);
        assert_eq!(length(&[1], &[short.clone(), long.clone()]).unwrap(), 3);
        assert_eq!(length(&[2, 8], &[short.clone(), long.clone()]).unwrap(), 6);
        assert_eq!(length(&[1, 8], &[long.clone(), short.clone()]).unwrap(), 6);
        assert_eq!(length(&[4], &[profile([1, 2, 4], [16, 16, 16])]).unwrap(), 16);
        let far = profile([2, 4, 8], [16, 16, 32]);
        let message = length(&[1, 8], &[short.clone(), far]).unwrap_err().to_string();
        assert!(message.contains("a text of 3 tokens, in batches of all these sizes: 1, 8; name fewer"), "{message}");
        let message = length(&[1], &[profile([1, 1, 1], [1, 1, 2])]).unwrap_err().to_string();
        assert!(message.contains("no profile takes the first sample"), "{message}");
    }
}
