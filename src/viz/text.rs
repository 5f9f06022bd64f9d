//! How wide a text is, what of it fits, and how numbers read.

/// Where a text that does not fit was cut.
const ELLIPSIS: char = '…';

/// The advance of `c` in ems, as in DejaVu Sans: wider than Helvetica and Arial, and what stands in for them on many machines.
fn advance(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.3,
        'f' | 't' | 'I' | '.' | ',' | ':' | ';' | '!' | ' ' | '/' | '\\' | '(' | ')' | '[' | ']' | 'r' | '-' => 0.38,
        'm' | 'M' | 'W' | '%' | '@' | 'w' | '+' | '=' | ELLIPSIS => 0.95,
        'A'..='Z' | '&' => 0.71,
        'a'..='z' | '0'..='9' => 0.62,
        // Combining marks, joiners and variation selectors take no room of their own.
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0.0,
        // Hangul, kana, Han and pictographs are square.
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{fe4f}' | '\u{ff00}'..='\u{ffef}' | '\u{1f000}'.. => 1.0,
        _ => 0.6,
    }
}

/// The width of `text` in pixels at font size `size`.
pub fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// The widest of `texts`.
pub fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, size: f64) -> f64 {
    texts.into_iter().map(|text| width(text, size)).fold(0.0, f64::max)
}

/// `text` if it fits into `room` pixels, else its beginning and "…".
pub fn fit(text: &str, size: f64, room: f64) -> String {
    let text = clean(text);
    if width(&text, size) <= room {
        return text;
    }
    let mut left = room / size - advance(ELLIPSIS);
    let mut short = String::new();
    for c in text.chars() {
        left -= advance(c);
        if left < 0.0 {
            break;
        }
        short.push(c);
    }
    short.truncate(short.trim_end().len());
    short.push(ELLIPSIS);
    short
}

/// `text` in at most two lines of `room` pixels, broken at a space.
pub fn fit_two_lines(text: &str, size: f64, room: f64) -> Vec<String> {
    let text = clean(text);
    if width(&text, size) <= room {
        return vec![text];
    }
    let cut = text.match_indices(' ').map(|(at, _)| at).take_while(|&at| width(&text[..at], size) <= room).last();
    match cut {
        Some(at) => vec![text[..at].to_string(), fit(&text[at + 1..], size, room)],
        None => vec![fit(&text, size, room)],
    }
}

/// `text` on one line, without the characters that XML 1.0 forbids.
fn clean(text: &str) -> String {
    let shown = text.chars().map(|c| match c {
        c if c.is_control() => ' ',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c => c,
    });
    shown.collect::<String>().trim().to_string()
}

/// `value` with `decimals` places, a true minus sign, and commas between thousands from 10,000 on.
pub fn number(value: f64, decimals: usize) -> String {
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let negative = value < 0.0 && plain.contains(|c| matches!(c, '1'..='9'));
    let mut text = String::from(if negative { "−" } else { "" });
    for (i, digit) in whole.char_indices() {
        if i > 0 && whole.len() > 4 && (whole.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// `value` with `digits` significant digits, as a power of ten where it would be long otherwise.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    let scientific = format!("{:.*e}", digits.saturating_sub(1), value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return number(value, (digits as i32 - 1 - exponent).max(0) as usize);
    }
    format!("{}×{}", mantissa.replace('-', "−"), power_of_ten(exponent))
}

/// "10⁻³".
pub fn power_of_ten(exponent: i32) -> String {
    let digits = exponent.to_string();
    let raised = digits.chars().map(|c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    });
    format!("10{}", raised.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_and_what_does_not_ends_in_an_ellipsis() {
        assert_eq!(fit("word", 12.0, 100.0), "word");
        let short = fit(&"wörter ".repeat(50), 12.0, 100.0);
        assert!(short.ends_with('…') && width(&short, 12.0) <= 100.0 && width(&short, 12.0) > 80.0, "{short}");
        assert_eq!(fit("word", 12.0, 1.0), "…");
        assert_eq!(fit("日本語のとても長い名前", 10.0, 50.0), "日本語の…");
    }

    #[test]
    fn characters_that_xml_forbids_are_gone() {
        assert_eq!(fit("a\0b\u{8}c\nd\u{ffff}", 12.0, 500.0), "a b c d\u{fffd}");
    }

    #[test]
    fn two_lines_break_at_the_last_space_that_fits() {
        assert_eq!(fit_two_lines("text and audio", 12.0, 60.0), ["text and", "audio"]);
        assert_eq!(fit_two_lines("short", 12.0, 60.0), ["short"]);
        assert_eq!(fit_two_lines("unbreakableunbreakable", 12.0, 60.0).len(), 1);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(-0.25, 2), "−0.25");
        assert_eq!(number(-0.001, 2), "0.00");
        assert_eq!(number(1234567.0, 0), "1,234,567");
        assert_eq!(number(1234.5, 1), "1234.5");
        assert_eq!(number(100000.0, 0), "100,000");
        assert_eq!(significant(0.43123, 3), "0.431");
        assert_eq!(significant(-1.5e-7, 2), "−1.5×10⁻⁷");
        assert_eq!(significant(123.4, 2), "123");
        assert_eq!(significant(0.0, 3), "0");
        assert_eq!(power_of_ten(-40), "10⁻⁴⁰");
    }
}
