//! One call of the server: requests in, an answer for each out.

use crate::Result;
use crate::batch::{Gathered, RequestTensors, Scratch, gather, groups, part};
use planforge_runtime::{Session, TensorView};

/// When the model itself ran, in the server's nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Computed {
    /// When work on the requests that ran together began. What was run before it, they only waited for.
    pub(crate) begun: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What the requests of one call are answered with.
pub(crate) trait Answers {
    /// The server's clock, in nanoseconds.
    fn now(&self) -> u64;
    /// Answers a request. Called once for each, with its outputs or its error.
    fn answer(&mut self, request: usize, outputs: Result<&[TensorView<'_>]>, computed: Computed);
    /// The model ran on a batch of this size.
    fn ran(&mut self, batch_size: usize, computed: Computed);
}

/// Runs the model on all `requests`, as few times as their shapes allow.
///
/// A batch that fails is run again request by request, so that only those that are at fault get its error.
pub(crate) fn execute(
    (session, scratch): (&mut Session, &mut Scratch),
    requests: &[RequestTensors<'_>],
    batching: bool,
    answers: &mut dyn Answers,
) {
    for group in groups(requests, batching) {
        if group.len() > 1 && run((session, scratch), requests, &group, answers).is_ok() {
            continue;
        }
        for index in group {
            let begun = answers.now();
            if let Err(error) = run((session, scratch), requests, &[index], answers) {
                let computed = Computed { begun, start: begun, end: answers.now() };
                answers.answer(index, Err(error), computed);
            }
        }
    }
}

/// Runs one group and answers all of it, or fails without having answered any.
fn run(
    (session, scratch): (&mut Session, &mut Scratch),
    requests: &[RequestTensors<'_>],
    group: &[usize],
    answers: &mut dyn Answers,
) -> Result<()> {
    let begun = answers.now();
    let members: Vec<&RequestTensors<'_>> = group.iter().map(|&index| &requests[index]).collect();
    let gathered = gather(&members, scratch);
    let wanted = wanted_outputs(&members);
    let views: Vec<_> = gathered.iter().map(Gathered::view).collect();
    let start = answers.now();
    session.run_lent(&views, &wanted, |outputs| {
        let computed = Computed { begun, start, end: answers.now() };
        let parts = parts(&members, outputs)?;
        answers.ran(members.iter().filter_map(|member| member.batch_size()).sum::<usize>().max(1), computed);
        for (&index, outputs) in group.iter().zip(&parts) {
            let views: Vec<_> = outputs.iter().map(Part::view).collect();
            answers.answer(index, Ok(&views), computed);
        }
        Ok(())
    })?
}

/// Outputs that some member asks for, each once.
fn wanted_outputs(members: &[&RequestTensors<'_>]) -> Vec<String> {
    let mut wanted: Vec<String> = Vec::new();
    for name in members.iter().flat_map(|member| &member.outputs) {
        if !wanted.contains(name) {
            wanted.push(name.clone());
        }
    }
    wanted
}

/// What one request gets of an output.
struct Part<'a> {
    output: TensorView<'a>,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl Part<'_> {
    fn view(&self) -> TensorView<'_> {
        TensorView { shape: &self.shape, bytes: self.bytes, ..self.output }
    }
}

/// The outputs of each member. A single member gets them unchanged, in any shape.
fn parts<'a>(members: &[&RequestTensors<'_>], outputs: &[TensorView<'a>]) -> Result<Vec<Vec<Part<'a>>>> {
    if let [_] = members {
        let whole =
            |output: &TensorView<'a>| Part { output: *output, shape: output.shape.to_vec(), bytes: output.bytes };
        return Ok(vec![outputs.iter().map(whole).collect()]);
    }
    let total = members.iter().filter_map(|member| member.batch_size()).sum();
    let mut start = 0;
    members
        .iter()
        .map(|member| {
            let count = member.batch_size().unwrap_or(0);
            let own = outputs.iter().filter(|output| member.outputs.iter().any(|name| name == output.name));
            let parts = own.map(|output| {
                let (shape, bytes) = part(output, (start, count), total)?;
                Ok(Part { output: *output, shape, bytes })
            });
            let parts = parts.collect::<Result<Vec<_>>>();
            start += count;
            parts
        })
        .collect()
}
