//! Writing a checkpoint's weights in another precision, as one safetensors file, in pieces of fixed size.

use crate::checkpoint::{Checkpoint, StoredType};
use crate::onnx::{WeightPlan, WeightUse};
use crate::reporter::Reporter;
use crate::{Error, Result};
use half::{bf16, f16};
use planforge_core::{DataType, Progress};
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Elements converted at a time.
const PIECE: usize = 1 << 18;

/// Writes `weights`, each as its own type, to `folder`/`file` and returns the place of each.
///
/// # Errors
/// I/O errors, a value outside the range of its type, or cancellation.
pub(crate) fn convert(
    checkpoint: &Checkpoint,
    weights: &[&WeightUse],
    folder: &Path,
    file: &str,
    reporter: Reporter<'_>,
) -> Result<WeightPlan> {
    let (header, plan) = layout(weights, file);
    let mut output = BufWriter::with_capacity(1 << 20, fs_err::File::create(folder.join(file))?);
    output.write_all(&(header.len() as u64).to_le_bytes())?;
    output.write_all(&header)?;
    let mut done = 0;
    for weight in weights {
        convert_tensor(checkpoint, weight, &mut output, reporter.progress)?;
        done += weight.source.tensor.byte_count;
        reporter.advanced(done);
    }
    output.flush()?;
    Ok(plan)
}

/// The header of the new file, and the place of each weight.
fn layout(weights: &[&WeightUse], file: &str) -> (Vec<u8>, WeightPlan) {
    #[derive(serde::Serialize)]
    struct Entry<'a> {
        dtype: String,
        shape: &'a [usize],
        data_offsets: [u64; 2],
    }
    let (mut entries, mut end) = (BTreeMap::new(), 0);
    for weight in weights {
        let shape = &weight.source.tensor.shape;
        let start = end;
        end += weight.data_type.bytes_of(shape.iter().product()) as u64;
        let dtype = StoredType::of_weights(weight.data_type).name();
        entries.insert(weight.name.as_str(), Entry { dtype, shape, data_offsets: [start, end] });
    }
    let mut header = serde_json::to_vec(&entries).expect("names, shapes and offsets are plain data");
    // Tensors start on a multiple of 64 bytes, so that readers can map them as vectors.
    header.resize((header.len() + 8).next_multiple_of(64) - 8, b' ');
    let data_start = 8 + header.len() as u64;
    let place = |(name, entry): (&&str, &Entry<'_>)| {
        let [start, end] = entry.data_offsets;
        ((*name).to_owned(), (file.to_owned(), data_start + start, end - start))
    };
    let plan = entries.iter().map(place).collect();
    (header, plan)
}

/// Writes one weight as its own type to `output`.
///
/// # Errors
/// As [`convert`].
pub(crate) fn convert_tensor(
    checkpoint: &Checkpoint,
    weight: &WeightUse,
    output: &mut impl Write,
    progress: &dyn Progress,
) -> Result<()> {
    let stored = &weight.source.tensor;
    let mut input = stored.open(&checkpoint.files[weight.source.file].path)?;
    let width = stored.data_type.byte_count().unwrap_or(1) as usize;
    let mut left = usize::try_from(stored.byte_count).unwrap_or(usize::MAX) / width;
    let mut bytes = vec![0; PIECE * width];
    let mut written = Vec::with_capacity(PIECE * 4);
    while left > 0 {
        if progress.is_cancelled() {
            return Err(planforge_core::Error::Cancelled.into());
        }
        let count = left.min(PIECE);
        let piece = &mut bytes[..count * width];
        input.read_exact(piece)?;
        written.clear();
        let outside = |(value, largest)| Error::WeightRange {
            name: weight.name.clone(),
            value,
            kind: weight.data_type.kserve_name().to_lowercase(),
            largest,
        };
        convert_piece(piece, stored.data_type, weight.data_type, &mut written).map_err(outside)?;
        output.write_all(&written)?;
        left -= count;
    }
    Ok(())
}

/// Reads weights that are used as they are stored, and fails for one with a value that is not a finite number.
///
/// # Errors
/// As [`convert`].
pub(crate) fn require_finite(checkpoint: &Checkpoint, weights: &[&WeightUse], progress: &dyn Progress) -> Result<()> {
    weights.iter().try_for_each(|weight| convert_tensor(checkpoint, weight, &mut std::io::sink(), progress))
}

