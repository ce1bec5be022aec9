//! Prefix codes of limited length (Huffman 1952), in the form that deflate has them (RFC 1951, section 3.2.2).

/// A prefix code: for each symbol how many bits it has, none where it does not occur, and the bits, first bit lowest.
#[derive(Debug, Clone)]
pub(super) struct Code<const SYMBOLS: usize> {
    pub(super) lengths: [u8; SYMBOLS],
    pub(super) bits: [u16; SYMBOLS],
}

impl<const SYMBOLS: usize> Code<SYMBOLS> {
    /// The code for symbols that occur so often, of at most `longest` bits. At least two symbols must occur, and their
    /// number must not be larger than two to the power of `longest`.
    pub(super) fn of(counts: &[u32; SYMBOLS], longest: usize) -> Self {
        let mut symbols: Vec<usize> = (0..SYMBOLS).filter(|&symbol| counts[symbol] > 0).collect();
        // Ties are broken by the symbol, so that the same counts give the same code.
        symbols.sort_unstable_by_key(|&symbol| (counts[symbol], symbol));
        let weights: Vec<u32> = symbols.iter().map(|&symbol| counts[symbol]).collect();
        let mut with_length = vec![0; longest + 1];
        for depth in depths(&weights) {
            with_length[depth.min(longest)] += 1;
        }
        shorten(&mut with_length);
        let mut lengths = [0; SYMBOLS];
        let mut rarest_first = symbols.into_iter();
        for length in (1..=longest).rev() {
            for symbol in rarest_first.by_ref().take(with_length[length]) {
                lengths[symbol] = u8::try_from(length).expect("codes have at most 15 bits");
            }
        }
        Self { lengths, bits: canonical(&lengths) }
    }
}

/// The depth of each leaf in the Huffman tree of `weights`, which are sorted.
fn depths(weights: &[u32]) -> Vec<usize> {
    let leaves = weights.len();
    // Inner nodes come out sorted too, so that the two lightest are at the heads of two queues.
    let mut weights = weights.to_vec();
    let mut parents = vec![0; 2 * leaves - 1];
    let (mut leaf, mut inner) = (0, leaves);
    for node in leaves..2 * leaves - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let is_leaf = leaf < leaves && (inner == node || weights[leaf] <= weights[inner]);
            let lightest = if is_leaf { &mut leaf } else { &mut inner };
            weight += weights[*lightest];
            parents[*lightest] = node;
            *lightest += 1;
        }
        weights.push(weight);
    }
    let mut depths = vec![0; 2 * leaves - 1];
    for node in (0..2 * leaves - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(leaves);
    depths
}

/// Makes room for symbols that were given the greatest length in place of a greater one: as long as there are more codes
/// than fit, one of the greatest length goes below the deepest shorter one.
fn shorten(with_length: &mut [usize]) {
    let longest = with_length.len() - 1;
    let mut taken: usize = (1..=longest).map(|length| with_length[length] << (longest - length)).sum();
    while taken > 1 << longest {
        let deepest = (1..longest).rev().find(|&length| with_length[length] > 0).expect("all symbols have codes");
        with_length[longest] -= 1;
        with_length[deepest] -= 1;
        with_length[deepest + 1] += 2;
        taken -= 1;
    }
}

/// The codes that follow from their lengths.
fn canonical<const SYMBOLS: usize>(lengths: &[u8; SYMBOLS]) -> [u16; SYMBOLS] {
    let mut with_length = [0_u16; 16];
    for length in lengths.iter().filter(|length| **length > 0) {
        with_length[usize::from(*length)] += 1;
    }
    let mut next = [0_u16; 16];
    for length in 1..16 {
        next[length] = (next[length - 1] + with_length[length - 1]) << 1;
    }
    let mut bits = [0; SYMBOLS];
    for (bits, &length) in bits.iter_mut().zip(lengths).filter(|(_, length)| **length > 0) {
        let next = &mut next[usize::from(length)];
        *bits = next.reverse_bits() >> (16 - length);
        *next += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two to the power of minus each length; one for a code without gaps.
    fn kraft(lengths: &[u8]) -> f64 {
        lengths.iter().filter(|length| **length > 0).map(|&length| 0.5_f64.powi(length.into())).sum()
    }

    #[test]
    fn codes_are_those_of_the_specification() {
        // RFC 1951, section 3.2.2: lengths of A to H, and their codes.
        let bits = canonical(&[3, 3, 3, 3, 3, 2, 4, 4]);
        let expected = ["010", "011", "100", "101", "110", "00", "1110", "1111"];
        for (bits, expected) in bits.into_iter().zip(expected) {
            let text: String = (0..expected.len()).map(|bit| if bits >> bit & 1 == 1 { '1' } else { '0' }).collect();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn frequent_symbols_have_short_codes() {
        let code = Code::of(&[1, 1, 0, 2, 4], 15);
        assert_eq!(code.lengths, [3, 3, 0, 2, 1]);
        assert_eq!(Code::of(&[7, 0, 9], 15).lengths, [1, 0, 1]);
    }

    #[test]
    fn no_code_is_longer_than_allowed_and_none_is_left_unused() {
        // Weights as Fibonacci's numbers give the deepest trees.
        let mut counts = [1_u32; 30];
        for index in 2..30 {
            counts[index] = counts[index - 1] + counts[index - 2];
        }
        assert_eq!(depths(&counts)[0], 29);
        for longest in [5, 7, 14] {
            let code = Code::of(&counts, longest);
            assert_eq!(usize::from(*code.lengths.iter().max().unwrap()), longest);
            assert!((kraft(&code.lengths) - 1.0).abs() < 1e-9, "{:?}", code.lengths);
            assert!(code.lengths.windows(2).all(|pair| pair[0] >= pair[1]), "{:?}", code.lengths);
        }
    }
}
