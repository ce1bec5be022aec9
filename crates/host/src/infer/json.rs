//! Access to parts of a JSON request, with the errors of the reader that Triton has.

use crate::api_error::ApiError;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// An object whose values are read when they are needed; anything else has no members.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

/// Names that may be escaped.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Object<'a> {
    /// Reads a value; one that is not an object has no members.
    ///
    /// # Errors
    /// The text is not JSON.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, ApiError> {
        let value: &RawValue = serde_json::from_slice(json).map_err(|error| not_json(&error))?;
        Ok(Self::of(value).unwrap_or_default())
    }

    /// The members of a value; none where it is not an object.
    fn of(value: &'a RawValue) -> Option<Self> {
        let members: BTreeMap<Name<'a>, &RawValue> = serde_json::from_str(value.get()).ok()?;
        Some(Self(members.into_iter().map(|(name, value)| (name.0, value)).collect()))
    }

    /// A member, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// All members, by name.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// A member that must be there.
    fn member(&self, name: &str) -> Result<&'a RawValue, ApiError> {
        let missing = || fault(name, &format!("attempt to access non-existing object member '{name}'"));
        self.get(name).ok_or_else(missing)
    }

    /// A string that must be there.
    pub(super) fn string(&self, name: &str) -> Result<Cow<'a, str>, ApiError> {
        string(name, self.member(name)?)
    }

    /// A string, if it is there.
    pub(super) fn optional_string(&self, name: &str) -> Result<Option<Cow<'a, str>>, ApiError> {
        self.get(name).map(|value| string(name, value)).transpose()
    }

    /// The items of a list that must be there.
    pub(super) fn list(&self, name: &str) -> Result<Vec<&'a RawValue>, ApiError> {
        list(name, self.member(name)?)
    }

    /// The items of a list, if it is there.
    pub(super) fn optional_list(&self, name: &str) -> Result<Vec<&'a RawValue>, ApiError> {
        self.get(name).map_or(Ok(Vec::new()), |value| list(name, value))
    }

    /// The objects of a list.
    pub(super) fn objects(items: Vec<&'a RawValue>) -> Vec<Self> {
        items.into_iter().map(|item| Self::of(item).unwrap_or_default()).collect()
    }

    /// The parameters of an input, an output or the request.
    pub(super) fn parameters(&self) -> Result<Self, ApiError> {
        let Some(value) = self.get("parameters") else { return Ok(Self::default()) };
        let fail = || ApiError::bad_input("failed to get request params.: attempt to get members for non-object");
        Self::of(value).ok_or_else(fail)
    }

    /// A truth value, if it is there.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let fail = |_| fault(name, "attempt to access JSON non-boolean as boolean");
        serde_json::from_str(value.get()).map(Some).map_err(fail)
    }

    /// A whole number of 0 or more, if it is there.
    pub(super) fn unsigned(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        unsigned(value).map(Some).ok_or_else(|| fault(name, NOT_UNSIGNED))
    }

    /// Whole numbers of 0 or more.
    pub(super) fn unsigned_list(&self, name: &str) -> Result<Vec<u64>, ApiError> {
        let items = self.list(name)?;
        items.into_iter().map(|item| unsigned(item).ok_or_else(|| fault(name, NOT_UNSIGNED))).collect()
    }
}

/// The error of Triton's reader for a value that is not a whole number of 0 or more.
pub(super) const NOT_UNSIGNED: &str = "attempt to access JSON non-unsigned-integer as unsigned-integer";

/// A whole number of 0 or more.
pub(super) fn unsigned(value: &RawValue) -> Option<u64> {
    serde_json::from_str(value.get()).ok()
}

/// A text that is not JSON.
pub(super) fn not_json(error: &serde_json::Error) -> ApiError {
    ApiError::bad_input(format!("failed to parse the request JSON buffer: {error}"))
}

fn fault(name: &str, text: &str) -> ApiError {
    ApiError::bad_input(format!("Unable to parse '{name}': {text}"))
}

fn string<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, ApiError> {
    let text: Result<Name<'a>, _> = serde_json::from_str(value.get());
    text.map(|text| text.0).map_err(|_| fault(name, "attempt to access JSON non-string as string"))
}

fn list<'a>(name: &str, value: &'a RawValue) -> Result<Vec<&'a RawValue>, ApiError> {
    serde_json::from_str(value.get()).map_err(|_| fault(name, "attempt to access JSON non-array as array"))
}
