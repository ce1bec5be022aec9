//! Values of the weights that an engine lacks, from the files next to it. They are mapped, not read: the GPU's copy is
//! the only one, but for weights that the engine has in another order than the file, or made of several.

use crate::{Error, Result};
use planforge_core::{EngineWeight, PlacedWeights, WeightPlace, WeightTransform};
use planforge_tensorrt::{MappedFile, WeightValues};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The weights of one checkpoint.
#[derive(Debug)]
pub(super) struct Weights {
    placed: PlacedWeights,
    files: BTreeMap<String, MappedFile>,
    /// For each weight, its values where no file has them as the engine takes them.
    made: Vec<Option<Aligned>>,
}

impl Weights {
    /// Finds the weights for the engine at `plan`; none where no list of them is next to it.
    ///
    /// # Errors
    /// [`Error::Core`] for a damaged list, [`Error::Engine`] for a file that cannot be mapped, [`Error::Weight`] for
    /// one that does not hold what the list states.
    pub(super) fn next_to(plan: &Path) -> Result<Option<Self>> {
        let Some(placed) = PlacedWeights::beside(plan)? else { return Ok(None) };
        let folder = plan.parent().unwrap_or(Path::new(""));
        let map = |name: &str| Ok((name.to_owned(), MappedFile::open(&folder.join(name))?));
        let files: BTreeMap<String, MappedFile> = placed.files().into_iter().map(map).collect::<Result<_>>()?;
        let list = PlacedWeights::path(plan);
        let made = placed.weights.iter().map(|weight| make(weight, &files, &list)).collect::<Result<_>>()?;
        Ok(Some(Self { placed, files, made }))
    }

    /// The values, as the engine takes them.
    pub(super) fn values(&self) -> Vec<WeightValues<'_>> {
        // `next_to` has seen that all of them are there.
        self.placed
            .weights
            .iter()
            .zip(&self.made)
            .filter_map(|(weight, made)| self.value(weight, made.as_ref()))
            .collect()
    }

    fn value<'a>(
        &'a self,
        weight: &'a EngineWeight<WeightPlace>,
        made: Option<&'a Aligned>,
    ) -> Option<WeightValues<'a>> {
        let stored = || part(&self.files, weight.sources.first()?);
        Some(WeightValues {
            name: &weight.name,
            data_type: weight.data_type.kserve_name(),
            element_count: weight.element_count,
            bytes: made.map(Aligned::bytes).or_else(stored)?,
        })
    }
}

/// Bytes at an address that suits any element.
#[derive(Debug)]
struct Aligned {
    words: Vec<u64>,
    byte_count: usize,
}

impl Aligned {
    fn new(byte_count: usize) -> Self {
        Self { words: vec![0; byte_count.div_ceil(size_of::<u64>())], byte_count }
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.byte_count]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.byte_count]
    }
}

fn part<'a>(files: &'a BTreeMap<String, MappedFile>, place: &WeightPlace) -> Option<&'a [u8]> {
    let start = usize::try_from(place.offset).ok()?;
    let end = start.checked_add(usize::try_from(place.byte_count).ok()?)?;
    files.get(&place.file)?.get(start..end)
}

/// The values of a weight that no file has as the engine takes it.
fn make(
    weight: &EngineWeight<WeightPlace>,
    files: &BTreeMap<String, MappedFile>,
    list: &Path,
) -> Result<Option<Aligned>> {
    let fail = |message: String| Error::Weight { path: PathBuf::from(list), name: weight.name.clone(), message };
    let width = weight.data_type.byte_count();
    let count = usize::try_from(weight.element_count).unwrap_or(usize::MAX);
    let mut sources = Vec::new();
    for place in &weight.sources {
        let bytes = part(files, place).ok_or_else(|| fail(format!("`{}` ends before it does", place.file)))?;
        if Some(bytes.len()) != count.checked_mul(width) {
            return Err(fail(format!("it has {} bytes, {count} elements of {width} bytes are expected", bytes.len())));
        }
        sources.push(bytes);
    }
    match (weight.transform, sources.as_slice()) {
        (WeightTransform::Identity, [bytes]) => {
            let is_aligned = (*bytes).as_ptr().addr().is_multiple_of(width);
            Ok((!is_aligned).then(|| {
                let mut copy = Aligned::new(bytes.len());
                copy.bytes_mut().copy_from_slice(bytes);
                copy
            }))
        }
        (WeightTransform::Transposed { rows }, [bytes]) => {
            let rows = usize::try_from(rows).unwrap_or(0);
            if rows == 0 || !count.is_multiple_of(rows) {
                return Err(fail(format!("{count} elements do not fill {rows} rows")));
            }
            Ok(Some(transposed(bytes, (rows, count / rows), width)))
        }
        (WeightTransform::BatchNormScale { epsilon }, [scale, _, _, variance]) if width == 4 => {
            Ok(Some(each([scale, scale, scale, variance], |[scale, _, _, variance]| {
                scale / (variance + epsilon).sqrt()
            })))
        }
        (WeightTransform::BatchNormBias { epsilon }, [scale, bias, mean, variance]) if width == 4 => {
            let value = |[scale, bias, mean, variance]: [f32; 4]| bias - mean * (scale / (variance + epsilon).sqrt());
            Ok(Some(each([scale, bias, mean, variance], value)))
        }
        (transform, sources) => Err(fail(format!("{transform:?} of {} weights is not known", sources.len()))),
    }
}

