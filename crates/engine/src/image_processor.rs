//! Image processors as transformers writes them (`preprocessor_config.json`): what becomes of an image before a model
//! is given it.
//!
//! Reference: `AutoImageProcessor` and the classes whose steps are resizing, cropping, rescaling and normalising. A key
//! left out has the default of the class.

use crate::checkpoint::read_json;
use crate::reference::reference;
use crate::{Error, Result};
use planforge_core::{ImageSize, Snapshot};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The file; what `ProcessorMixin` of transformers saves comes first.
const FILE: &str = "preprocessor_config.json";
const PROCESSOR_FILE: &str = "processor_config.json";

/// The class that others are most like, for files that name none.
const PLAIN: &str = "ViTImageProcessor";
/// The class whose `size` is that of the cut-out.
const CONVNEXT: &str = "ConvNextImageProcessor";
/// From this edge on, [`CONVNEXT`] stretches images and cuts nothing off.
const STRETCHED_FROM: usize = 384;

/// Keys that change the values in ways that are not described.
const OFF: [&str; 2] = ["do_pad", "use_square_size"];

/// An image processor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageProcessor {
    /// First step, unless the image keeps its size.
    pub(crate) resize: Option<Resize>,
    /// Size of what is then cut out of the middle, unless all is kept.
    pub(crate) crop: Option<ImageSize>,
    /// Pillow's number of the filter.
    pub(crate) resample: u8,
    /// What a byte is multiplied by.
    pub(crate) rescale: f32,
    /// Mean of each channel, after that.
    pub(crate) mean: [f32; 3],
    /// Standard deviation of each channel.
    pub(crate) deviation: [f32; 3],
    /// Whether a colour that stands for transparency becomes white.
    pub(crate) whitens_transparency: bool,
}

/// To which size an image is brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resize {
    /// The shorter edge to this length, the longer in proportion.
    ShorterEdge(usize),
    /// Both edges, regardless of the proportions.
    Exactly(ImageSize),
    /// The shorter edge to the first length, or less so that the longer does not exceed the second.
    Between(usize, usize),
}

/// The keys, each given or the class's.
#[derive(Debug, Deserialize)]
struct Config {
    do_resize: Option<bool>,
    size: Option<Value>,
    default_to_square: Option<bool>,
    resample: Option<u8>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    crop_pct: Option<f64>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f32>,
    do_normalize: Option<bool>,
    image_mean: Option<Value>,
    image_std: Option<Value>,
    do_convert_rgb: Option<bool>,
}

