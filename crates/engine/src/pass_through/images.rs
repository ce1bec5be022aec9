//! Sizes of images that a graph leaves open: all of `[batch, channels, height, width]`, as some exporters write it.

use crate::checkpoint::read_json;
use crate::image_processor::ImageProcessor;
use planforge_core::{DataType, Dim, ImageSize, Snapshot, TensorSpec};
use serde_json::Value;

/// Channels of images where nothing states them.
const CHANNELS: u64 = 3;

/// Fixes the channels and sizes that inputs of images leave open: to `asked`, else to what the repository states.
///
/// # Errors
/// Sizes that are open and stated nowhere, and an `asked` size that the graph does not take.
pub(super) fn with_image_size(
    inputs: &mut [TensorSpec],
    snapshot: &Snapshot,
    asked: Option<ImageSize>,
) -> Result<(), String> {
    let mut has_images = false;
    for input in inputs.iter_mut().filter(|input| is_image(input)) {
        has_images = true;
        let layout = Layout::of(&input.dims);
        if let Dim::Dynamic(_) = input.dims[layout.channels] {
            input.dims[layout.channels] = Dim::Fixed(stated_channels(snapshot).unwrap_or(CHANNELS));
        }
        let edges = [layout.height, layout.width];
        let is_open = |place: usize| matches!(input.dims[place], Dim::Dynamic(_));
        let size = asked.or_else(|| edges.iter().any(|&edge| is_open(edge)).then(|| stated_size(snapshot)).flatten());
        for (place, edge) in edges.into_iter().zip(size.map_or([None; 2], |size| <[usize; 2]>::from(size).map(Some))) {
            match (&input.dims[place], edge.map(|edge| edge as u64)) {
                (Dim::Fixed(fixed), Some(edge)) if *fixed != edge && asked.is_some() => {
                    return Err(format!(
                        "key `export.image_size`: input `{}` takes {fixed} pixels where {edge} are asked for; remove the key",
                        input.name
                    ));
                }
                (Dim::Dynamic(_), Some(edge)) => input.dims[place] = Dim::Fixed(edge),
                (Dim::Dynamic(name), None) => {
                    return Err(format!(
                        "input `{}` leaves the size of images open (`{name}`), and the repository does not state it; set for \
                         example `image_size = [224, 224]` in [export]",
                        input.name
                    ));
                }
                (Dim::Fixed(_), _) => {}
            }
        }
    }
    match asked {
        Some(_) if !has_images => Err("key `export.image_size`: the graph takes no images; remove the key".to_owned()),
        _ => Ok(()),
    }
}

fn is_image(input: &TensorSpec) -> bool {
    input.dims.len() == 4 && matches!(input.data_type, DataType::Fp32 | DataType::Fp16)
}

/// Places of an image's dimensions.
struct Layout {
    channels: usize,
    height: usize,
    width: usize,
}

impl Layout {
    /// Channels come last where the last dimension is as small as channels are and the second is not.
    fn of(dims: &[Dim]) -> Self {
        let is_small = |dim: &Dim| matches!(dim, Dim::Fixed(1..=4));
        if is_small(&dims[3]) && !is_small(&dims[1]) {
            Self { channels: 3, height: 1, width: 2 }
        } else {
            Self { channels: 1, height: 2, width: 3 }
        }
    }
}

/// A JSON file of the snapshot; nothing where it is missing or damaged: whoever needs it reports that.
fn json(snapshot: &Snapshot, file: &str) -> Value {
    read_json(snapshot, file).unwrap_or_default()
}

fn stated_channels(snapshot: &Snapshot) -> Option<u64> {
    let config = json(snapshot, "config.json");
    config["num_channels"].as_u64().or_else(|| config["pretrained_cfg"]["input_size"][0].as_u64())
}

/// The size that the image processor brings images to, else that of `config.json`.
fn stated_size(snapshot: &Snapshot) -> Option<ImageSize> {
    if let Ok(Some(size)) = ImageProcessor::find(snapshot).map(|found| found.and_then(|found| found.output_size())) {
        return Some(size);
    }
    // What comes out depends on the image, or the image processor is not described.
    let (preprocessor, config) = (json(snapshot, "preprocessor_config.json"), json(snapshot, "config.json"));
    let crops = preprocessor["do_center_crop"].as_bool() != Some(false);
    let cropped = if crops { size(&preprocessor["crop_size"]) } else { None };
    let trained = &config["pretrained_cfg"]["input_size"];
    cropped
        .or_else(|| size(&preprocessor["size"]))
        .or_else(|| size(&config["image_size"]))
        .or_else(|| edges(&trained[1], &trained[2]))
}

