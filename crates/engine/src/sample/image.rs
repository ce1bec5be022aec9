//! Images from files, and images that mean nothing.

use super::preprocessing::{Preprocessing, Resize};
use super::resample::{self, Library};
use super::truncation::is_truncated;
use crate::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage, imageops};
use planforge_core::{ImageSize, Snapshot, read_file};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io::Cursor;
use std::path::PathBuf;

const CHANNELS: usize = 3;

/// A batch of preprocessed images `[batch, 3, height, width]` in row-major order: red, green, blue.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSample {
    /// Number of images.
    pub batch: usize,
    /// Size of each.
    pub size: ImageSize,
    /// Values as the model wants them.
    pub values: Vec<f32>,
}

/// Reads images (JPEG, PNG, WebP, GIF, BMP) and prepares them for a model that takes images of `size`, as the
/// checkpoint's reference does: transformers applies the orientation that a camera noted, timm does not.
///
/// # Errors
/// A file that is not an image, preprocessing that is not described, an image that comes out in another size, and one with
/// a transparent colour where the reference makes that white.
pub fn read_images(snapshot: &Snapshot, paths: &[PathBuf], size: ImageSize) -> Result<ImageSample> {
    let preprocessing = Preprocessing::read(snapshot, size)?;
    let mut values = Vec::with_capacity(paths.len() * CHANNELS * size.height * size.width);
    for path in paths {
        let fail = |message: String| Error::Image { path: path.clone(), message };
        let bytes = read_file(path, MAX_FILE_BYTE_COUNT).map_err(|error| fail(error.to_string()))?;
        let image = decode(&bytes, preprocessing.library).map_err(fail)?;
        if preprocessing.whitens_transparency && has_transparent_colour(&bytes, &image) {
            let message = "a colour of it stands for transparency, which the image processor makes white \
                           (`do_convert_rgb`); expected an image without transparency, or with an alpha channel";
            return Err(fail(message.to_owned()));
        }
        let image = resize(&to_rgb(image), &preprocessing).map_err(fail)?;
        let (width, height) = image.dimensions();
        if (width as usize, height as usize) != (size.width, size.height) {
            let message = format!("the image processor gives {height}x{width} pixels, but the model takes {size}");
            return Err(fail(message));
        }
        append(&mut values, &image, &preprocessing);
    }
    Ok(ImageSample { batch: paths.len(), size, values })
}

/// The image in the bytes of a file: transformers applies the orientation that a camera noted, timm does not.
///
/// # Errors
/// What is wrong with the file: damaged, cut off, or with more than [`MAX_DECODED_PIXELS`].
fn decode(bytes: &[u8], library: Library) -> std::result::Result<DynamicImage, String> {
    if is_truncated(bytes) {
        return Err(format!("the file is truncated: it ends after {} bytes, before its image does", bytes.len()));
    }
    let decoded = || {
        let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_DECODED_PIXELS {
            return Ok(Err(format!("it has {width}x{height} pixels; expected at most {MAX_DECODED_PIXELS} pixels")));
        }
        let orientation = match library {
            Library::Torchvision => decoder.orientation()?,
            Library::Pillow => Orientation::NoTransforms,
        };
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok(Ok(image))
    };
    decoded().unwrap_or_else(|error: image::ImageError| Err(error.to_string()))
}

/// Most bytes of an image file; one of the most pixels without compression has 268 MB.
const MAX_FILE_BYTE_COUNT: u64 = 512 << 20;

/// Most pixels of an image file: those from which Pillow warns of decompression bombs (`Image.MAX_IMAGE_PIXELS`).
const MAX_DECODED_PIXELS: u64 = 89_478_485;

/// Whether transparent pixels of an image have a colour that stands for that in its file, and not an alpha channel: Pillow
/// keeps such a colour when it drops transparency.
fn has_transparent_colour(bytes: &[u8], image: &DynamicImage) -> bool {
    let is_png = bytes.starts_with(b"\x89PNG") && bytes.get(PNG_COLOUR_TYPE).is_some_and(|kind| kind & PNG_ALPHA == 0);
    let is_keyed = is_png || bytes.starts_with(b"GIF");
    is_keyed && image.color().has_alpha() && image.to_rgba8().pixels().any(|pixel| pixel.0[3] < u8::MAX)
}

/// Where a PNG has the type of its colours, and the bit of that for an alpha channel (PNG 3rd edition, 11.2.1).
const PNG_COLOUR_TYPE: usize = 25;
const PNG_ALPHA: u8 = 4;