/// The elements of a matrix, column by column.
fn transposed(bytes: &[u8], (rows, columns): (usize, usize), width: usize) -> Aligned {
    let mut turned = Aligned::new(bytes.len());
    for (index, element) in turned.bytes_mut().chunks_exact_mut(width).enumerate() {
        let (column, row) = (index / rows, index % rows);
        let start = (row * columns + column) * width;
        element.copy_from_slice(&bytes[start..start + width]);
    }
    turned
}

/// A number of each of four, in binary32.
fn each(sources: [&[u8]; 4], value: impl Fn([f32; 4]) -> f32) -> Aligned {
    let mut made = Aligned::new(sources[0].len());
    for (index, element) in made.bytes_mut().as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let number = |bytes: &[u8]| bytes.as_chunks().0.get(index).map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
        *element = value(sources.map(number)).to_le_bytes();
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{DataType, EngineWeights};

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// Name of a weight, what it is made by, and the first and the number of the numbers in each source.
    type Row<'a> = (&'a str, WeightTransform, &'a [(u64, u64)]);

    /// A folder with twelve numbers behind four bytes, and the list of an engine's weights.
    fn folder(weights: &[Row<'_>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let numbers: Vec<u8> = (0..12).flat_map(|number| (number as f32).to_le_bytes()).collect();
        fs_err::write(folder.path().join("model.safetensors"), [&[0; 4], numbers.as_slice()].concat()).unwrap();
        let weight = |&(name, transform, places): &Row<'_>| EngineWeight {
            name: name.to_owned(),
            data_type: DataType::Fp32,
            element_count: places[0].1,
            transform,
            sources: places.iter().map(|(first, count)| format!("{first},{count}")).collect(),
        };
        let weights = EngineWeights { weights: weights.iter().map(weight).collect() };
        let placed = weights.placed(|place| {
            let (first, count) = place.split_once(',')?;
            let numbers = |text: &str| text.parse::<u64>().unwrap() * 4;
            let file = "model.safetensors".to_owned();
            Some(WeightPlace { file, offset: 4 + numbers(first), byte_count: numbers(count) })
        });
        fs_err::write(folder.path().join("model.weights.json"), placed.unwrap().to_json()).unwrap();
        folder
    }

    #[test]
    fn weights_are_what_their_sources_and_transforms_say() {
        let norm: &[(u64, u64)] = &[(1, 1), (2, 1), (3, 1), (4, 1)];
        let folder = folder(&[
            ("same", WeightTransform::Identity, &[(2, 3)]),
            ("turned", WeightTransform::Transposed { rows: 2 }, &[(0, 6)]),
            ("scale", WeightTransform::BatchNormScale { epsilon: 12.0 }, norm),
            ("bias", WeightTransform::BatchNormBias { epsilon: 12.0 }, norm),
        ]);
        let weights = Weights::next_to(&folder.path().join("model.plan")).unwrap().unwrap();
        let found: Vec<_> = weights.values().iter().map(|weight| (weight.name, floats(weight.bytes))).collect();
        let expected = [
            ("same", vec![2.0, 3.0, 4.0]),
            ("turned", vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
            ("scale", vec![0.25]),
            ("bias", vec![1.25]),
        ];
        assert_eq!(found, expected.map(|(name, values)| (name, values)));
        assert!(weights.made[0].is_none(), "its file has it as the engine takes it");
        assert!(Weights::next_to(&folder.path().join("other.plan")).unwrap().is_none());
    }

    #[test]
    fn weights_that_are_not_there_are_named() {
        let message = |weight| {
            let folder = folder(&[weight]);
            Weights::next_to(&folder.path().join("model.plan")).unwrap_err().to_string()
        };
        let beyond = message(("w", WeightTransform::Identity, &[(10, 3)]));
        assert!(
            beyond.contains("weight `w`") && beyond.ends_with("`model.safetensors` ends before it does"),
            "{beyond}"
        );
        let rows = message(("w", WeightTransform::Transposed { rows: 4 }, &[(0, 6)]));
        assert!(rows.ends_with("6 elements do not fill 4 rows"), "{rows}");
        let two = message(("w", WeightTransform::Identity, &[(0, 1), (1, 1)]));
        assert!(two.ends_with("Identity of 2 weights is not known"), "{two}");
        let folder = folder(&[("w", WeightTransform::Identity, &[(0, 1)])]);
        fs_err::remove_file(folder.path().join("model.safetensors")).unwrap();
        let missing = Weights::next_to(&folder.path().join("model.plan")).unwrap_err().to_string();
        assert!(missing.contains("model.safetensors` cannot be mapped into memory"), "{missing}");
    }
}
