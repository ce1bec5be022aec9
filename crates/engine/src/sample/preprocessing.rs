//! What a checkpoint's training did to images, as timm (`pretrained_cfg`) and transformers
//! (`preprocessor_config.json`) write it down.

use crate::arch::TimmConfig;
use crate::checkpoint::read_json;
use crate::{Error, Result};
use image::imageops::FilterType;
use planforge_core::{ImageSize, Snapshot};
use serde::Deserialize;
use serde_json::Value;

const PREPROCESSOR: &str = "preprocessor_config.json";

/// Steps from an image to the values a model is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preprocessing {
    /// First step.
    pub(super) resize: Resize,
    /// The centre when an odd number of pixels is cut off.
    pub(super) odd_margins: OddMargins,
    /// How pixels between pixels are found.
    pub(super) filter: FilterType,
    /// What a byte is multiplied by.
    pub(super) rescale: f32,
    /// Mean of each channel, after that.
    pub(super) mean: [f32; 3],
    /// Standard deviation of each channel.
    pub(super) deviation: [f32; 3],
}

/// Half of an odd number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OddMargins {
    /// Rounded down, as in transformers.
    Down,
    /// Rounded to the even number, as in torchvision, which timm uses.
    ToEven,
}

/// To which size an image is brought before its centre is cut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resize {
    /// It keeps its own.
    Keep,
    /// The shorter edge to this length, the longer in proportion.
    ShorterEdge(usize),
    /// Both edges, regardless of the proportions.
    Exactly(ImageSize),
}

/// Share of the image that timm keeps where a checkpoint does not say.
const DEFAULT_CROP: f64 = 0.875;

/// Mean and standard deviation of ImageNet's channels.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

impl Preprocessing {
    /// As [`Self::read`]; ImageNet's defaults for a checkpoint of transformers without a preprocessing file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_or_default(snapshot: &Snapshot, size: ImageSize) -> Result<Self> {
        match Self::read(snapshot, size) {
            Err(Error::MissingFile { file, .. }) if file == PREPROCESSOR => Ok(Self {
                resize: Resize::Exactly(size),
                odd_margins: OddMargins::Down,
                filter: FilterType::CatmullRom,
                rescale: 1.0 / 255.0,
                mean: IMAGENET_MEAN,
                deviation: IMAGENET_DEVIATION,
            }),
            read => read,
        }
    }

    /// The preprocessing of the checkpoint for a model that takes images of `size`.
    ///
    /// # Errors
    /// A missing file, values of another shape, and steps that are not described here.
    pub(super) fn read(snapshot: &Snapshot, size: ImageSize) -> Result<Self> {
        let config: Value = read_json(snapshot, "config.json")?;
        if config.get("model_type").is_some() {
            let config: TransformersConfig = read_json(snapshot, PREPROCESSOR)?;
            return of_transformers(&config, size).map_err(|message| failure(snapshot, PREPROCESSOR, message));
        }
        let config: TimmConfig = read_json(snapshot, "config.json")?;
        of_timm(&config, size).map_err(|message| failure(snapshot, "config.json", message))
    }
}

fn failure(snapshot: &Snapshot, file: &str, message: String) -> Error {
    Error::Config { path: snapshot.directory.join(file), message }
}

fn of_timm(config: &TimmConfig, size: ImageSize) -> std::result::Result<Preprocessing, String> {
    let trained = &config.pretrained_cfg;
    let crop = trained.crop_pct.unwrap_or(DEFAULT_CROP);
    if !(crop > 0.0 && crop <= 1.0) {
        return Err(format!("`crop_pct` is {crop}, expected a share above 0 and at most 1"));
    }
    let before_crop = |edge: usize| (edge as f64 / crop).floor() as usize;
    let (height, width) = (before_crop(size.height), before_crop(size.width));
    let resize = match trained.crop_mode.as_deref().unwrap_or("center") {
        "squash" => Resize::Exactly(ImageSize { height, width }),
        "center" if height == width => Resize::ShorterEdge(height),
        "center" => Resize::Exactly(ImageSize { height, width }),
        other => return Err(format!("`crop_mode` is `{other}`, expected `center` or `squash`")),
    };
    let filter = match trained.interpolation.as_deref().unwrap_or("bilinear") {
        "bicubic" => FilterType::CatmullRom,
        "bilinear" => FilterType::Triangle,
        "nearest" => FilterType::Nearest,
        other => return Err(format!("`interpolation` is `{other}`, expected bicubic, bilinear or nearest")),
    };
    Ok(Preprocessing {
        resize,
        odd_margins: OddMargins::ToEven,
        filter,
        rescale: 1.0 / 255.0,
        mean: trained.mean.unwrap_or(IMAGENET_MEAN),
        deviation: trained.std.unwrap_or(IMAGENET_DEVIATION),
    })
}

/// `preprocessor_config.json`.
#[derive(Debug, Deserialize)]
struct TransformersConfig {
    #[serde(alias = "feature_extractor_type")]
    image_processor_type: Option<String>,
    #[serde(default = "yes")]
    do_resize: bool,
    size: Option<Value>,
    crop_pct: Option<f64>,
    resample: Option<u8>,
    #[serde(default = "yes")]
    do_rescale: bool,
    rescale_factor: Option<f32>,
    #[serde(default = "yes")]
    do_normalize: bool,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
}