/// The colours of an image without transparency, as Pillow converts them: of 16 bits it takes the upper eight, but cuts
/// shades of grey off at 255.
fn to_rgb(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageLuma16(grey) => RgbImage::from_fn(grey.width(), grey.height(), |x, y| {
            image::Rgb([u8::try_from(grey.get_pixel(x, y).0[0]).unwrap_or(u8::MAX); 3])
        }),
        DynamicImage::ImageLumaA16(_) | DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_) => {
            let wide = image.to_rgb16();
            RgbImage::from_fn(wide.width(), wide.height(), |x, y| {
                image::Rgb(wide.get_pixel(x, y).0.map(|value| (value >> 8) as u8))
            })
        }
        _ => image.into_rgb8(),
    }
}

/// Smooth coloured waves with some noise, normalised as the checkpoint's images are. Equal seeds give equal
/// images in one version of planforge.
///
/// # Errors
/// A preprocessing that is not described; one that is missing is no error.
pub fn random_images(snapshot: &Snapshot, batch: usize, size: ImageSize, seed: u64) -> Result<ImageSample> {
    let preprocessing = Preprocessing::read_or_default(snapshot, size)?;
    let mut generator = StdRng::seed_from_u64(seed);
    let mut values = Vec::with_capacity(batch * CHANNELS * size.height * size.width);
    for _ in 0..batch {
        append(&mut values, &random_image(size, &mut generator), &preprocessing);
    }
    Ok(ImageSample { batch, size, values })
}

fn random_image(size: ImageSize, generator: &mut StdRng) -> RgbImage {
    let waves: [[f32; 3]; CHANNELS] =
        std::array::from_fn(|_| std::array::from_fn(|_| generator.random_range(0.0..9.0)));
    RgbImage::from_fn(size.width as u32, size.height as u32, |column, row| {
        let (x, y) = (column as f32 / size.width as f32, row as f32 / size.height as f32);
        image::Rgb(waves.map(|[across, down, shift]| {
            let noise: f32 = generator.random_range(-30.0..30.0);
            (127.5 + 97.5 * (across * x + down * y + shift).sin() + noise) as u8
        }))
    })
}

/// Most pixels of a resized image; a strip of one pixel by thousands would take gigabytes.
const MAX_PIXELS: u64 = 1 << 26;

/// Resizes, then cuts the centre out; what is smaller than the cut is framed.
fn resize(image: &RgbImage, preprocessing: &Preprocessing) -> std::result::Result<RgbImage, String> {
    let (width, height) = image.dimensions();
    let target = resized(preprocessing.resize, width, height);
    if u64::from(target.0) * u64::from(target.1.max(height)) > MAX_PIXELS {
        return Err(format!("{width}x{height} pixels would become {}x{}", target.0, target.1));
    }
    let resized = resample::resize(image, target.0, target.1, preprocessing.filter, preprocessing.library);
    let Some(size) = preprocessing.crop else { return Ok(resized) };
    let mut cut = RgbImage::from_pixel(size.width as u32, size.height as u32, image::Rgb(preprocessing.fill));
    let margin = |outer, inner| -margin(outer, inner, preprocessing.library);
    imageops::replace(&mut cut, &resized, margin(target.0, size.width), margin(target.1, size.height));
    Ok(cut)
}

/// Pixels before the centre of `inner` pixels; fewer than none where a frame is added, half of which is rounded down. Half
/// of an odd number is rounded down in transformers, and to the even number in torchvision's transforms, which timm uses.
fn margin(outer: u32, inner: usize, library: Library) -> i64 {
    let both = i64::from(outer) - inner as i64;
    let half = both / 2;
    let rounds_up = library == Library::Pillow && both > 0 && both % 2 == 1 && half % 2 == 1;
    if rounds_up { half + 1 } else { half }
}

/// Width and height after resizing.
fn resized(resize: Resize, width: u32, height: u32) -> (u32, u32) {
    match resize {
        Resize::Keep => (width, height),
        Resize::Exactly(size) => (size.width as u32, size.height as u32),
        Resize::ShorterEdge(edge) => with_shorter_edge(width, height, edge),
        Resize::Between(edge, most) => between(width, height, edge, most),
        Resize::Cover(size) => in_proportion(width, height, size, f64::min),
        Resize::Within(size) => in_proportion(width, height, size, f64::max),
    }
}

