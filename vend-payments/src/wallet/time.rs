//! The times of both wallets: China Standard Time, written two ways. Pure functions of their argument.

#[cfg(feature = "wechat")]
use std::format;
use std::prelude::v1::*;

#[cfg(feature = "alipay")]
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// UTC+8, all year, since 1991.
fn china() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

fn civil(unix_ms: i64) -> Option<DateTime> {
    Timestamp::from_millisecond(unix_ms).ok().map(|time| time.to_zoned(china()).datetime())
}

/// `2018-06-08T10:34:56+08:00`, for WeChat; whole seconds, rounded down.
#[cfg(feature = "wechat")]
pub(crate) fn rfc3339(unix_ms: i64) -> Option<String> {
    civil(unix_ms).map(|time| format!("{}+08:00", time.strftime("%Y-%m-%dT%H:%M:%S")))
}

/// Reads an RFC 3339 time with any offset, into Unix milliseconds.
#[cfg(feature = "wechat")]
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// `2018-06-08 10:34:56`, for Alipay; whole seconds, rounded down.
#[cfg(feature = "alipay")]
pub(crate) fn plain(unix_ms: i64) -> Option<String> {
    civil(unix_ms).map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Reads `2018-06-08 10:34:56` (a fraction is allowed), into Unix milliseconds.
#[cfg(feature = "alipay")]
pub(crate) fn parse_plain(text: &str) -> Option<i64> {
    // The date and the time are separated by one space: nothing else that the parser would take.
    if text.len() < 19 || text.as_bytes()[10] != b' ' {
        return None;
    }
    let time = text.parse::<DateTime>().ok()?;
    let time = time.checked_sub(SignedDuration::from_hours(8)).ok()?;
    TimeZone::UTC.to_timestamp(time).ok().map(Timestamp::as_millisecond)
}

#[cfg(all(test, feature = "wechat", feature = "alipay"))]
mod tests {
    use super::*;

    #[test]
    fn times_print_in_china_and_parse_back() {
        let ms = 1_528_425_296_000;
        assert_eq!(rfc3339(ms).as_deref(), Some("2018-06-08T10:34:56+08:00"));
        assert_eq!(plain(ms).as_deref(), Some("2018-06-08 10:34:56"));
        assert_eq!(parse_rfc3339("2018-06-08T10:34:56+08:00"), Some(ms));
        assert_eq!(parse_rfc3339("2018-06-08T02:34:56Z"), Some(ms));
        assert_eq!(parse_plain("2018-06-08 10:34:56"), Some(ms));
        assert_eq!(rfc3339(i64::MIN), None);
        for text in ["", "2018-06-08", "2018-06-08T10:34:56", "支付支付支付支付", "0000"] {
            assert_eq!(parse_plain(text), None, "{text}");
        }
    }
}
