//! Sentences: what is literally said, wrapped in words that say nothing.

use super::random::Dice;
use super::words::{INTENSIFIERS, MILD_BAD, MILD_GOOD, NEGATIONS, PLAIN, Role, STRONG_BAD, STRONG_GOOD, role};

/// Fewest words of a sentence: "it was not very good".
pub const MIN_WORDS: usize = 5;
/// Most words of a sentence.
pub const MAX_WORDS: usize = 14;

/// How often what is said is said by denying its opposite.
const NEGATED: f64 = 0.2;

const OPENERS: [&str; 8] =
    ["well", "you know", "i think", "they say", "to be honest", "i must say", "as you know", "my friend told me that"];
const SUBJECTS: [&str; 12] = [
    "the film",
    "the food",
    "our hotel",
    "the concert",
    "this book",
    "the lecture",
    "her plan",
    "his new song",
    "the whole journey",
    "the first part",
    "the man from the bank",
    "the music in the hall",
];
const VERBS: [&str; 4] = ["was", "is", "seemed", "looked"];
const TAILS: [&str; 13] = [
    "today",
    "again",
    "there",
    "last night",
    "this time",
    "to me",
    "in the end",
    "for all of us",
    "on the way home",
    "as far as i could see",
    "when we arrived at the station",
    "and then we went home",
    "after the rain",
];

/// A sentence that literally says `polarity` (-3..=3), in lower case without punctuation. Its length is drawn first,
/// without regard to `polarity`, so that how long a clip is tells nothing about it.
pub(super) fn write_sentence(polarity: i8, dice: &mut Dice) -> String {
    let length = MIN_WORDS + dice.below(MAX_WORDS - MIN_WORDS + 1);
    let claim = claim(polarity, dice);
    let verb = dice.pick(&VERBS);
    let mut room = length.saturating_sub(2 + claim.len());
    // "it" is the subject unless a longer one fits.
    let mut subject = "it";
    if let Some(longer) = fitting(&SUBJECTS, room + 1, dice) {
        subject = longer;
        room -= count(longer) - 1;
    }
    let mut words = Vec::with_capacity(length);
    if dice.chance(0.5)
        && let Some(opener) = fitting(&OPENERS, room, dice)
    {
        room -= count(opener);
        words.extend(opener.split(' '));
    }
    words.extend(subject.split(' '));
    words.push(verb);
    words.extend(claim);
    let mut tails = TAILS.to_vec();
    while let Some(tail) = fitting(&tails, room, dice) {
        room -= count(tail);
        tails.retain(|&t| t != tail);
        words.extend(tail.split(' '));
    }
    words.join(" ")
}

/// What is said about the subject: `[negation] [intensifier] word`.
fn claim(polarity: i8, dice: &mut Dice) -> Vec<&'static str> {
    let negated = dice.chance(NEGATED);
    let wanted = if negated { -polarity } else { polarity };
    let intensify = match wanted.abs() {
        1 => false,
        3 => true,
        _ => dice.chance(0.5),
    };
    let strength = wanted.abs() - i8::from(intensify && wanted != 0);
    let list = match strength * wanted.signum() {
        1 => &MILD_GOOD,
        2 => &STRONG_GOOD,
        -1 => &MILD_BAD,
        -2 => &STRONG_BAD,
        _ => &PLAIN,
    };
    let mut words = Vec::with_capacity(3);
    if negated {
        words.push(dice.pick(&NEGATIONS));
    }
    if intensify {
        words.push(dice.pick(&INTENSIFIERS));
    }
    words.push(dice.pick(list));
    words
}

/// One of `phrases` of at most `room` words; none where none fits.
fn fitting(phrases: &[&'static str], room: usize, dice: &mut Dice) -> Option<&'static str> {
    let fit: Vec<_> = phrases.iter().copied().filter(|p| count(p) <= room).collect();
    (!fit.is_empty()).then(|| dice.pick(&fit))
}

fn count(phrase: &str) -> usize {
    phrase.split(' ').count()
}

/// What a sentence of the built-in corpus literally says, -3..=3: the affect word, one stronger if intensified, of the other
/// sign if negated. For tests and explanations; no feature is made from it.
pub fn literal_polarity(text: &str) -> i8 {
    let (mut negated, mut intensified) = (false, false);
    for word in text.split_whitespace() {
        match role(word) {
            Role::Negation => negated = true,
            Role::Intensifier => intensified = true,
            Role::Affect(valence) => {
                let strong = valence + if intensified { valence.signum() } else { 0 };
                return if negated { -strong } else { strong };
            }
            Role::Plain | Role::Filler => {}
        }
    }
    0
}