/// Width and height by one of the two ratios to `size`, each rounded.
fn in_proportion(width: u32, height: u32, size: ImageSize, pick: fn(f64, f64) -> f64) -> (u32, u32) {
    let (width, height) = (f64::from(width), f64::from(height));
    let ratio = pick(height / size.height as f64, width / size.width as f64);
    let edge = |length: f64| ((length / ratio).round_ties_even() as u32).max(1);
    (edge(width), edge(height))
}

/// Width and height with the shorter at `edge`, or less so that the longer does not exceed `most`.
fn between(width: u32, height: u32, edge: usize, most: usize) -> (u32, u32) {
    let (short, long) = (f64::from(width.min(height)), f64::from(width.max(height)));
    let (edge, most) = (edge as f64, most as f64);
    let exact = if long / short * edge > most { most * short / long } else { edge };
    let shorter = exact.round_ties_even();
    let longer = (exact * long / short) as u32;
    let shorter = shorter as u32;
    match (width < height, short as u32 == shorter) {
        (_, true) => (width, height),
        (true, false) => (shorter, longer),
        (false, false) => (longer, shorter),
    }
}

/// Width and height with the shorter at `edge`; the longer is cut down to a whole number.
fn with_shorter_edge(width: u32, height: u32, edge: usize) -> (u32, u32) {
    let edge = edge as u64;
    let longer = |long: u32, short: u32| u32::try_from(edge * u64::from(long) / u64::from(short.max(1)));
    let edge = u32::try_from(edge).unwrap_or(u32::MAX);
    if width <= height {
        (edge, longer(height, width).unwrap_or(u32::MAX))
    } else {
        (longer(width, height).unwrap_or(u32::MAX), edge)
    }
}

/// The image's values, a plane for each channel.
fn append(values: &mut Vec<f32>, image: &RgbImage, preprocessing: &Preprocessing) {
    for channel in 0..CHANNELS {
        let (mean, deviation) = (preprocessing.mean[channel], preprocessing.deviation[channel]);
        values.extend(image.pixels().map(|pixel| {
            let value = f32::from(pixel.0[channel]) * preprocessing.rescale;
            (value - mean) / deviation
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_is_that_of_the_reference() {
        let sizes = [(39, 24), (41, 24), (40, 24), (24, 24), (22, 24), (21, 24)];
        assert_eq!(sizes.map(|(outer, inner)| margin(outer, inner, Library::Pillow)), [8, 8, 8, 0, -1, -1]);
        assert_eq!(sizes.map(|(outer, inner)| margin(outer, inner, Library::Torchvision)), [7, 8, 8, 0, -1, -1]);
    }

    #[test]
    fn a_transparent_colour_is_told_from_an_alpha_channel() {
        let folder = tempfile::tempdir().unwrap();
        let found = |name: &str, alpha: u8| {
            let path = folder.path().join(name);
            let image =
                image::RgbaImage::from_fn(4, 4, |x, _| image::Rgba([9, 90, 200, if x == 0 { alpha } else { 255 }]));
            image.save(&path).unwrap();
            let bytes = fs_err::read(&path).unwrap();
            has_transparent_colour(&bytes, &decode(&bytes, Library::Torchvision).unwrap())
        };
        assert!(found("a.gif", 0) && !found("b.gif", 255));
        assert!(!found("a.png", 0) && !found("a.webp", 0));
    }

    #[test]
    fn images_of_too_many_pixels_are_refused_before_they_are_decoded() {
        // A BMP's header of 40 bytes, without pixels.
        let mut bytes = [b"BM".as_slice(), &[0; 8], &54_u32.to_le_bytes(), &40_u32.to_le_bytes()].concat();
        bytes.extend([60_000_i32.to_le_bytes(), 50_000_i32.to_le_bytes()].concat());
        bytes.extend([1, 0, 24, 0]);
        bytes.extend([0; 24]);
        let error = decode(&bytes, Library::Pillow).unwrap_err();
        assert_eq!(error, "it has 60000x50000 pixels; expected at most 89478485 pixels");
    }

    #[test]
    fn proportions_are_kept() {
        assert_eq!(with_shorter_edge(640, 480, 256), (341, 256));
        assert_eq!(with_shorter_edge(480, 640, 256), (256, 341));
        assert_eq!(with_shorter_edge(1, 100_000, 256), (256, 25_600_000));
    }
}
