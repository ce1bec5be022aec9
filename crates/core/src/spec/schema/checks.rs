//! Values whose types check more than their form.

use crate::spec::values::{Copies, ImageSize, MemorySize, ModelName, OptimizationLevel, ProfileRange, Threshold};
use serde::de::DeserializeOwned;
use toml::Value;

type Check = fn(Value) -> Result<(), String>;

/// The types by name, as `schemars` calls them.
const CHECKS: [(&str, Check); 7] = [
    ("Copies", check::<Copies>),
    ("ImageSize", check::<ImageSize>),
    ("MemorySize", check::<MemorySize>),
    ("ModelName", check::<ModelName>),
    ("OptimizationLevel", check::<OptimizationLevel>),
    ("ProfileRange", check::<ProfileRange>),
    ("Threshold", check::<Threshold>),
];

/// Whether the type of this name takes `value`; one that is not in the list takes every value of its form.
pub(super) fn check_value(type_name: &str, value: &Value) -> Result<(), String> {
    match CHECKS.iter().find(|(name, _)| *name == type_name) {
        Some((_, check)) => check(value.clone()),
        None => Ok(()),
    }
}

fn check<T: DeserializeOwned>(value: Value) -> Result<(), String> {
    value.try_into::<T>().map(drop).map_err(|error| error.message().to_owned())
}
