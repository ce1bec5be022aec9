//! Models in an ensemble that answer a request with any number of responses: what comes from two of them cannot be put
//! together (triton-inference-server/core, `ValidateEnsembleConfig`).

use super::super::finding::Finding;
use super::member::tensors;
use super::step::Step;
use crate::text_format::{Field, last};
use std::collections::BTreeMap;

/// The stream that a tensor is part of; that of the request is 0.
type Stream = usize;

/// What is wrong with the streams of an ensemble all of whose tensors are written.
pub(super) fn check(
    fields: &[Field],
    steps: &[Step<'_>],
    is_decoupled: impl Fn(&Step<'_>) -> bool,
    place: &str,
) -> Option<Finding> {
    let mut streams: BTreeMap<String, Stream> =
        tensors(fields, "input").into_iter().map(|input| (input.name, 0)).collect();
    let mut waiting: Vec<&Step<'_>> = steps.iter().collect();
    let error = |line: usize, message: String| {
        let answer = "receives inputs originated from different decoupled models";
        Some(Finding::error(format!("{place}:{line}"), message, answer))
    };
    let mut count = 0;
    // Each turn takes the steps whose inputs are there.
    while !waiting.is_empty() {
        let (ready, later): (Vec<&Step<'_>>, Vec<&Step<'_>>) =
            waiting.into_iter().partition(|step| step.inputs.values().all(|input| streams.contains_key(*input)));
        if ready.is_empty() {
            break;
        }
        for step in ready {
            let mut inputs = step.inputs.values().filter_map(|input| streams.get(*input).copied());
            let stream = inputs.next().unwrap_or(0);
            if inputs.any(|other| other != stream) {
                let message = format!("model `{}` takes tensors from different models that are decoupled", step.model);
                return error(step.line, message);
            }
            let own = if is_decoupled(step) {
                count += 1;
                count
            } else {
                stream
            };
            for output in step.outputs.values() {
                streams.entry((*output).to_owned()).or_insert(own);
            }
        }
        waiting = later;
    }
    let mut outputs = tensors(fields, "output").into_iter().filter_map(|output| streams.get(&output.name).copied());
    let stream = outputs.next()?;
    let scheduling = last(fields, "ensemble_scheduling")?;
    outputs.any(|other| other != stream).then_some(())?;
    error(scheduling.line, "the ensemble's outputs come from different models that are decoupled".to_owned())
}
