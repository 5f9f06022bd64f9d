//! Letters to sounds: a rough reading of English spelling, enough to babble it.

/// A speech sound: what excites the tract and where its resonances lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Phone {
    /// Resonances of an average tract, Hz.
    pub formants: [f64; 4],
    /// Loudness of the voiced source, 0..=1.
    pub voicing: f64,
    /// Loudness of the hiss, 0..=1.
    pub hiss: f64,
    /// Centre of the hiss, Hz.
    pub hiss_hz: f64,
    /// Length at an ordinary rate, seconds.
    pub seconds: f64,
    /// Whether it carries a pitch accent.
    pub is_vowel: bool,
}

/// Resonances of a tract at rest (a neutral vowel).
pub(super) const NEUTRAL: [f64; 4] = [500.0, 1500.0, 2500.0, 3500.0];

/// Resonances after Peterson and Barney (1952), rounded.
fn vowel(letter: u8) -> Option<[f64; 4]> {
    match letter {
        b'a' => Some([730.0, 1190.0, 2440.0, 3400.0]),
        b'e' => Some([530.0, 1840.0, 2480.0, 3500.0]),
        b'i' => Some([320.0, 2250.0, 2950.0, 3600.0]),
        b'o' => Some([540.0, 880.0, 2410.0, 3300.0]),
        b'u' => Some([330.0, 920.0, 2240.0, 3250.0]),
        b'y' => Some([350.0, 2050.0, 2700.0, 3550.0]),
        _ => None,
    }
}

/// The sounds of a word: neighbouring vowel letters glide into one longer vowel, a doubled consonant is said once, other
/// characters are silent.
pub(super) fn phones(word: &str) -> Vec<Phone> {
    let mut out: Vec<Phone> = Vec::with_capacity(word.len());
    let mut last = 0u8;
    for letter in word.bytes() {
        if let Some(formants) = vowel(letter) {
            let glides = vowel(last).is_some();
            let seconds = if glides { 0.035 } else { 0.075 };
            let same = glides && letter == last;
            match out.last_mut() {
                Some(before) if same => before.seconds += seconds,
                _ => out.push(Phone { formants, voicing: 1.0, hiss: 0.0, hiss_hz: 3000.0, seconds, is_vowel: !glides }),
            }
        } else if letter.is_ascii_alphabetic() && letter != last {
            consonant(letter, &mut out);
        }
        last = letter;
    }
    out
}

/// Appends a consonant; stops are a closure and a burst.
fn consonant(letter: u8, out: &mut Vec<Phone>) {
    let phone = |formants, voicing, hiss, hiss_hz, seconds| Phone {
        formants,
        voicing,
        hiss,
        hiss_hz,
        seconds,
        is_vowel: false,
    };
    match letter {
        b's' | b'x' => out.push(phone(NEUTRAL, 0.0, 0.5, 5200.0, 0.055)),
        b'z' => out.push(phone(NEUTRAL, 0.35, 0.3, 5200.0, 0.045)),
        b'f' => out.push(phone([400.0, 1200.0, 2300.0, 3400.0], 0.0, 0.2, 4200.0, 0.05)),
        b'h' => out.push(phone(NEUTRAL, 0.05, 0.25, 1800.0, 0.035)),
        b'c' | b'k' | b'q' => stop(phone([400.0, 1800.0, 2200.0, 3400.0], 0.0, 0.5, 2300.0, 0.018), out),
        b't' => stop(phone([400.0, 1700.0, 2600.0, 3400.0], 0.0, 0.5, 4200.0, 0.018), out),
        b'p' => stop(phone([350.0, 900.0, 2300.0, 3400.0], 0.0, 0.4, 1200.0, 0.015), out),
        b'd' => stop(phone([350.0, 1700.0, 2600.0, 3400.0], 0.5, 0.25, 3800.0, 0.015), out),
        b'b' => stop(phone([350.0, 900.0, 2300.0, 3400.0], 0.5, 0.2, 1100.0, 0.015), out),
        b'g' => stop(phone([350.0, 1800.0, 2200.0, 3400.0], 0.5, 0.25, 2100.0, 0.015), out),
        b'm' => out.push(phone([280.0, 950.0, 2200.0, 3300.0], 0.45, 0.0, 3000.0, 0.045)),
        b'n' => out.push(phone([280.0, 1600.0, 2500.0, 3400.0], 0.45, 0.0, 3000.0, 0.04)),
        b'l' => out.push(phone([360.0, 1150.0, 2700.0, 3400.0], 0.6, 0.0, 3000.0, 0.035)),
        b'r' => out.push(phone([380.0, 1200.0, 1650.0, 3200.0], 0.6, 0.0, 3000.0, 0.035)),
        b'w' => out.push(phone([310.0, 700.0, 2200.0, 3300.0], 0.6, 0.0, 3000.0, 0.035)),
        b'j' => out.push(phone([300.0, 2100.0, 2800.0, 3500.0], 0.5, 0.2, 3000.0, 0.035)),
        _ => out.push(phone([350.0, 1100.0, 2300.0, 3400.0], 0.5, 0.1, 3500.0, 0.035)),
    }
}

fn stop(burst: Phone, out: &mut Vec<Phone>) {
    out.push(Phone { voicing: burst.voicing * 0.2, hiss: 0.0, seconds: 0.022, ..burst });
    out.push(burst);
}