impl ImageProcessor {
    /// The checkpoint's, where it has one.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn find(snapshot: &Snapshot) -> Result<Option<Self>> {
        match Self::read(snapshot) {
            Err(Error::MissingFile { file, .. }) if file == FILE => Ok(None),
            read => read.map(Some),
        }
    }

    /// The checkpoint's.
    ///
    /// # Errors
    /// A missing file, another class, values of another type, and steps that are not described.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self> {
        let nested = match snapshot.file(PROCESSOR_FILE) {
            Some(_) => read_json::<Map<String, Value>>(snapshot, PROCESSOR_FILE)?.remove("image_processor"),
            None => None,
        };
        let (file, config) = match nested {
            Some(Value::Object(config)) => (PROCESSOR_FILE, config),
            _ => (FILE, read_json(snapshot, FILE)?),
        };
        let model: Map<String, Value> = match snapshot.file("config.json") {
            Some(_) => read_json(snapshot, "config.json")?,
            None => Map::new(),
        };
        Self::of(&config, &model).map_err(|message| Error::Config { path: snapshot.directory.join(file), message })
    }

    /// The image processor that `config` describes, for the model that `model` does.
    fn of(config: &Map<String, Value>, model: &Map<String, Value>) -> std::result::Result<Self, String> {
        let class = class(config, model)?;
        let mut defaults = reference().image_processors[class.as_deref().unwrap_or(PLAIN)].clone();
        if class.is_none() {
            // Which sizes and colours a model of an unknown kind was trained for, no class tells.
            defaults.retain(|key, _| !["size", "image_mean", "image_std"].contains(&key.as_str()));
        }
        let known = |key: &str| reference().image_processor_keys.contains_key(key) || defaults.contains_key(key);
        let unknown: Vec<&str> = config.keys().map(String::as_str).filter(|key| !known(key)).collect();
        if !unknown.is_empty() {
            tracing::info!(keys = unknown.join(", "), class, "the image processor does not read these keys");
        }
        let mut complete = reference().image_processor_keys.clone();
        complete.extend(defaults);
        // As in the reference, `null` replaces the default of the class by no value.
        complete.extend(config.clone());
        for key in OFF {
            if let Some(value) = complete.get(key).filter(|value| !matches!(value, Value::Null | Value::Bool(false))) {
                return Err(format!("key `{key}`: unsupported value {value}; expected false"));
            }
        }
        serde_path_to_error::deserialize::<_, Config>(Value::Object(complete))
            .map_err(|error| format!("key `{}`: {}", error.path(), error.inner()))?
            .steps(class.as_deref() == Some(CONVNEXT))
    }

    /// The size of every prepared image, where it does not depend on the image.
    pub(crate) const fn output_size(&self) -> Option<ImageSize> {
        match (self.crop, self.resize) {
            (Some(size), _) | (None, Some(Resize::Exactly(size))) => Some(size),
            (None, _) => None,
        }
    }

    /// The same for images of `size`: what is cut out of them is the same share.
    pub(crate) fn with_output_size(mut self, size: ImageSize) -> Self {
        let Some(own) = self.output_size().filter(|own| *own != size) else { return self };
        let scaled = |edge: usize, from: usize, to: usize| (edge as f64 * to as f64 / from.max(1) as f64) as usize;
        let shorter = |size: ImageSize| size.height.min(size.width);
        self.resize = self.resize.map(|resize| match resize {
            Resize::Exactly(before) => Resize::Exactly(ImageSize {
                height: scaled(before.height, own.height, size.height),
                width: scaled(before.width, own.width, size.width),
            }),
            Resize::ShorterEdge(edge) => Resize::ShorterEdge(scaled(edge, shorter(own), shorter(size))),
            Resize::Between(edge, most) => {
                Resize::Between(scaled(edge, shorter(own), shorter(size)), scaled(most, shorter(own), shorter(size)))
            }
        });
        self.crop = self.crop.map(|_| size);
        self
    }
}

/// The name of the class, in today's spelling; none where neither the file nor the model's kind gives one.
fn class(config: &Map<String, Value>, model: &Map<String, Value>) -> std::result::Result<Option<String>, String> {
    let text = |table: &Map<String, Value>, key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    let of_model = || text(model, "model_type").and_then(|kind| reference().image_processor_of.get(&kind).cloned());
    let named = text(config, "image_processor_type")
        .or_else(|| text(config, "feature_extractor_type"))
        .or_else(|| text(model, "image_processor_type"));
    let Some(name) = named.or_else(of_model) else { return Ok(None) };
    let today = name.replace("FeatureExtractor", "ImageProcessor");
    let today = today.strip_suffix("Fast").or_else(|| today.strip_suffix("Pil")).unwrap_or(&today);
    if reference().image_processors.contains_key(today) {
        return Ok(Some(today.to_owned()));
    }
    let known: Vec<&str> = reference().image_processors.keys().map(String::as_str).collect();
    Err(format!("unsupported image processor `{name}`; expected one of {}", known.join(", ")))
}

impl Config {
    fn steps(self, is_convnext: bool) -> std::result::Result<ImageProcessor, String> {
        let is_on = |flag: Option<bool>| flag.unwrap_or_default();
        let mut crop = match &self.crop_size {
            Some(size) if is_on(self.do_center_crop) => Some(exact("crop_size", parse_size("crop_size", size, true)?)?),
            None if is_on(self.do_center_crop) => return Err("missing key `crop_size`".to_owned()),
            _ => None,
        };
        let mut resize = None;
        if is_on(self.do_resize) {
            let size = self.size.as_ref().ok_or("missing key `size`")?;
            let asked = parse_size("size", size, is_on(self.default_to_square))?;
            resize = Some(asked);
            if is_convnext {
                if crop.is_some() {
                    return Err(format!(
                        "key `do_center_crop`: unsupported value true; expected false for `{CONVNEXT}`"
                    ));
                }
                let (before, cut) = convnext(size, asked, self.crop_pct)?;
                (resize, crop) = (Some(before), cut);
            }
        }
        let resample = match self.resample {
            Some(filter @ 0..=3) => filter,
            Some(filter) => return Err(format!("key `resample`: unsupported value {filter}; expected 0 to 3")),
            None if resize.is_some() => return Err("missing key `resample`".to_owned()),
            None => 0,
        };
        let (mean, deviation) = match is_on(self.do_normalize) {
            true => {
                (channels("image_mean", self.image_mean.as_ref())?, channels("image_std", self.image_std.as_ref())?)
            }
            false => ([0.0; 3], [1.0; 3]),
        };
        if deviation.contains(&0.0) {
            return Err("key `image_std`: unsupported value 0; expected other numbers".to_owned());
        }
        let rescale = match self.rescale_factor {
            _ if !is_on(self.do_rescale) => 1.0,
            Some(factor) => factor,
            None => return Err("missing key `rescale_factor`".to_owned()),
        };
        let whitens_transparency = is_on(self.do_convert_rgb);
        Ok(ImageProcessor { resize, crop, resample, rescale, mean, deviation, whitens_transparency })
    }
}

