//! Images from files, and images that mean nothing.

use super::preprocessing::{OddMargins, Preprocessing, Resize};
use crate::{Error, Result};
use image::{ImageReader, RgbImage, imageops};
use planforge_core::{ImageSize, Snapshot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
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

impl ImageSample {
    /// Image `index` as a batch of its own.
    #[must_use]
    pub fn one(&self, index: usize) -> Self {
        let count = CHANNELS * self.size.height * self.size.width;
        Self { batch: 1, size: self.size, values: self.values[index * count..(index + 1) * count].to_vec() }
    }
}

/// Reads images (JPEG, PNG, WebP, GIF, BMP) and brings them to `size` as the checkpoint's training did. The
/// orientation that a camera notes is not applied, as in the references.
///
/// # Errors
/// A file that is not an image, and preprocessing that is not described.
pub fn read_images(snapshot: &Snapshot, paths: &[PathBuf], size: ImageSize) -> Result<ImageSample> {
    let preprocessing = Preprocessing::read(snapshot, size)?;
    let mut values = Vec::with_capacity(paths.len() * CHANNELS * size.height * size.width);
    for path in paths {
        let fail = |message: String| Error::Image { path: path.clone(), message };
        let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
        let image = reader.map_err(|error| fail(error.to_string()))?.decode();
        let image = image.map_err(|error| fail(error.to_string()))?.to_rgb8();
        let image = resize(&image, &preprocessing, size).map_err(fail)?;
        append(&mut values, &image, &preprocessing);
    }
    Ok(ImageSample { batch: paths.len(), size, values })
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

/// Resizes, then cuts the centre out; what is smaller than the cut is framed in black.
fn resize(image: &RgbImage, preprocessing: &Preprocessing, size: ImageSize) -> std::result::Result<RgbImage, String> {
    let (width, height) = image.dimensions();
    let target = match preprocessing.resize {
        Resize::Keep => (width, height),
        Resize::Exactly(size) => (size.width as u32, size.height as u32),
        Resize::ShorterEdge(edge) => with_shorter_edge(width, height, edge),
    };
    if u64::from(target.0) * u64::from(target.1.max(height)) > MAX_PIXELS {
        return Err(format!("{width}x{height} pixels would become {}x{}", target.0, target.1));
    }
    // One direction after the other, as Pillow does, which rounds to whole bytes in between.
    let narrowed = imageops::resize(image, target.0, height, preprocessing.filter);
    let resized = imageops::resize(&narrowed, target.0, target.1, preprocessing.filter);
    let mut cut = RgbImage::new(size.width as u32, size.height as u32);
    let margin = |outer, inner| -margin(outer, inner, preprocessing.odd_margins);
    imageops::replace(&mut cut, &resized, margin(target.0, size.width), margin(target.1, size.height));
    Ok(cut)
}

/// Pixels before the centre of `inner` pixels.
fn margin(outer: u32, inner: usize, odd: OddMargins) -> i64 {
    let both = i64::from(outer) - inner as i64;
    let half = both.div_euclid(2);
    let rounds_up = odd == OddMargins::ToEven && both.rem_euclid(2) == 1 && half.rem_euclid(2) == 1;
    if rounds_up { half + 1 } else { half }
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
        let sizes = [(39, 24), (41, 24), (40, 24), (24, 24), (22, 24)];
        assert_eq!(sizes.map(|(outer, inner)| margin(outer, inner, OddMargins::ToEven)), [8, 8, 8, 0, -1]);
        assert_eq!(sizes.map(|(outer, inner)| margin(outer, inner, OddMargins::Down)), [7, 8, 8, 0, -1]);
    }

    #[test]
    fn proportions_are_kept() {
        assert_eq!(with_shorter_edge(640, 480, 256), (341, 256));
        assert_eq!(with_shorter_edge(480, 640, 256), (256, 341));
        assert_eq!(with_shorter_edge(1, 100_000, 256), (256, 25_600_000));
    }
}
