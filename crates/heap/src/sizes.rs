//! Sizes that allocations are rounded up to: four for each doubling.

/// Number of size classes; the largest holds 28 GiB.
pub(super) const CLASS_COUNT: usize = 124;

/// The smallest class that holds `byte_count` bytes.
pub(super) const fn class_of(byte_count: usize) -> usize {
    if byte_count <= 64 {
        return if byte_count == 0 { 0 } else { (byte_count - 1) / 16 };
    }
    // 2^exponent < byte_count <= 2^(exponent + 1)
    let exponent = (usize::BITS - 1 - (byte_count - 1).leading_zeros()) as usize;
    let quarter = (byte_count - (1 << exponent)).div_ceil(1 << (exponent - 2));
    4 + (exponent - 6) * 4 + quarter - 1
}

/// Bytes of a block of `class`.
pub(super) const fn size_of_class(class: usize) -> usize {
    if class < 4 {
        return (class + 1) * 16;
    }
    let (exponent, quarter) = (6 + (class - 4) / 4, (class - 4) % 4 + 1);
    (1 << exponent) + quarter * (1 << (exponent - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_sizes_and_no_smaller_class_does() {
        for byte_count in (1..5000).chain([1 << 20, (1 << 20) + 1, (3 << 29) - 1, 1 << 34]) {
            let class = class_of(byte_count);
            assert!(size_of_class(class) >= byte_count, "{byte_count}");
            assert!(class == 0 || size_of_class(class - 1) < byte_count, "{byte_count}");
        }
        assert_eq!(class_of(size_of_class(CLASS_COUNT - 1)), CLASS_COUNT - 1);
    }

    #[test]
    fn powers_of_two_have_classes_of_their_own() {
        for exponent in 4..34 {
            assert_eq!(size_of_class(class_of(1 << exponent)), 1 << exponent);
        }
    }
}
