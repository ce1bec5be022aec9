//! What the dimensions of a graph are called that its exporter left open.
//!
//! Exporters call them as they like: `batch_size`, `N`, `s0`, `unk__12`, or not at all. The first is the batch. The second of
//! an input of integers is the length of the sequence, and so is what has the same name elsewhere.

use crate::tensor_shape_proto::Dimension;
use crate::tensor_shape_proto::dimension::Value as DimensionValue;
use planforge_types::{DataType, Dim};
use std::collections::BTreeSet;

/// An input or output before its dimensions have names.
#[derive(Debug)]
pub(crate) struct OpenTensor {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) dims: Vec<Dimension>,
}

impl OpenTensor {
    const fn is_integer(&self) -> bool {
        matches!(self.data_type, DataType::Int64 | DataType::Int32)
    }

    /// The exporter's names of the dimensions from `place` on, an empty one for a dimension without a name; fixed ones are
    /// left out.
    fn open_from(&self, place: usize) -> impl Iterator<Item = &str> {
        self.dims.iter().skip(place).filter(|dim| fixed(dim).is_none()).map(symbol)
    }
}

/// The exporter's names for the batch and the sequence.
#[derive(Debug)]
pub(crate) struct DimNames {
    batch: BTreeSet<String>,
    sequence: BTreeSet<String>,
    /// Whether a second dimension without a name is the sequence.
    second_is_sequence: bool,
}

impl DimNames {
    /// Names by the inputs of a graph. Where no input of integers has a sequence, the only dimension that is open besides the
    /// batch is one.
    pub(crate) fn of_inputs(inputs: &[OpenTensor]) -> Self {
        let first = inputs.iter().filter_map(|input| input.dims.first());
        let batch: BTreeSet<String> = first.map(symbol).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let is_other = |name: &&str| !batch.contains(*name);
        let second =
            |input: &OpenTensor| input.dims.get(1).filter(|dim| fixed(dim).is_none()).map(|dim| symbol(dim).to_owned());
        let of_integers: Vec<String> = inputs.iter().filter(|input| input.is_integer()).filter_map(second).collect();
        let mut sequence: BTreeSet<String> =
            of_integers.iter().filter(|name| !name.is_empty() && is_other(&name.as_str())).cloned().collect();
        let mut second_is_sequence = of_integers.iter().any(String::is_empty);
        // Images are of rank 4, and have no sequence.
        if of_integers.is_empty() && inputs.iter().all(|input| input.dims.len() <= 3) {
            let others: BTreeSet<&str> = inputs.iter().flat_map(|input| input.open_from(1)).filter(is_other).collect();
            let thirds = inputs.iter().flat_map(|input| input.open_from(2)).filter(|name| name.is_empty());
            if let (Some(only), 1) = (others.first(), others.len()) {
                second_is_sequence = only.is_empty() && thirds.count() == 0;
                sequence.extend((!only.is_empty()).then(|| (*only).to_owned()));
            }
        }
        Self { batch, sequence, second_is_sequence }
    }

    /// The dimensions of `tensor`: sizes, `batch`, `sequence`, or the exporter's own names.
    pub(crate) fn dims(&self, tensor: &OpenTensor) -> Vec<Dim> {
        let second_is_sequence = tensor.is_integer() || self.second_is_sequence && tensor.dims.len() <= 3;
        let dim = |(place, dim): (usize, &Dimension)| match (fixed(dim), symbol(dim)) {
            (Some(size), _) => Dim::Fixed(size),
            _ if place == 0 => Dim::dynamic("batch"),
            (_, name) if self.sequence.contains(name) => Dim::dynamic("sequence"),
            (_, name) if self.batch.contains(name) => Dim::dynamic("batch"),
            (_, "") if place == 1 && second_is_sequence => Dim::dynamic("sequence"),
            (_, "") => Dim::dynamic(&format!("dim{place}")),
            (_, name) => Dim::dynamic(name),
        };
        tensor.dims.iter().enumerate().map(dim).collect()
    }
}

/// The size of a dimension; none where it is open, which some exporters write as 0 or -1.
pub(crate) fn fixed(dim: &Dimension) -> Option<u64> {
    match dim.value {
        Some(DimensionValue::DimValue(size)) if size > 0 => Some(size.unsigned_abs()),
        _ => None,
    }
}

/// The exporter's name of a dimension; empty where it has none.
fn symbol(dim: &Dimension) -> &str {
    match &dim.value {
        Some(DimensionValue::DimParam(name)) => name,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: DataType, dims: &[&str]) -> OpenTensor {
        let dim = |dim: &&str| match dim.parse() {
            Ok(size) => Dimension::fixed(size),
            Err(_) => Dimension::dynamic(dim),
        };
        OpenTensor { name: String::new(), data_type, dims: dims.iter().map(dim).collect() }
    }

    fn named(inputs: &[(DataType, &[&str])]) -> Vec<String> {
        let inputs: Vec<_> = inputs.iter().map(|(data_type, dims)| tensor(*data_type, dims)).collect();
        let names = DimNames::of_inputs(&inputs);
        let text = |dim: &Dim| match dim {
            Dim::Fixed(size) => size.to_string(),
            Dim::Dynamic(name) => name.clone(),
        };
        inputs.iter().map(|input| names.dims(input).iter().map(text).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn the_sequence_is_found_by_its_name_in_every_input() {
        let (ids, mask) = (DataType::Int64, DataType::Fp32);
        assert_eq!(
            named(&[(ids, &["s0", "s1"]), (mask, &["s0", "1", "s1", "s1"])]),
            ["batch sequence", "batch 1 sequence sequence"]
        );
        assert_eq!(named(&[(ids, &["", ""]), (mask, &["-1", "0"])]), ["batch sequence", "batch sequence"]);
        assert_eq!(named(&[(ids, &["N", "8"])]), ["batch 8"]);
        assert_eq!(named(&[(ids, &["1", "unk__4"])]), ["1 sequence"]);
    }

    #[test]
    fn the_only_open_dimension_besides_the_batch_is_the_sequence() {
        let wave = DataType::Fp32;
        assert_eq!(
            named(&[(wave, &["N", "time", "80"]), (wave, &["N", "time"])]),
            ["batch sequence 80", "batch sequence"]
        );
        assert_eq!(named(&[(wave, &["", ""])]), ["batch sequence"]);
        assert_eq!(named(&[(wave, &["N", "time", "bins"])]), ["batch time bins"]);
        assert_eq!(named(&[(wave, &["N", "3", "224", "W"])]), ["batch 3 224 W"]);
        assert_eq!(named(&[(wave, &["N", "", ""])]), ["batch dim1 dim2"]);
    }
}