/// The steps of [`CONVNEXT`] for a `size`.
fn convnext(
    size: &Value,
    asked: Resize,
    crop_pct: Option<f64>,
) -> std::result::Result<(Resize, Option<ImageSize>), String> {
    let Resize::ShorterEdge(edge) = asked else {
        return Err(format!(
            "key `size`: unsupported value {size}; expected a number or {{\"shortest_edge\": number}}"
        ));
    };
    let square = ImageSize { height: edge, width: edge };
    if edge >= STRETCHED_FROM {
        return Ok((Resize::Exactly(square), None));
    }
    let share = crop_pct.ok_or("missing key `crop_pct`")?;
    if share <= 0.0 {
        return Err(format!("key `crop_pct`: unsupported value {share}; expected a share above 0"));
    }
    let before = (edge as f64 / share) as usize;
    ImageSize::try_from([before, before]).map_err(|message| format!("key `crop_pct`: {message}"))?;
    Ok((Resize::ShorterEdge(before), Some(square)))
}

/// A size as the reference reads it: a number, height and width, or a table.
fn parse_size(key: &str, size: &Value, square: bool) -> std::result::Result<Resize, String> {
    let fail = || {
        let expected =
            "expected a number, {\"height\", \"width\"}, {\"shortest_edge\"} or {\"shortest_edge\", \"longest_edge\"}";
        format!("key `{key}`: unsupported value {size}; {expected}")
    };
    let edge = |value: &Value| {
        let edge = value.as_u64().and_then(|edge| usize::try_from(edge).ok())?;
        ImageSize::try_from([edge, edge]).ok().map(|size| size.height)
    };
    let pair =
        |height: &Value, width: &Value| Some(Resize::Exactly(ImageSize { height: edge(height)?, width: edge(width)? }));
    let found = match size {
        Value::Number(_) if square => pair(size, size),
        Value::Number(_) => edge(size).map(Resize::ShorterEdge),
        Value::Array(edges) => match edges.as_slice() {
            [height, width] => pair(height, width),
            _ => None,
        },
        Value::Object(table) => {
            match (table.len(), table.get("height"), table.get("width"), table.get("shortest_edge")) {
                (2, Some(height), Some(width), _) => pair(height, width),
                (1, _, _, Some(shortest)) => edge(shortest).map(Resize::ShorterEdge),
                (2, _, _, Some(shortest)) => edge(shortest)
                    .zip(table.get("longest_edge").and_then(edge))
                    .map(|(shortest, longest)| Resize::Between(shortest, longest)),
                _ => None,
            }
        }
        _ => None,
    };
    found.ok_or_else(fail)
}

/// Height and width.
fn exact(key: &str, size: Resize) -> std::result::Result<ImageSize, String> {
    match size {
        Resize::Exactly(size) => Ok(size),
        _ => Err(format!("key `{key}`: expected a number or {{\"height\", \"width\"}}")),
    }
}

/// A number for each channel, or one for all.
fn channels(key: &str, value: Option<&Value>) -> std::result::Result<[f32; 3], String> {
    let value = value.ok_or_else(|| format!("missing key `{key}`"))?;
    let found = match value {
        Value::Number(number) => number.as_f64().map(|number| [number as f32; 3]),
        _ => serde_json::from_value(value.clone()).ok(),
    };
    found.ok_or_else(|| format!("key `{key}`: unsupported value {value}; expected three numbers"))
}