/// Rounds to the nearest number of the type. A value that is not a finite number of the type is returned as the error, with the
/// largest number of the type.
fn convert_piece(
    piece: &[u8],
    stored: StoredType,
    wanted: DataType,
    written: &mut Vec<u8>,
) -> std::result::Result<(), (f32, f32)> {
    let mut outside = None;
    let mut note = |value: f32, is_held: bool, largest: f32| {
        if !is_held {
            outside = Some((value, largest));
        }
    };
    match wanted {
        DataType::Fp16 => each(piece, stored, |value| {
            let rounded = f16::from_f32(value);
            note(value, rounded.is_finite(), f16::MAX.to_f32());
            written.extend_from_slice(&rounded.to_le_bytes());
        }),
        DataType::Bf16 => each(piece, stored, |value| {
            let rounded = bf16::from_f32(value);
            note(value, rounded.is_finite(), bf16::MAX.to_f32());
            written.extend_from_slice(&rounded.to_le_bytes());
        }),
        _ => each(piece, stored, |value| {
            note(value, value.is_finite(), f32::MAX);
            written.extend_from_slice(&value.to_le_bytes());
        }),
    }
    outside.map_or(Ok(()), Err)
}

fn each(piece: &[u8], data_type: StoredType, mut visit: impl FnMut(f32)) {
    match data_type {
        StoredType::F32 => piece.as_chunks().0.iter().for_each(|&bytes| visit(f32::from_le_bytes(bytes))),
        StoredType::F16 => piece.as_chunks().0.iter().for_each(|&bytes| visit(f16::from_le_bytes(bytes).to_f32())),
        StoredType::Bf16 => piece.as_chunks().0.iter().for_each(|&bytes| visit(bf16::from_le_bytes(bytes).to_f32())),
        StoredType::F64 => piece.as_chunks().0.iter().for_each(|&bytes| visit(f64::from_le_bytes(bytes) as f32)),
        StoredType::Other(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(values: &[f32], wanted: DataType) -> std::result::Result<Vec<u8>, (f32, f32)> {
        let piece: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut written = Vec::new();
        convert_piece(&piece, StoredType::F32, wanted, &mut written).map(|()| written)
    }

    #[test]
    fn halves_round_to_nearest_and_refuse_overflow() {
        let written = converted(&[1.0, -2.5, 65504.0], DataType::Fp16).unwrap();
        let halves: Vec<f32> = written.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect();
        assert_eq!(halves, [1.0, -2.5, 65504.0]);
        assert_eq!(converted(&[1.0, 70000.0], DataType::Fp16), Err((70000.0, 65504.0)));
    }

    #[test]
    fn doubles_become_floats_and_refuse_overflow() {
        let convert = |value: f64| {
            let mut written = Vec::new();
            convert_piece(&value.to_le_bytes(), StoredType::F64, DataType::Fp32, &mut written).map(|()| written)
        };
        assert_eq!(convert(0.1).unwrap(), 0.1_f32.to_le_bytes());
        assert_eq!(convert(1e39), Err((f32::INFINITY, f32::MAX)));
        assert_eq!(converted(&[f32::NEG_INFINITY], DataType::Fp32), Err((f32::NEG_INFINITY, f32::MAX)));
        assert!(converted(&[1.0, f32::NAN], DataType::Fp32).unwrap_err().0.is_nan());
    }

    #[test]
    fn bfloats_round_to_the_nearest_even_number_and_refuse_overflow() {
        // 8 bits: 1 + 2^-8 is between 1 and 1 + 2^-7 and goes to the even one, 1 + 3 * 2^-8 to 1 + 2^-6.
        let written = converted(&[1.0, 257.0 / 256.0, 259.0 / 256.0, -70000.0, 3.0e38], DataType::Bf16).unwrap();
        let found: Vec<f32> = written.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect();
        assert_eq!(found, [1.0, 1.0, 260.0 / 256.0, -70144.0, 3.004_055_3e38]);
        assert_eq!(converted(&[f32::MAX], DataType::Bf16), Err((f32::MAX, 3.389_531_4e38)));
        assert_eq!(converted(&[f32::MAX], DataType::Fp32), Ok(f32::MAX.to_le_bytes().to_vec()));
    }
}
