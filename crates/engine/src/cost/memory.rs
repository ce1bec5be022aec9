//! How much memory values take at once when each is freed after its last use.

/// Values in the order they are made.
#[derive(Debug, Default)]
pub(super) struct Memory {
    lives: Vec<Life>,
}

/// One value.
#[derive(Debug, Clone, Copy)]
struct Life {
    byte_count: u64,
    /// Number of the value whose making uses it last.
    last_use: usize,
}

impl Memory {
    /// A new value made from others; its number.
    pub(super) fn make(&mut self, byte_count: u64, from: impl IntoIterator<Item = usize>) -> usize {
        let number = self.lives.len();
        for used in from {
            self.lives[used].last_use = number;
        }
        self.lives.push(Life { byte_count, last_use: number });
        number
    }

    /// Keeps a value to the end.
    pub(super) fn keep(&mut self, number: usize) {
        self.lives[number].last_use = usize::MAX;
    }

    /// Most bytes that live at once.
    pub(super) fn peak(&self) -> u64 {
        let mut freed = vec![0_u64; self.lives.len()];
        let (mut now, mut most) = (0, 0);
        for (number, life) in self.lives.iter().enumerate() {
            now += life.byte_count;
            most = most.max(now);
            if let Some(after) = freed.get_mut(life.last_use) {
                *after += life.byte_count;
            }
            now -= freed[number];
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_until_its_last_use() {
        let mut memory = Memory::default();
        let input = memory.make(10, []);
        let first = memory.make(100, [input]);
        let second = memory.make(1, [first]);
        assert_eq!(memory.peak(), 110);
        let third = memory.make(1, [second, input]);
        // The input is needed for the third value, so it lives at the same time as the first.
        assert_eq!(memory.peak(), 111);
        memory.keep(third);
        memory.make(200, [third]);
        assert_eq!(memory.peak(), 201);
    }
}
