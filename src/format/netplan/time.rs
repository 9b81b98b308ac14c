//! Times as netplan passes them to systemd: a bare number in the key's own unit, else a time span of systemd.time(7).

use crate::diagnostic::{Code, Diagnostic};
use crate::format::tree::Node;
use crate::format::value;

/// Microseconds in a millisecond.
pub(super) const MILLISECOND: u64 = 1000;
/// Microseconds in a second.
pub(super) const SECOND: u64 = 1_000_000;

/// Units of systemd.time(7), in microseconds. A month is 30.44 days there, a year 365.25.
const UNITS: &[(&[&str], u64)] = &[
    (&["us", "usec", "µs", "μs"], 1),
    (&["ms", "msec"], MILLISECOND),
    (&["s", "sec", "second", "seconds"], SECOND),
    (&["m", "min", "minute", "minutes"], 60 * SECOND),
    (&["h", "hr", "hour", "hours"], 3600 * SECOND),
    (&["d", "day", "days"], 86_400 * SECOND),
    (&["w", "week", "weeks"], 604_800 * SECOND),
    (&["M", "month", "months"], 2_629_800 * SECOND),
    (&["y", "year", "years"], 31_557_600 * SECOND),
];

/// A time in microseconds. `bare` is the unit of a number without one, in microseconds.
pub(super) fn read(node: &Node, key: &str, bare: u64, diags: &mut Vec<Diagnostic>) -> Option<u64> {
    let text = value::text(node, key, diags)?;
    let time = if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<u64>().ok().and_then(|number| number.checked_mul(bare))
    } else {
        span(text)
    };
    if time.is_none() {
        let bare = if bare == SECOND { "seconds" } else { "milliseconds" };
        diags.push(
            value::bad(Code::BadUnit, node, key, "not a time").hint(format!(
                "write a number of {bare}, or a time with its unit such as 100ms, 1s, 1min 30s"
            )),
        );
    }
    time
}

/// `1s`, `100ms`, `1min 2s`, `1.5s`; a number without unit is seconds.
fn span(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(letters)?;
        sum = sum.checked_add(part(number, unit)?)?;
        rest = next.trim_start();
    }
    (!text.trim().is_empty()).then_some(sum)
}

/// One number with its unit, up to six digits after the decimal point.
fn part(number: &str, unit: &str) -> Option<u64> {
    let factor = match unit {
        "" => SECOND,
        unit => UNITS.iter().find(|(words, _)| words.contains(&unit)).map(|(_, factor)| *factor)?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut sum = whole.checked_mul(factor)?;
    let mut digit_is = factor;
    for digit in fraction.chars() {
        digit_is /= 10;
        sum = sum.checked_add(digit_is.checked_mul(digit.to_digit(10)?.into())?)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::value::tests::read as with;

    #[test]
    fn times_are_read_as_systemd_reads_them() {
        for (text, bare, expected) in [
            ("100", MILLISECOND, Some(100_000)),
            ("15", SECOND, Some(15 * SECOND)),
            ("0", SECOND, Some(0)),
            ("100ms", SECOND, Some(100_000)),
            ("1s", MILLISECOND, Some(SECOND)),
            ("1min 2s", MILLISECOND, Some(62 * SECOND)),
            ("1min2s", MILLISECOND, Some(62 * SECOND)),
            ("1.5", MILLISECOND, Some(1_500_000)),
            ("1.5 s", MILLISECOND, Some(1_500_000)),
            (".5s", SECOND, Some(500_000)),
            ("2 hr", SECOND, Some(7200 * SECOND)),
            ("1M", SECOND, Some(2_629_800 * SECOND)),
            ("1S", SECOND, None),
            ("fast", SECOND, None),
            ("-1", SECOND, None),
            ("1..2s", SECOND, None),
            ("ms", SECOND, None),
            ("99999999999999999999", SECOND, None),
            ("99999999999999999", SECOND, None),
            ("5ｓ", SECOND, None),
        ] {
            let quoted = format!("'{text}'");
            let (time, diags) = with(&quoted, |node, diags| read(node, "up-delay", bare, diags));
            assert_eq!(time, expected, "{text}");
            assert_eq!(diags.is_empty(), time.is_some(), "{text}");
        }
    }
}
