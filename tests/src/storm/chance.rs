//! Chance that can be had again.

/// A small generator, so that a storm can be made again (xorshift64, Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // It has one state that it never leaves.
        Self(seed.max(1))
    }

    /// A number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }

    /// Another generator, which goes its own way.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Self::new(self.below(u64::MAX))
    }
}

/// A seed that nobody chose, or that of `AURAE_SEED`. Whoever uses it prints it.
#[must_use]
pub fn seed() -> u64 {
    let wanted = std::env::var("AURAE_SEED").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}
