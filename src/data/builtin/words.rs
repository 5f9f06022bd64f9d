//! The words of the built-in corpus, and the vectors that stand for them.

use super::random::{Dice, Part};

/// Features per word.
pub const WORD_DIM: usize = 48;

pub(super) const MILD_GOOD: [&str; 12] =
    ["good", "nice", "fine", "pleasant", "sweet", "neat", "decent", "cheerful", "cosy", "handy", "solid", "agreeable"];
pub(super) const STRONG_GOOD: [&str; 12] = [
    "wonderful",
    "great",
    "amazing",
    "superb",
    "brilliant",
    "perfect",
    "splendid",
    "fantastic",
    "glorious",
    "stunning",
    "marvellous",
    "delightful",
];
pub(super) const MILD_BAD: [&str; 12] =
    ["bad", "dull", "poor", "weak", "messy", "boring", "clumsy", "bleak", "tired", "sloppy", "drab", "tedious"];
pub(super) const STRONG_BAD: [&str; 12] = [
    "terrible",
    "awful",
    "horrible",
    "dreadful",
    "dismal",
    "ghastly",
    "vile",
    "hideous",
    "appalling",
    "atrocious",
    "miserable",
    "disastrous",
];
pub(super) const PLAIN: [&str; 12] = [
    "ordinary", "local", "usual", "early", "wooden", "public", "recent", "modern", "distant", "familiar", "annual",
    "central",
];
pub(super) const NEGATIONS: [&str; 3] = ["not", "never", "hardly"];
pub(super) const INTENSIFIERS: [&str; 4] = ["very", "really", "truly", "so"];

/// What a word does to what is literally said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Says how good or bad, -2..=2, but not 0.
    Affect(i8),
    /// Describes, but is neither good nor bad.
    Plain,
    Negation,
    Intensifier,
    Filler,
}

/// The role of `word`; any word that is not listed is filler.
pub(super) fn role(word: &str) -> Role {
    let lists: [(&[&str], Role); 7] = [
        (&MILD_GOOD, Role::Affect(1)),
        (&STRONG_GOOD, Role::Affect(2)),
        (&MILD_BAD, Role::Affect(-1)),
        (&STRONG_BAD, Role::Affect(-2)),
        (&PLAIN, Role::Plain),
        (&NEGATIONS, Role::Negation),
        (&INTENSIFIERS, Role::Intensifier),
    ];
    lists.iter().find(|(list, _)| list.contains(&word)).map_or(Role::Filler, |(_, role)| *role)
}

/// The vector of a word: the same for the same word everywhere, whatever the corpus' seed.
///
/// As with vectors learned from text, most of it tells words apart and says nothing else (a normal vector seeded by the
/// word's hash), part of it is shared by words of the same role, and valence shows through it weakly: along one direction
/// with a strength that scatters from word to word, so that a linear reading of it is only partly right. What negation and
/// intensifiers do to the words after them is not in any vector.
pub fn word_vector(word: &str) -> [f32; WORD_DIM] {
    let mut vector = direction(word);
    let mut add = |name: &str, scale: f64| {
        vector.iter_mut().zip(direction(name)).for_each(|(v, d)| *v += scale * d);
    };
    match role(word) {
        Role::Affect(valence) => {
            let scatter = Dice::new(hash(word), 1, Part::Word).normal();
            add("<describes>", 0.7);
            add("<valence>", 0.5 * f64::from(valence) + 0.2 * scatter);
        }
        Role::Plain => add("<describes>", 0.7),
        Role::Negation => add("<negation>", 0.7),
        Role::Intensifier => add("<intensifier>", 0.7),
        Role::Filler => {}
    }
    vector.map(|v| v as f32)
}

/// A standard normal vector seeded by `name`.
fn direction(name: &str) -> [f64; WORD_DIM] {
    let mut dice = Dice::new(hash(name), 0, Part::Word);
    std::array::from_fn(|_| dice.normal())
}

/// FNV-1a, 64 bit.
fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