const fn yes() -> bool {
    true
}

/// From this edge on, processors of the ConvNeXt kind stretch images and cut nothing off.
const STRETCHED_FROM: usize = 384;

fn of_transformers(config: &TransformersConfig, size: ImageSize) -> std::result::Result<Preprocessing, String> {
    let kind = config.image_processor_type.as_deref().unwrap_or_default();
    let is_convnext = kind.starts_with("ConvNext") || config.crop_pct.is_some();
    let resize = match (config.do_resize, &config.size) {
        (false, _) => Resize::Keep,
        (true, None) => Resize::Exactly(size),
        (true, Some(asked)) if is_convnext => convnext_resize(edge_of(asked)?, config.crop_pct),
        (true, Some(asked)) => plain_resize(asked)?,
    };
    // The numbers of Pillow's filters.
    let filter = match config.resample.unwrap_or(2) {
        0 => FilterType::Nearest,
        1 => FilterType::Lanczos3,
        2 => FilterType::Triangle,
        3 => FilterType::CatmullRom,
        other => return Err(format!("`resample` is {other}, expected 0 to 3")),
    };
    let (mean, deviation) = if config.do_normalize {
        (config.image_mean.unwrap_or(IMAGENET_MEAN), config.image_std.unwrap_or(IMAGENET_DEVIATION))
    } else {
        ([0.0; 3], [1.0; 3])
    };
    let rescale = if config.do_rescale { config.rescale_factor.unwrap_or(1.0 / 255.0) } else { 1.0 };
    Ok(Preprocessing { resize, odd_margins: OddMargins::Down, filter, rescale, mean, deviation })
}

fn convnext_resize(edge: usize, crop: Option<f64>) -> Resize {
    if edge >= STRETCHED_FROM {
        return Resize::Exactly(ImageSize { height: edge, width: edge });
    }
    Resize::ShorterEdge((edge as f64 / crop.unwrap_or(DEFAULT_CROP)) as usize)
}

fn edge_of(size: &Value) -> std::result::Result<usize, String> {
    let edge = size.as_u64().or_else(|| size.get("shortest_edge").and_then(Value::as_u64));
    edge.and_then(positive).ok_or_else(|| format!("`size` is {size}, expected an edge"))
}

fn plain_resize(size: &Value) -> std::result::Result<Resize, String> {
    let number = |key: &str| size.get(key).and_then(Value::as_u64).and_then(positive);
    match (size.as_u64().and_then(positive), number("height"), number("width"), number("shortest_edge")) {
        (Some(edge), ..) => Ok(Resize::Exactly(ImageSize { height: edge, width: edge })),
        (None, Some(height), Some(width), _) => Ok(Resize::Exactly(ImageSize { height, width })),
        (None, _, _, Some(edge)) => Ok(Resize::ShorterEdge(edge)),
        _ => Err(format!("`size` is {size}, expected an edge, height and width, or the shortest edge")),
    }
}

/// An edge that is not absurd.
fn positive(edge: u64) -> Option<usize> {
    let edge = usize::try_from(edge).ok()?;
    ImageSize::try_from([edge, edge]).ok().map(|size| size.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SIZE: ImageSize = ImageSize { height: 224, width: 224 };

    fn transformers(config: Value) -> std::result::Result<Preprocessing, String> {
        of_transformers(&serde_json::from_value(config).unwrap(), SIZE)
    }

    #[test]
    fn every_way_of_writing_sizes_is_read() {
        let resize = |config: Value| transformers(config).unwrap().resize;
        let square = |edge| Resize::Exactly(ImageSize { height: edge, width: edge });
        assert_eq!(resize(json!({ "size": { "height": 256, "width": 256 } })), square(256));
        assert_eq!(resize(json!({ "size": 224 })), square(224));
        assert_eq!(resize(json!({ "size": { "shortest_edge": 256 } })), Resize::ShorterEdge(256));
        assert_eq!(resize(json!({ "do_resize": false })), Resize::Keep);
        let convnext = |size: Value| json!({ "feature_extractor_type": "ConvNextFeatureExtractor", "size": size });
        assert_eq!(resize(convnext(json!(224))), Resize::ShorterEdge(256));
        assert_eq!(resize(convnext(json!({ "shortest_edge": 384 }))), square(384));
        assert!(transformers(json!({ "size": { "longest_edge": 3 } })).unwrap_err().contains("shortest edge"));
        assert!(transformers(json!({ "size": 0 })).is_err());
    }

    #[test]
    fn timm_crops_a_share() {
        let config = |crop: f64, mode: &str| {
            serde_json::from_value::<TimmConfig>(json!({
                "architecture": "resnet50", "num_classes": 2,
                "pretrained_cfg": { "input_size": [3, 224, 224], "crop_pct": crop, "crop_mode": mode }
            }))
            .unwrap()
        };
        assert_eq!(of_timm(&config(0.95, "center"), SIZE).unwrap().resize, Resize::ShorterEdge(235));
        let square = Resize::Exactly(ImageSize { height: 235, width: 235 });
        assert_eq!(of_timm(&config(0.95, "squash"), SIZE).unwrap().resize, square);
        assert!(of_timm(&config(0.95, "border"), SIZE).unwrap_err().contains("border"));
        assert!(of_timm(&config(0.0, "center"), SIZE).unwrap_err().contains("crop_pct"));
    }
}
