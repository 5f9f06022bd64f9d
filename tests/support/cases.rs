//! The settings of every property test.

use proptest::test_runner::{Config, RngSeed};

/// `count` random cases, the same ones each time, so that a result depends on the code alone. For others set
/// PROPTEST_RNG_SEED, for more LIMBIC_MORE_CASES: the factor by which there are more.
pub fn cases(count: u32) -> Config {
    let given = Config::default();
    let rng_seed = if given.rng_seed == RngSeed::Random { RngSeed::Fixed(7) } else { given.rng_seed };
    let factor =
        std::env::var("LIMBIC_MORE_CASES").map_or(1, |text| text.parse().expect("LIMBIC_MORE_CASES: a number"));
    Config { cases: count * factor, failure_persistence: None, rng_seed, ..given }
}
