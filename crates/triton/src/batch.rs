//! Which requests can run as one batch, and the tensors that they make together.

use crate::{Error, Result};
use planforge_core::DataType;
use planforge_runtime::TensorView;

/// An input of one request, in the pieces that the server holds it in.
#[derive(Debug)]
pub(crate) struct InputTensor<'a> {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) shape: Vec<usize>,
    pub(crate) pieces: Vec<&'a [u8]>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct RequestTensors<'a> {
    /// Inputs, sorted by name.
    pub(crate) inputs: Vec<InputTensor<'a>>,
    /// Names of the outputs it asks for.
    pub(crate) outputs: Vec<String>,
}

impl RequestTensors<'_> {
    /// Items in it: the first dimension of its inputs, where they agree.
    pub(crate) fn batch_size(&self) -> Option<usize> {
        let mut sizes = self.inputs.iter().map(|input| input.shape.first().copied());
        let first = sizes.next()??;
        sizes.all(|size| size == Some(first)).then_some(first)
    }

    /// Whether the items of both can stand in one tensor for each input.
    fn agrees_with(&self, other: &Self) -> bool {
        let agree = |(own, other): (&InputTensor<'_>, &InputTensor<'_>)| {
            own.name == other.name
                && own.data_type == other.data_type
                && own.shape.len() == other.shape.len()
                && own.shape.iter().skip(1).eq(other.shape.iter().skip(1))
        };
        self.inputs.len() == other.inputs.len() && self.inputs.iter().zip(&other.inputs).all(agree)
    }
}

/// Indices of the requests that run together, in the order in which they came. A request whose own inputs do not agree
/// about their batch is left alone, so that its error is its own; without `batching` each is.
pub(crate) fn groups(requests: &[RequestTensors<'_>], batching: bool) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let joins = |group: &&mut Vec<usize>| {
            let first = &requests[group[0]];
            first.batch_size().is_some() && first.agrees_with(request)
        };
        let group = groups.iter_mut().find(joins).filter(|_| batching && request.batch_size().is_some());
        match group {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// Memory that tensors are gathered in, kept from batch to batch. Its elements are words so that every element type
/// is aligned.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<Vec<u64>>);

/// An input of a batch: its shape, and the address of its elements.
pub(crate) struct Gathered<'a> {
    name: &'a str,
    data_type: DataType,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl Gathered<'_> {
    /// For the runtime.
    pub(crate) fn view(&self) -> TensorView<'_> {
        TensorView { name: self.name, data_type: self.data_type, shape: &self.shape, bytes: self.bytes }
    }
}

/// Puts the inputs of a group together. A request that is alone and in one piece stays where it is.
pub(crate) fn gather<'a>(group: &[&'a RequestTensors<'a>], scratch: &'a mut Scratch) -> Vec<Gathered<'a>> {
    let first = group[0];
    scratch.0.resize_with(first.inputs.len().max(scratch.0.len()), Vec::new);
    let inputs = first.inputs.iter().enumerate().zip(&mut scratch.0);
    let gathered = inputs.map(|((index, input), words)| {
        let mut shape = input.shape.clone();
        if group.len() > 1 {
            shape[0] = group.iter().map(|request| request.inputs[index].shape[0]).sum();
        }
        let pieces = group.iter().flat_map(|request| &request.inputs[index].pieces);
        let bytes = match (group.len(), input.pieces.as_slice()) {
            (1, [whole]) => *whole,
            _ => concatenate(pieces.copied(), words),
        };
        Gathered { name: &input.name, data_type: input.data_type, shape, bytes }
    });
    gathered.collect()
}

fn concatenate<'a, 'b>(pieces: impl Iterator<Item = &'b [u8]> + Clone, words: &'a mut Vec<u64>) -> &'a [u8] {
    let byte_count: usize = pieces.clone().map(<[u8]>::len).sum();
    words.resize(byte_count.div_ceil(size_of::<u64>()), 0);
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
    let mut end = 0;
    for piece in pieces {
        bytes[end..end + piece.len()].copy_from_slice(piece);
        end += piece.len();
    }
    &bytes[..byte_count]
}

