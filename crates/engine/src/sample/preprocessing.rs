//! What a checkpoint's training did to images, as timm (`pretrained_cfg`) and transformers
//! (`preprocessor_config.json`) write it down.

use super::resample::{Filter, Library};
use crate::arch::TimmConfig;
use crate::checkpoint::{Checkpoint, read_json};
use crate::image_processor::{ImageProcessor, Resize as ProcessorResize};
use crate::{Error, Result};
use planforge_core::{ImageSize, Snapshot};
use serde_json::Value;

/// Steps from an image to the values a model is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preprocessing {
    /// The library that resizes and crops: Pillow for timm, torchvision for transformers.
    pub(super) library: Library,
    /// Whether a colour that stands for transparency becomes white, which is not done here.
    pub(super) whitens_transparency: bool,
    /// First step.
    pub(super) resize: Resize,
    /// What is then cut out of the middle, unless all is kept.
    pub(super) crop: Option<ImageSize>,
    /// Colour of the frame around a smaller image.
    pub(super) fill: [u8; 3],
    /// How pixels between pixels are found.
    pub(super) filter: Filter,
    /// What a byte is multiplied by.
    pub(super) rescale: f32,
    /// Mean of each channel, after that.
    pub(super) mean: [f32; 3],
    /// Standard deviation of each channel.
    pub(super) deviation: [f32; 3],
}

/// To which size an image is brought before its centre is cut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resize {
    /// It keeps its own.
    Keep,
    /// The shorter edge to this length, the longer in proportion.
    ShorterEdge(usize),
    /// The shorter edge to the first length, or less so that the longer does not exceed the second.
    Between(usize, usize),
    /// Both edges, regardless of the proportions.
    Exactly(ImageSize),
    /// In proportion, so that both edges are at least these.
    Cover(ImageSize),
    /// In proportion, so that both edges are at most these.
    Within(ImageSize),
}

/// Share of the image that timm keeps where a checkpoint does not say.
const DEFAULT_CROP: f64 = 0.875;

/// Mean and standard deviation of ImageNet's channels.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

impl Preprocessing {
    /// As [`Self::read`]; ImageNet's defaults where the preprocessing is missing or is not described, since images that
    /// mean nothing need no other.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_or_default(snapshot: &Snapshot, size: ImageSize) -> Result<Self> {
        match Self::read(snapshot, size) {
            Err(Error::MissingFile { .. } | Error::Json { .. } | Error::Config { .. }) => Ok(Self {
                library: Library::Torchvision,
                whitens_transparency: false,
                resize: Resize::Exactly(size),
                crop: None,
                fill: [0; 3],
                filter: Filter::Bicubic,
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
        let config: Value = match snapshot.file("config.json") {
            Some(_) => read_json(snapshot, "config.json")?,
            None => Value::Null,
        };
        if config.get("model_type").is_none() && config.get("architecture").is_some() {
            let checkpoint = Checkpoint::of_config(snapshot, config)?;
            let config = TimmConfig::read(&checkpoint)?;
            return of_timm(&config, size).map_err(|message| checkpoint.config_error(message));
        }
        Ok(of_transformers(&ImageProcessor::read(snapshot)?.with_output_size(size)))
    }
}

fn of_timm(config: &TimmConfig, size: ImageSize) -> std::result::Result<Preprocessing, String> {
    let trained = &config.pretrained_cfg;
    let crop = if trained.crop_pct == 0.0 { DEFAULT_CROP } else { trained.crop_pct };
    if crop.is_nan() || crop < 0.1 {
        return Err(format!("`crop_pct` is {crop}, expected a share of at least 0.1"));
    }
    let before_crop = |edge: usize| (edge as f64 / crop).floor() as usize;
    let (height, width) = (before_crop(size.height), before_crop(size.width));
    let scaled = ImageSize { height, width };
    let resize = match trained.crop_mode.as_str() {
        "squash" => Resize::Exactly(scaled),
        "border" => Resize::Within(scaled),
        "center" if height == width => Resize::ShorterEdge(height),
        "center" => Resize::Cover(scaled),
        other => return Err(format!("`crop_mode` is `{other}`, expected `center`, `squash` or `border`")),
    };
    let filter = match trained.interpolation.as_str() {
        "bicubic" => Filter::Bicubic,
        "bilinear" => Filter::Bilinear,
        "nearest" => Filter::Nearest,
        "lanczos" => Filter::Lanczos,
        other => return Err(format!("`interpolation` is `{other}`, expected bicubic, bilinear, lanczos or nearest")),
    };
    let mean_color = trained.mean.map(|mean| (f64::from(mean) * 255.0).round_ties_even() as u8);
    Ok(Preprocessing {
        library: Library::Pillow,
        whitens_transparency: false,
        resize,
        crop: Some(size),
        fill: if trained.crop_mode == "border" { mean_color } else { [0; 3] },
        filter,
        rescale: 1.0 / 255.0,
        mean: trained.mean,
        deviation: trained.std,
    })
}

const fn of_transformers(processor: &ImageProcessor) -> Preprocessing {
    Preprocessing {
        library: Library::Torchvision,
        whitens_transparency: processor.whitens_transparency,
        resize: match processor.resize {
            None => Resize::Keep,
            Some(ProcessorResize::ShorterEdge(edge)) => Resize::ShorterEdge(edge),
            Some(ProcessorResize::Between(edge, most)) => Resize::Between(edge, most),
            Some(ProcessorResize::Exactly(size)) => Resize::Exactly(size),
        },
        crop: processor.crop,
        fill: [0; 3],
        // The numbers of Pillow's filters.
        filter: match processor.resample {
            0 => Filter::Nearest,
            1 => Filter::Lanczos,
            3 => Filter::Bicubic,
            _ => Filter::Bilinear,
        },
        rescale: processor.rescale,
        mean: processor.mean,
        deviation: processor.deviation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SIZE: ImageSize = ImageSize { height: 224, width: 224 };

    #[test]
    fn timm_crops_a_share() {
        let resize = |size: ImageSize, crop: f64, mode: &str| {
            let [height, width] = <[usize; 2]>::from(size);
            let config = json!({
                "architecture": "resnet50", "num_classes": 2,
                "pretrained_cfg": { "input_size": [3, height, width], "crop_pct": crop, "crop_mode": mode }
            });
            let snapshot = Snapshot {
                repo: "o/n".to_owned(),
                revision: "local".to_owned(),
                commit: planforge_core::Commit::Local,
                directory: "/nowhere".into(),
                files: Vec::new(),
                graphs: Vec::new(),
            };
            let config = TimmConfig::read(&Checkpoint::of_config(&snapshot, config).unwrap()).unwrap();
            of_timm(&config, size).map(|preprocessing| preprocessing.resize)
        };
        let square = ImageSize { height: 235, width: 235 };
        assert_eq!(resize(SIZE, 0.95, "center"), Ok(Resize::ShorterEdge(235)));
        assert_eq!(resize(SIZE, 0.95, "squash"), Ok(Resize::Exactly(square)));
        assert_eq!(resize(SIZE, 0.95, "border"), Ok(Resize::Within(square)));
        let wide = ImageSize { height: 112, width: 224 };
        assert_eq!(resize(wide, 1.0, "center"), Ok(Resize::Cover(wide)));
        assert!(resize(SIZE, 0.95, "corner").unwrap_err().contains("corner"));
        assert!(resize(SIZE, -1.0, "center").unwrap_err().contains("crop_pct"));
    }
}
