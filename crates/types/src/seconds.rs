//! Durations as a number of seconds in JSON, for `#[serde(with = "planforge_types::seconds")]`. The unit belongs in the
//! key: `elapsed_seconds`. Reads also the form of planforge 0.1.0, `{"secs": 1, "nanos": 500000000}`.

use serde::{Deserialize, Deserializer, Serializer, de};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Seconds(f64),
    Parts(Duration),
}

/// Writes a duration.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Reads a duration.
///
/// # Errors
/// A negative number, or one beyond the range of [`Duration`]; those of the deserializer.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map_err(de::Error::custom),
        Written::Parts(duration) => Ok(duration),
    }
}

/// The same for a duration that may be missing, for `#[serde(with = "planforge_types::seconds::optional")]`.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    #[derive(Deserialize)]
    struct Present(#[serde(with = "super")] Duration);

    /// Writes a duration, or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration, or null.
    ///
    /// # Errors
    /// As [`super::deserialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Present>::deserialize(deserializer)?.map(|present| present.0))
    }
}