/// The part of each output that belongs to `count` items from `start` on, of `total` in the batch.
pub(crate) fn part<'a>(
    output: &TensorView<'a>,
    (start, count): (usize, usize),
    total: usize,
) -> Result<(Vec<usize>, &'a [u8])> {
    if output.shape.first() != Some(&total) {
        let (name, shape) = (output.name.to_owned(), output.shape.to_vec());
        return Err(Error::NotBatched { name, shape, batch: total });
    }
    let item = output.bytes.len() / total.max(1);
    let mut shape = output.shape.to_vec();
    shape[0] = count;
    Ok((shape, &output.bytes[start * item..(start + count) * item]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(shapes: &[(&str, &[usize])], bytes: &'a [u8]) -> RequestTensors<'a> {
        let input = |(name, shape): &(&str, &[usize])| InputTensor {
            name: (*name).to_owned(),
            data_type: DataType::Int32,
            shape: shape.to_vec(),
            pieces: vec![&bytes[..4 * shape.iter().product::<usize>()]],
        };
        RequestTensors { inputs: shapes.iter().map(input).collect(), outputs: Vec::new() }
    }

    #[test]
    fn requests_of_equal_shape_run_together() {
        let bytes = [0; 64];
        let requests = [
            request(&[("a", &[1, 3])], &bytes),
            request(&[("a", &[2, 3])], &bytes),
            request(&[("a", &[1, 4])], &bytes),
            request(&[("b", &[1, 3])], &bytes),
            request(&[("a", &[3, 3])], &bytes),
            request(&[("a", &[])], &bytes),
        ];
        assert_eq!(groups(&requests, true), [vec![0, 1, 4], vec![2], vec![3], vec![5]]);
        assert_eq!(groups(&requests, false).len(), 6);
    }

    #[test]
    fn a_request_that_contradicts_itself_stays_alone() {
        let bytes = [0; 64];
        let twisted = || request(&[("a", &[1, 3]), ("b", &[2, 3])], &bytes);
        let good = || request(&[("a", &[1, 3]), ("b", &[1, 3])], &bytes);
        assert_eq!(groups(&[twisted(), good(), twisted(), good()], true), [vec![0], vec![1, 3], vec![2]]);
    }

    #[test]
    fn tensors_are_joined_in_order_and_lent_when_alone() {
        let (low, high): (Vec<u8>, Vec<u8>) = ((0..24).collect(), (100..124).collect());
        let (first, second) = (request(&[("a", &[1, 3])], &low), request(&[("a", &[2, 3])], &high));
        let mut scratch = Scratch::default();
        let alone = gather(&[&second], &mut scratch);
        assert_eq!(alone[0].bytes.as_ptr(), high.as_ptr());
        let both = gather(&[&first, &second], &mut scratch);
        let view = both[0].view();
        assert_eq!((view.name, view.shape), ("a", [3, 3].as_slice()));
        assert_eq!(view.bytes, [&low[..12], &high[..24]].concat());
    }

    #[test]
    fn pieces_of_one_tensor_are_joined() {
        let mut split = request(&[("a", &[1, 3])], &[0; 12]);
        split.inputs[0].pieces = vec![&[1, 2, 3, 4, 5], &[6, 7], &[8, 9, 10, 11, 12]];
        let mut scratch = Scratch::default();
        assert_eq!(gather(&[&split], &mut scratch)[0].bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn outputs_are_taken_apart() {
        let bytes: Vec<u8> = (0..12).collect();
        let output = TensorView { name: "y", data_type: DataType::Int32, shape: &[3, 1], bytes: &bytes };
        assert_eq!(part(&output, (1, 2), 3).unwrap(), (vec![2, 1], &bytes[4..]));
        let error = part(&output, (0, 2), 2).unwrap_err().to_string();
        assert_eq!(error, "output `y` has shape [3, 1], expected 2 in its first dimension");
    }
}
