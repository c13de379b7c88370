//! Where a case gets its choices from: a seed, or bytes that somebody else chose.

/// A source of choices. It never ends.
pub trait Choices {
    /// The next number.
    fn next(&mut self) -> u64;

    /// A number below `bound`; 0 when `bound` is 0.
    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound.max(1))) as u32
    }

    /// True once in `count` times.
    fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    /// One of `choices`, which are not empty.
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }
}

/// Numbers that depend on nothing but the seed: `SplitMix64`.
pub struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Choices for Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Choices that a fuzzer makes: each takes as few bytes as it needs, so that a byte that changes changes one choice.
/// When there are none left, every choice is the first.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// The choices in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether none are left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes as they are, or all that are left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl Choices for Bytes<'_> {
    fn next(&mut self) -> u64 {
        self.number(8)
    }

    fn below(&mut self, bound: u32) -> u32 {
        let bytes = match bound {
            0 | 1 => 0,
            2..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        (self.number(bytes) % u64::from(bound.max(1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_takes_as_few_bytes_as_it_needs() {
        let mut bytes = Bytes::new(&[7, 0x34, 0x12, 9, 1, 0, 0, 0, 3]);
        assert_eq!(bytes.below(1), 0);
        assert_eq!(bytes.below(5), 2);
        assert_eq!(bytes.below(1 << 16), 0x1234);
        assert_eq!(bytes.pick(&[10, 20, 30]), 10);
        assert_eq!(bytes.below(1 << 20), 1);
        assert_eq!(bytes.next(), 3);
    }

    #[test]
    fn where_no_bytes_are_left_every_choice_is_the_first() {
        let mut bytes = Bytes::new(&[]);
        assert!(bytes.is_empty() && bytes.take(4).is_empty());
        assert_eq!((bytes.next(), bytes.below(9), bytes.pick(&["first", "second"])), (0, 0, "first"));
    }
}
