//! The kernels as operators of ONNX Runtime.

use super::rewrite::{ATTENTION, LINEAR, NORM, PART};
use super::spelled::SUMMANDS;
use super::{DOMAIN, Parts};
use ort::Error;
use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput};
use ort::value::{TensorElementType, ValueRef};
use planforge_kernels::{Pool, Summand};
use std::sync::Arc;

/// Operators for nodes that stand for `parts`.
pub(super) fn operators(parts: Parts, threads: usize) -> ort::Result<OperatorDomain> {
    let parts = Arc::new(parts);
    let operator = |kind| PartOperator { kind, parts: Arc::clone(&parts), threads };
    OperatorDomain::new(DOMAIN)?.add(operator(Kind::Linear))?.add(operator(Kind::Attention))?.add(operator(Kind::Norm))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Linear,
    Attention,
    Norm,
}

struct PartOperator {
    kind: Kind,
    parts: Arc<Parts>,
    threads: usize,
}

/// One node. It holds nothing that a run changes, so that several may run it at once.
struct PartKernel {
    kind: Kind,
    parts: Arc<Parts>,
    part: usize,
    threads: usize,
}

impl Operator for PartOperator {
    type Kernel<'attr> = PartKernel;

    fn name(&self) -> &str {
        match self.kind {
            Kind::Linear => LINEAR,
            Kind::Attention => ATTENTION,
            Kind::Norm => NORM,
        }
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let summands = match self.kind {
            Kind::Linear => 1,
            Kind::Attention => SUMMANDS,
            Kind::Norm => 0,
        };
        let float = TensorElementType::Float32;
        let mut inputs = vec![OperatorInput::required(float)];
        inputs.extend((0..summands).map(|_| OperatorInput::optional(float)));
        inputs
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<PartKernel> {
        let part = context.get::<i64>(PART).and_then(|part| usize::try_from(part).ok());
        let part = part.ok_or_else(|| Error::new("a node of planforge has no part"))?;
        Ok(PartKernel { kind: self.kind, parts: Arc::clone(&self.parts), part, threads: self.threads })
    }
}

impl Kernel for PartKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let pool = Threads { context, count: self.threads };
        let x = input(context, 0)?;
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let sizes = shape.iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>();
        let sizes = sizes.map_err(|_| Error::new("a size is negative"))?;
        match self.kind {
            Kind::Linear => self.linear(context, &pool, (&sizes, x)),
            Kind::Attention => self.attention(context, &pool, (&sizes, x)),
            Kind::Norm => self.norm(context, &pool, (&sizes, x)),
        }
    }
}

/// Sizes of a tensor, and its numbers.
type Numbers<'a> = (&'a [usize], &'a [f32]);

impl PartKernel {
    fn linear(&self, context: &ComputeContext, pool: &Threads<'_>, (sizes, x): Numbers<'_>) -> ort::Result<()> {
        let linear = self.parts.linears.get(self.part).ok_or_else(missing)?;
        let shape = with_width(sizes, linear.input(), linear.output())?;
        let summand = (context.num_inputs()? > 1).then(|| input(context, 1)).transpose()?;
        let summand = summand.as_ref().map(|summand| summand.try_extract_tensor::<f32>()).transpose()?;
        if let Some((found, _)) = summand.filter(|(found, _)| ***found != *shape) {
            return Err(Error::new(format!("a summand has shape {found}, expected {shape:?}")));
        }
        let mut out = context.output(0, shape)?.ok_or_else(no_output)?;
        linear.apply(pool, x, summand.map(|(_, values)| values), out.try_extract_tensor_mut::<f32>()?.1);
        Ok(())
    }

    fn attention(&self, context: &ComputeContext, pool: &Threads<'_>, (sizes, x): Numbers<'_>) -> ort::Result<()> {
        let attention = self.parts.attentions.get(self.part).ok_or_else(missing)?;
        let shape = with_width(sizes, 3 * attention.width(), attention.width())?;
        let &[batch, sequence, _] = sizes else {
            return Err(Error::new(format!("queries, keys and values have shape {sizes:?}, expected three sizes")));
        };
        let given = (1..context.num_inputs()?).map(|index| input(context, index)).collect::<ort::Result<Vec<_>>>()?;
        let scores = [batch, attention.heads(), sequence, sequence];
        let repeated = given.iter().map(|value| by_key(value, sequence)).collect::<ort::Result<Vec<_>>>()?;
        let summands = repeated.iter().map(|(shape, values)| {
            let unfit = || Error::new(format!("a mask has shape {shape:?}, which does not go with scores {scores:?}"));
            Summand::new(values, *shape, scores).ok_or_else(unfit)
        });
        let summands = summands.collect::<ort::Result<Vec<_>>>()?;
        let mut out = context.output(0, shape)?.ok_or_else(no_output)?;
        attention.apply(pool, (batch, sequence), x, &summands, out.try_extract_tensor_mut::<f32>()?.1);
        Ok(())
    }

    fn norm(&self, context: &ComputeContext, pool: &Threads<'_>, (sizes, x): Numbers<'_>) -> ort::Result<()> {
        let norm = self.parts.norms.get(self.part).ok_or_else(missing)?;
        let mut out = context.output(0, with_width(sizes, norm.width(), norm.width())?)?.ok_or_else(no_output)?;
        norm.apply(pool, x, out.try_extract_tensor_mut::<f32>()?.1);
        Ok(())
    }
}

/// The threads of the session, for one run of a node.
struct Threads<'a> {
    context: &'a ComputeContext,
    count: usize,
}

impl Pool for Threads<'_> {
    fn threads(&self) -> usize {
        self.count
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        // Where the pool refuses, nothing has been done.
        if self.count < 2 || parts < 2 || self.context.par_for(parts, parts, part).is_err() {
            (0..parts).for_each(part);
        }
    }
}

/// A summand of scores with four sizes, the last of which is `keys`, and its numbers.
fn by_key<'a>(value: &'a ValueRef<'_>, keys: usize) -> ort::Result<([usize; 4], std::borrow::Cow<'a, [f32]>)> {
    let (found, values) = value.try_extract_tensor::<f32>()?;
    let mut shape = [1; 4];
    let missing = shape.len().checked_sub(found.len());
    let missing = missing.ok_or_else(|| Error::new(format!("a mask has shape {found}, expected four sizes")))?;
    for (size, &found) in shape[missing..].iter_mut().zip(found.iter()) {
        *size = usize::try_from(found).map_err(|_| Error::new("a size is negative"))?;
    }
    if shape[3] != 1 || keys == 1 {
        return Ok((shape, values.into()));
    }
    shape[3] = keys;
    Ok((shape, values.iter().flat_map(|&value| std::iter::repeat_n(value, keys)).collect()))
}

/// `sizes` with another width.
fn with_width(sizes: &[usize], width: usize, other: usize) -> ort::Result<Vec<i64>> {
    match sizes.split_last() {
        Some((last, rest)) if *last == width => {
            Ok(rest.iter().chain([&other]).map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect())
        }
        _ => Err(Error::new(format!("an input has shape {sizes:?}, expected rows of {width}"))),
    }
}

fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context.input(index)?.ok_or_else(|| Error::new(format!("input {index} of a node is missing")))
}

fn missing() -> Error {
    Error::new("a node of planforge has a part that is not there")
}

fn no_output() -> Error {
    Error::new("ONNX Runtime gave no room for an output")
}
