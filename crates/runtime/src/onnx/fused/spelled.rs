//! Attention as graphs spell it out: heads are split and put side by side again around two products and a softmax.

use super::matching::{Values, attribute, pair, transposes};
use planforge_onnx::NodeProto;

/// Most summands of scores.
pub(super) const SUMMANDS: usize = 2;

/// What a run of nodes computes.
#[derive(Debug)]
pub(super) struct SpelledAttention<'a> {
    pub(super) query_key_value: [&'a str; 3],
    pub(super) heads: usize,
    pub(super) head_width: usize,
    pub(super) scale: f32,
    /// What is added to scores, in order.
    pub(super) summands: Vec<&'a str>,
    /// The nodes, the last of which gives the result.
    pub(super) nodes: Vec<usize>,
}

impl<'a> SpelledAttention<'a> {
    /// The attention that ends in this `Reshape`. None where nodes differ from what is expected, or others use what they
    /// give.
    pub(super) fn ending_in(values: &Values<'a>, (index, node): (usize, &'a NodeProto)) -> Option<Self> {
        let [side_by_side, merged] = reshapes(node)?;
        let (turn, turned) =
            values.only_for_one(side_by_side, "Transpose").filter(|(_, node)| transposes(node, &[0, 2, 1, 3]))?;
        let (second, context) = values.only_for_one(turned.input.first()?, "MatMul")?;
        let [weights, value] = pair(context)?;
        let (softmax, weights) = values.only_for_one(weights, "Softmax")?;
        attribute(weights, "axis").filter(|axis| axis.i == -1)?;
        let scores = Scores::of(values, weights.input.first()?)?;
        let query = split(values, scores.query, &[0, 2, 1, 3])?;
        let key = split(values, scores.key, &[0, 2, 3, 1])?;
        let value = split(values, value, &[0, 2, 1, 3])?;
        let [0, 0, heads, head_width] = *query.shape.as_slice() else { return None };
        let width = heads.checked_mul(head_width)?;
        let agree = query.shape == key.shape && query.shape == value.shape && values.integers(merged)? == [0, 0, width];
        let nodes =
            [scores.nodes, vec![softmax, second, turn], query.nodes, key.nodes, value.nodes, vec![index]].concat();
        let query_key_value = [query.whole, key.whole, value.whole];
        let (heads, head_width) = (usize::try_from(heads).ok()?, usize::try_from(head_width).ok()?);
        agree.then_some(Self {
            query_key_value,
            heads,
            head_width,
            scale: scores.scale,
            summands: scores.summands,
            nodes,
        })
    }
}

/// Products of queries and keys, and what is added to them.
struct Scores<'a> {
    query: &'a str,
    key: &'a str,
    scale: f32,
    summands: Vec<&'a str>,
    nodes: Vec<usize>,
}

impl<'a> Scores<'a> {
    fn of(values: &Values<'a>, mut scores: &'a str) -> Option<Self> {
        let (mut summands, mut nodes) = (Vec::new(), Vec::new());
        while let Some((index, sum)) = values.only_for_one(scores, "Add") {
            let [rest, summand] = pair(sum)?;
            nodes.push(index);
            // The last is met first.
            summands.insert(0, summand);
            scores = rest;
        }
        let (index, product) = values.only_for_one(scores, "MatMul").filter(|_| summands.len() <= SUMMANDS)?;
        let [query, key] = pair(product)?;
        let (scaled, query) = values.only_for_one(query, "Mul")?;
        let [query, scale] = pair(query)?;
        nodes.extend([index, scaled]);
        // Keys that are not there have a score of minus infinity, which another factor would turn into none.
        let scale = values.number(scale).filter(|scale| *scale > 0.0)?;
        Some(Self { query, key, scale, summands, nodes })
    }
}

/// Rows that are split into heads.
struct Split<'a> {
    whole: &'a str,
    shape: Vec<i64>,
    nodes: Vec<usize>,
}

fn split<'a>(values: &Values<'a>, value: &str, order: &[i64]) -> Option<Split<'a>> {
    let (turn, turned) = values.only_for_one(value, "Transpose").filter(|(_, node)| transposes(node, order))?;
    let (reshape, reshaped) = values.only_for_one(turned.input.first()?, "Reshape")?;
    let [whole, shape] = reshapes(reshaped)?;
    Some(Split { whole, shape: values.integers(shape)?, nodes: vec![turn, reshape] })
}

/// The value and the shape of a `Reshape` in whose shape a zero keeps a size.
fn reshapes(node: &NodeProto) -> Option<[&str; 2]> {
    pair(node).filter(|_| attribute(node, "allowzero").is_none_or(|kind| kind.i == 0))
}
