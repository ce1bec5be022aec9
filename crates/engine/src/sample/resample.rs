//! Resizing of images to the byte as Pillow and torchvision do it: with weights that are whole numbers, one direction
//! after the other, rounded to bytes in between.
//!
//! Reference: `Image.resize` of Pillow, which timm uses, and `resize` of torchvision with antialiasing, which the image
//! processors of transformers use.

use image::{Rgb, RgbImage};
use std::f64::consts::PI;

/// How pixels between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Nearest,
    Bilinear,
    Bicubic,
    Lanczos,
}

/// Whose arithmetic is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    Pillow,
    Torchvision,
}

/// The image in another size.
pub(super) fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter, library: Library) -> RgbImage {
    if filter == Filter::Nearest {
        let columns = nearest(image.width(), width, library);
        let rows = nearest(image.height(), height, library);
        return RgbImage::from_fn(width, height, |x, y| *image.get_pixel(columns[x as usize], rows[y as usize]));
    }
    if library == Library::Pillow && starts_with_height(image, width, height) {
        return to_width(&to_height(image, height, filter, library), width, filter, library);
    }
    to_height(&to_width(image, width, filter, library), height, filter, library)
}

/// Whether Pillow 13 brings the image to its height first, as it does where that removes many more pixels; earlier
/// versions never do.
fn starts_with_height(image: &RgbImage, width: u32, height: u32) -> bool {
    let [narrower, lower] =
        [(image.width(), width), (image.height(), height)].map(|(from, to)| i64::from(from) - i64::from(to));
    lower > 0 && lower > 2 * narrower
}

fn to_width(image: &RgbImage, width: u32, filter: Filter, library: Library) -> RgbImage {
    if width == image.width() {
        return image.clone();
    }
    let pass = Pass::new(image.width(), width, filter, library);
    RgbImage::from_fn(width, image.height(), |x, y| pass.mix(x, |column| *image.get_pixel(column, y)))
}

fn to_height(image: &RgbImage, height: u32, filter: Filter, library: Library) -> RgbImage {
    if height == image.height() {
        return image.clone();
    }
    let pass = Pass::new(image.height(), height, filter, library);
    RgbImage::from_fn(image.width(), height, |x, y| pass.mix(y, |row| *image.get_pixel(x, row)))
}

/// For each of `output` pixels the one of `input` pixels that it shows.
fn nearest(input: u32, output: u32, library: Library) -> Vec<u32> {
    let last = input.saturating_sub(1);
    match library {
        Library::Pillow => {
            let step = f64::from(input) / f64::from(output);
            let places = std::iter::successors(Some(step * 0.5), |place| Some(place + step));
            places.take(output as usize).map(|place| (place as u32).min(last)).collect()
        }
        Library::Torchvision => {
            let step = input as f32 / output as f32;
            (0..output).map(|place| (((place as f32 + 0.5) * step) as u32).min(last)).collect()
        }
    }
}

impl Filter {
    /// Pixels to each side that count, where an image does not shrink.
    const fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// Weight of a pixel at a distance.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        match self {
            _ if x >= self.support() => 0.0,
            Self::Nearest => 1.0,
            Self::Bilinear => 1.0 - x,
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Self::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }
}

/// Resizing in one direction.
struct Pass {
    /// For each pixel the first that counts, and the weights from it on, which add up to two to the power of `bits`.
    taps: Vec<(u32, Vec<i64>)>,
    bits: u32,
}

/// Bits of a weight behind the point in Pillow, and the most in torchvision.
const BITS: u32 = 22;
/// In torchvision a weight fits into 16 bits with a sign.
const WEIGHT_LIMIT: i64 = 1 << 15;

impl Pass {
    fn new(input: u32, output: u32, filter: Filter, library: Library) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let shrinking = scale.max(1.0);
        let support = filter.support() * shrinking;
        let exact = |place: u32| {
            let center = (f64::from(place) + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as u32;
            let end = ((center + support + 0.5) as u32).min(input);
            let weight = |pixel: u32| filter.weight((f64::from(pixel) - center + 0.5) * (1.0 / shrinking));
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|weight| weight / sum).collect::<Vec<f64>>())
        };
        let exact: Vec<(u32, Vec<f64>)> = (0..output).map(exact).collect();
        let largest = exact.iter().flat_map(|(_, weights)| weights).copied().fold(0.0, f64::max);
        let bits = match library {
            Library::Pillow => BITS,
            Library::Torchvision => (0..BITS).find(|bits| whole(largest, bits + 1) >= WEIGHT_LIMIT).unwrap_or(BITS - 1),
        };
        let whole_weights = |weights: Vec<f64>| weights.into_iter().map(|weight| whole(weight, bits)).collect();
        Self { taps: exact.into_iter().map(|(first, weights)| (first, whole_weights(weights))).collect(), bits }
    }

    /// The pixel at `place` from those that count.
    fn mix(&self, place: u32, pixel: impl Fn(u32) -> Rgb<u8>) -> Rgb<u8> {
        let (first, weights) = &self.taps[place as usize];
        let mut sums = [1_i64 << (self.bits - 1); 3];
        for (source, weight) in (*first..).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(pixel(source).0) {
                *sum += weight * i64::from(value);
            }
        }
        Rgb(sums.map(|sum| (sum >> self.bits).clamp(0, 255) as u8))
    }
}

/// A weight as a whole number with `bits` behind the point, halves away from zero.
fn whole(weight: f64, bits: u32) -> i64 {
    (weight * f64::from(1 << bits) + 0.5_f64.copysign(weight)) as i64
}
