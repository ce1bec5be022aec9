//! What can go wrong on the way.

use std::sync::{Mutex, PoisonError};

/// What goes wrong with an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection ends after this number of bytes of the body.
    Cut(usize),
    /// Another status in place of the answer, with `Retry-After` in seconds.
    Status(&'static str, Option<u64>),
    /// The byte at this place of the body, counted again from its beginning at its end, is another.
    WrongByte(usize),
    /// The body ends after this number of bytes, which the header states as its length.
    Short(usize),
    /// Nothing is answered until the client goes away.
    Silent,
    /// The body is a list that never ends.
    Endless,
    /// The answer has a next page, which is this one again.
    EndlessPages,
    /// The body comes in small parts.
    Slow,
    /// The range that was asked for is not heeded.
    Whole,
}

/// A fault of some requests.
#[derive(Debug, Clone)]
pub struct Rule {
    /// A part of the request's line, such as `GET /owner/name/resolve` or `CDN `.
    pub on: String,
    /// What goes wrong.
    pub fault: Fault,
    /// How many of them.
    pub times: usize,
}

/// Rules that are used up.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<Vec<Rule>>);

impl Rules {
    pub(super) fn set(&self, rules: Vec<Rule>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The fault of a request.
    pub(super) fn take(&self, line: &str) -> Option<Fault> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && line.contains(&rule.on))?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}
