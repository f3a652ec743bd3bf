//! QR codes as inline SVG.

use std::fmt::Write;

use qrcodegen_no_heap::{QrCode, QrCodeEcc, Version};

/// The largest code drawn: 1,273 bytes at the error correction used. Wallets' codes and our addresses have under 200.
const LARGEST: Version = Version::new(30);
/// White modules around a code, as the standard wants.
const QUIET: i32 = 4;

/// A QR code of a text as it is, black on white whatever the page's colours are, or nothing when it is too long. It has no
/// words: the page says beside it what it is for, and gives `label` to those who cannot see it.
pub(super) fn svg(text: &str, label: &str) -> String {
    let mut scratch = vec![0; LARGEST.buffer_len()];
    let mut out = vec![0; LARGEST.buffer_len()];
    let code = QrCode::encode_text(
        text,
        &mut scratch,
        &mut out,
        QrCodeEcc::Medium,
        Version::MIN,
        LARGEST,
        None,
        false,
    );
    let Ok(code) = code else { return String::new() };
    let side = code.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size()).take_while(|&x| code.get_module(x, y)).count();
            let run = i32::try_from(run).unwrap_or(1);
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    let label = label.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!(
        r##"<svg class="qr" viewBox="0 0 {side} {side}" role="img" aria-label="{label}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{side}v{side}h-{side}z"/><path d="{path}"/></svg>"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_finders_and_its_quiet_zone() {
        let svg = svg("weixin://wxpay/bizpayurl?pr=abc", "a \"code\"");
        // Version 3 has 29 modules a side, and 4 white ones around.
        assert!(svg.contains(r#"viewBox="0 0 37 37""#), "{svg}");
        assert!(svg.contains("M4 4h7v1h-7z"), "the first finder's upper edge");
        assert!(svg.contains("a &quot;code&quot;"));
        assert_eq!(super::svg(&"x".repeat(5_000), "too long"), "");
    }
}
