//! The fields of an ensemble and its steps (triton-inference-server/core, `ValidateEnsembleSchedulingConfig`).

use super::super::finding::Finding;
use super::super::listing::Listing;
use super::super::runner::ENSEMBLE;
use super::flow;
use super::step::steps;
use crate::text_format::{Field, last};
use std::collections::BTreeMap;

/// What the server answers where it does not find a model of an ensemble.
const UNAVAILABLE: &str = "contains models that are not available or ambiguous";

/// Everything that is wrong with an ensemble itself, or with a model that is half of one.
pub(in crate::lint) fn check(fields: &[Field], place: &str) -> Vec<Finding> {
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
    if findings.is_empty() {
        findings.extend(flow::check(fields, &steps(fields), place));
    }
    findings
}

/// Names of the models that an ensemble is made of, with the line of the first step of each.
pub(in crate::lint) fn names(fields: &[Field]) -> BTreeMap<&str, usize> {
    let mut names = BTreeMap::new();
    for step in steps(fields).into_iter().filter(|step| !step.model.is_empty()) {
        names.entry(step.model).or_insert(step.line);
    }
    names
}

/// Why a model of an ensemble is not found in the archive, if it is not. The last of `ensembles` is that ensemble's folder,
/// and those before are the ensembles that it is part of.
pub(in crate::lint) fn absence(name: &str, line: usize, ensembles: &[String], listing: &Listing) -> Option<Finding> {
    let own = ensembles.last().map_or("", String::as_str);
    let config = if own.is_empty() { "config.pbtxt".to_owned() } else { format!("{own}/config.pbtxt") };
    let mut answer = UNAVAILABLE;
    let message = if own.is_empty() {
        "the models of an ensemble are in folders next to its own, and there are none next to the top".to_owned()
    } else if name == own {
        format!("ensemble `{name}` is made of itself")
    } else if let Some(at) = ensembles.iter().position(|ensemble| ensemble == name) {
        // The outermost has the archive's name.
        answer = if at == 0 { UNAVAILABLE } else { "circular dependency between ensembles" };
        format!("ensemble `{own}` is made of `{name}`, which is made of it")
    } else if name.contains('/') || !listing.has_folder(name) {
        format!("model `{name}` of the ensemble is missing")
    } else {
        return None;
    };
    Some(Finding::error(format!("{config}:{line}"), message, answer))
}

/// A model of an ensemble is found by its folder, which its configuration must not contradict.
pub(in crate::lint) fn other_name(fields: &[Field], folder: &str, place: &str) -> Option<Finding> {
    let name = last(fields, "name").filter(|name| !name.text().is_empty() && name.text() != folder)?;
    let message = format!("model `{folder}` of an ensemble calls itself `{}`", name.text());
    Some(Finding::error(format!("{place}:{}", name.line), message, UNAVAILABLE))
}
