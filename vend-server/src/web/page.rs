//! Small things that templates print.

use std::fmt;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use vend_protocol::{Currency, Money};

use super::problem::Problem;

/// Renders a template as a page.
pub(super) fn page(template: &impl Template) -> Result<Response, Problem> {
    Ok(Html(template.render()?).into_response())
}

/// A point in time as people here read it: UTC, with the date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    /// As HTML, for people and programs.
    pub(super) fn html(self) -> String {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => format!(r#"<time datetime="{}">{self}</time>"#, time.strftime("%Y-%m-%dT%H:%M:%SZ")),
            // A row that no clock of ours has written.
            Err(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{}", time.strftime("%Y-%m-%d %H:%M:%S UTC")),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A sum of many amounts, which may be past what one [`Money`] holds. It prints like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) minor: i64,
    pub(super) currency: Currency,
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(minor) = u32::try_from(self.minor) {
            return Money::new(minor, self.currency).fmt(f);
        }
        let sign = if self.minor < 0 { "-" } else { "" };
        let (minor, width) = (self.minor.unsigned_abs(), usize::from(self.currency.decimals()));
        if width == 0 {
            return write!(f, "{sign}{minor} {}", self.currency);
        }
        let unit = 10u64.saturating_pow(u32::from(self.currency.decimals()));
        write!(f, "{sign}{}.{:0width$} {}", minor / unit, minor % unit, self.currency)
    }
}

/// What a provider is called by customers.
pub(super) fn wallet_name(provider: &str) -> &str {
    match provider {
        "wechat" => "WeChat Pay",
        "alipay" => "Alipay",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_print_like_money_and_go_on_beyond() {
        let total = |minor, currency| Total { minor, currency }.to_string();
        assert_eq!(total(350, Currency::CNY), "3.50 CNY");
        assert_eq!(total(4_294_967_296, Currency::CNY), "42949672.96 CNY");
        assert_eq!(total(4_294_967_296, Currency::JPY), "4294967296 JPY");
        assert_eq!(total(-5, Currency::CNY), "-0.05 CNY");
    }

    #[test]
    fn moments_say_their_zone() {
        assert_eq!(Moment(1_767_323_045_999).to_string(), "2026-01-02 03:04:05 UTC");
        let html = Moment(1_767_323_045_000).html();
        assert_eq!(html, r#"<time datetime="2026-01-02T03:04:05Z">2026-01-02 03:04:05 UTC</time>"#);
        assert_eq!(Moment(i64::MAX).to_string(), format!("{} ms", i64::MAX));
    }
}
