//! Random numbers that are the same on every platform: ChaCha8 and the few distributions that the corpus needs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for. Each part of a clip has its own, so that a change to how faces are drawn moves
/// no word, no sound and no label.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Causes = 0,
    Script = 1,
    Voice = 2,
    Face = 3,
    Word = 4,
    Cues = 5,
    Film = 6,
}

/// A stream of random numbers.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of `part` of clip `clip` under `seed`. `clip` must be below 2^61.
    pub fn new(seed: u64, clip: u64, part: Part) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..14].copy_from_slice(b"limbic");
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(clip << 3 | part as u64);
        Dice(rng)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Standard normal (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `0..n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// One of `words`; empty where there is none.
    pub fn pick(&mut self, words: &[&'static str]) -> &'static str {
        let i = self.below(words.len());
        words.get(i).copied().unwrap_or("")
    }
}
