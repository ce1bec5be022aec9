//! Models that are made of others (triton-inference-server/core, `ValidateEnsembleSchedulingConfig`).

use super::finding::Finding;
use super::layout::{Listing, ModelFolder};
use super::runner::ENSEMBLE;
use crate::text_format::{Field, all, last};
use std::collections::BTreeMap;

/// What the server answers where it does not find a model of an ensemble.
const UNAVAILABLE: &str = "contains models that are not available or ambiguous";

/// Everything that is wrong with an ensemble itself, or with a model that is half of one.
pub(super) fn check(fields: &[Field], place: &str) -> Vec<Finding> {
    let is_ensemble = last(fields, "platform").is_some_and(|platform| platform.text() == ENSEMBLE);
    let error = |line: usize, message: String, answer: &str| Finding::error(format!("{place}:{line}"), message, answer);
    let Some(scheduling) = last(fields, "ensemble_scheduling") else {
        let platform = last(fields, "platform").filter(|_| is_ensemble);
        let answer = "ensemble scheduling must be set for ensemble";
        let finding =
            |platform: &Field| error(platform.line, "an ensemble needs `ensemble_scheduling`".to_owned(), answer);
        return platform.map(finding).into_iter().collect();
    };
    if !is_ensemble {
        let message = "`ensemble_scheduling` is for models of platform `ensemble`".to_owned();
        return vec![error(scheduling.line, message, "ensemble scheduling cannot be set for model")];
    }
    let mut findings = Vec::new();
    for (name, answer) in [
        ("instance_group", "instance group should not be specified for ensemble"),
        ("optimization", "optimization should not be specified for ensemble"),
        ("model_warmup", "model_warmup can not be specified for ensemble"),
    ] {
        if let Some(field) = last(fields, name) {
            findings.push(error(field.line, format!("an ensemble has no `{name}`"), answer));
        }
    }
    if scheduling.last("step").is_none() {
        findings.push(error(scheduling.line, "an ensemble needs a `step`".to_owned(), "must specify 'step'"));
    }
    for step in scheduling.all("step") {
        for name in ["model_name", "input_map", "output_map"] {
            if step.last(name).is_none_or(|field| field.text().is_empty() && field.fields().is_empty()) {
                let answer = format!("must specify '{name}' in step");
                findings.push(error(step.line, format!("a step of an ensemble needs `{name}`"), &answer));
            }
        }
    }
    findings
}

/// Names of the models that an ensemble is made of, with the line of the first step of each.
pub(super) fn members(fields: &[Field]) -> BTreeMap<&str, usize> {
    let mut members = BTreeMap::new();
    let steps = all(fields, "ensemble_scheduling").flat_map(|scheduling| scheduling.all("step"));
    for name in steps.filter_map(|step| step.last("model_name")).filter(|name| !name.text().is_empty()) {
        members.entry(name.text()).or_insert(name.line);
    }
    members
}

/// Why a model of an ensemble is not found in the archive, if it is not.
pub(super) fn absence(name: &str, line: usize, ensemble: &ModelFolder, listing: &Listing) -> Option<Finding> {
    let place = format!("{}:{line}", ensemble.path("config.pbtxt"));
    let message = if ensemble.folder().is_empty() {
        "the models of an ensemble are in folders next to its own, and there are none next to the top".to_owned()
    } else if name == ensemble.folder() {
        format!("ensemble `{name}` is made of itself")
    } else if name.contains('/') || !listing.has_folder(name) {
        format!("model `{name}` of the ensemble is missing")
    } else {
        return None;
    };
    Some(Finding::error(place, message, UNAVAILABLE))
}

/// A model of an ensemble is found by its folder, which its configuration must not contradict.
pub(super) fn other_name(fields: &[Field], folder: &str, place: &str) -> Option<Finding> {
    let name = last(fields, "name").filter(|name| !name.text().is_empty() && name.text() != folder)?;
    let message = format!("model `{folder}` of an ensemble calls itself `{}`", name.text());
    Some(Finding::error(format!("{place}:{}", name.line), message, UNAVAILABLE))
}
