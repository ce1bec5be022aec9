//! The HTML page: one file that fetches nothing, follows the reader's light or dark setting, and prints.
//!
//! - `document`: the frame of the page
//! - `summary`: the paragraphs at its top
//! - `measurements`, `model`, `engines`, `files`, `environment`: its sections
//! - `table`, `text`: parts that sections share

mod document;
mod engines;
mod environment;
mod files;
mod measurements;
mod model;
mod summary;
mod table;
mod text;

pub(crate) use document::page;