/// A size in any of the ways in which libraries write it: an edge, height and width, or both by name.
fn size(value: &Value) -> Option<ImageSize> {
    match value {
        Value::Number(_) => edges(value, value),
        Value::Array(pair) if pair.len() == 2 => edges(&pair[0], &pair[1]),
        Value::Object(named) => edges(named.get("height")?, named.get("width")?),
        _ => None,
    }
}

fn edges(height: &Value, width: &Value) -> Option<ImageSize> {
    let edge = |value: &Value| usize::try_from(value.as_u64()?).ok();
    ImageSize::try_from([edge(height)?, edge(width)?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{ArtifactFile, Commit, digest_bytes};
    use serde_json::json;

    fn resolved(dims: &[&str], files: &[(&str, Value)], asked: Option<[usize; 2]>) -> Result<Vec<u64>, String> {
        let folder = tempfile::tempdir().unwrap();
        let record = |(path, content): &(&str, Value)| {
            fs_err::write(folder.path().join(path), content.to_string()).unwrap();
            ArtifactFile { path: (*path).to_owned(), byte_count: 0, sha256: digest_bytes(b"") }
        };
        let snapshot = Snapshot {
            repo: "o/n".to_owned(),
            revision: "local".to_owned(),
            commit: Commit::Local,
            directory: folder.path().to_owned(),
            files: files.iter().map(record).collect(),
            graphs: Vec::new(),
        };
        let dim = |dim: &&str| dim.parse().map_or_else(|_| Dim::dynamic(dim), Dim::Fixed);
        let mut inputs = [TensorSpec::new("x", DataType::Fp32, dims.iter().map(dim).collect())];
        with_image_size(&mut inputs, &snapshot, asked.map(|size| size.try_into().unwrap()))?;
        let fixed = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 0 };
        Ok(inputs[0].dims.iter().map(fixed).collect())
    }

    const OPEN: [&str; 4] = ["batch", "channels", "height", "width"];

    #[test]
    fn open_sizes_are_those_asked_for_or_those_that_the_repository_states() {
        let config = ("config.json", json!({ "image_size": 64, "num_channels": 1 }));
        let preprocessor = |content: Value| ("preprocessor_config.json", content);
        assert_eq!(resolved(&OPEN, &[], Some([32, 48])).unwrap(), [0, 3, 32, 48]);
        assert_eq!(resolved(&OPEN, std::slice::from_ref(&config), None).unwrap(), [0, 1, 64, 64]);
        let sized = preprocessor(json!({ "size": { "height": 32, "width": 48 } }));
        assert_eq!(resolved(&OPEN, &[config.clone(), sized], None).unwrap(), [0, 1, 32, 48]);
        let cropped =
            preprocessor(json!({ "size": { "shortest_edge": 256 }, "crop_size": 224, "do_center_crop": true }));
        assert_eq!(resolved(&OPEN, &[config.clone(), cropped], None).unwrap(), [0, 1, 224, 224]);
        let whole = preprocessor(json!({ "size": 96, "crop_size": 80, "do_center_crop": false }));
        assert_eq!(resolved(&OPEN, &[config, whole], None).unwrap(), [0, 1, 96, 96]);
        let timm = ("config.json", json!({ "pretrained_cfg": { "input_size": [3, 160, 192] } }));
        assert_eq!(resolved(&OPEN, &[timm], None).unwrap(), [0, 3, 160, 192]);
        assert_eq!(resolved(&["N", "unk__1", "unk__2", "3"], &[], Some([8, 16])).unwrap(), [0, 8, 16, 3]);
    }

    #[test]
    fn sizes_that_are_open_or_do_not_fit_are_refused() {
        let error = resolved(&OPEN, &[], None).unwrap_err();
        assert!(
            error.contains("leaves the size of images open (`height`)") && error.contains("`image_size = "),
            "{error}"
        );
        assert_eq!(resolved(&["1", "3", "224", "224"], &[], Some([224, 224])).unwrap(), [1, 3, 224, 224]);
        let error = resolved(&["N", "3", "224", "224"], &[], Some([224, 256])).unwrap_err();
        assert!(error.contains("takes 224 pixels where 256 are asked for"), "{error}");
        assert!(resolved(&["N", "784"], &[], Some([28, 28])).unwrap_err().contains("takes no images"));
    }
}
