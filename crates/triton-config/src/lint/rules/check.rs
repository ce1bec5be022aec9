//! All rules.

use super::super::finding::Finding;
use super::super::layout::ModelFolder;
use super::super::listing::Listing;
use super::config::Config;
use crate::text_format::Field;

/// Everything that is wrong with a configuration whose fields are Triton's.
pub(in crate::lint) fn check(fields: &[Field], model: &ModelFolder, listing: &Listing, served: &[i64]) -> Vec<Finding> {
    let mut config = Config::new(fields, model, listing, served);
    config.backend();
    config.scheduling();
    config.sequences();
    config.tensors();
    config.batch_io();
    config.warmup();
    config.newer();
    config.findings
}
