//! The customer's phone: what a wallet shows after a scan. Plain HTML, no scripts, nothing fetched.

use std::format;
use std::prelude::v1::*;
use std::string::ToString;

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use vend_protocol::{Currency, Money};

use super::book::{Order, Provider};
use super::customer::{self, PayError, payable};
use super::{Sandbox, http_io, now_ms};

const STYLE: &str = "\
*{box-sizing:border-box}\
body{margin:0;background:#f2f3f5;color:#1c1d1f;font:16px/1.5 system-ui,-apple-system,\"Noto Sans\",sans-serif}\
header{color:#fff;background:var(--tint);padding:1.1rem 1.25rem;font-weight:600}\
header small{display:block;font-weight:400;opacity:.85}\
main{max-width:26rem;margin:0 auto;padding:1.25rem}\
section{background:#fff;border-radius:14px;padding:1.5rem 1.25rem;box-shadow:0 1px 3px #0001;text-align:center}\
h1{font-size:1.15rem;margin:0 0 .25rem}\
p{margin:.25rem 0;color:#5a5d63;overflow-wrap:anywhere}\
.amount{font-size:2.6rem;font-weight:700;color:#1c1d1f;margin:.5rem 0 1rem;font-variant-numeric:tabular-nums}\
.mark{font-size:3rem;line-height:1;color:var(--tint)}\
.wrong{color:#b3261e;font-weight:600}\
label{display:block;text-align:left;font-size:.9rem;color:#5a5d63;margin:.5rem 0 .25rem}\
input{width:100%;padding:.8rem;border:1px solid #c4c7cc;border-radius:10px;font:inherit}\
input.pin{font-size:1.6rem;letter-spacing:.6rem;text-align:center}\
button{width:100%;margin-top:1rem;padding:.9rem;border:0;border-radius:10px;background:var(--tint);color:#fff;font:inherit;font-weight:600}\
footer{text-align:center;font-size:.8rem;color:#7a7d83;padding:1rem}";

#[derive(Deserialize)]
pub(super) struct Shown {
    code: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Entered {
    code: String,
    password: String,
}

pub(super) async fn show(State(sandbox): State<Sandbox>, Query(shown): Query<Shown>) -> Response {
    let Some(code) = shown.code.filter(|code| !code.trim().is_empty()) else {
        return page(StatusCode::OK, None, "Scan", &ask_for_code());
    };
    present(&sandbox, code.trim(), None).await
}

pub(super) async fn pay(State(sandbox): State<Sandbox>, Form(entered): Form<Entered>) -> Response {
    let code = entered.code.trim();
    match customer::pay(&sandbox.inner, code, entered.password.trim(), 0).await {
        Ok(paid) => {
            let provider = provider_of(code);
            let body = format!(
                "<div class=\"mark\">&#10003;</div><h1>Payment successful</h1><div class=\"amount\">&#165;{}</div>\
                 <p>Please take your goods from the machine.</p><p>{}</p>",
                yuan(paid.amount_minor),
                escape(&paid.out_trade_no)
            );
            page(StatusCode::OK, provider, "Paid", &body)
        }
        Err(error) => present(&sandbox, code, Some(error)).await,
    }
}

/// The page of a code in whatever state it is, with what went wrong just now.
async fn present(sandbox: &Sandbox, code: &str, wrong: Option<PayError>) -> Response {
    let order = match customer::scan(&sandbox.inner, code).await {
        Ok(order) => order,
        Err(error) => return end(provider_of(code), error),
    };
    match (payable(&order, now_ms()), wrong) {
        (Err(error), _) | (Ok(()), Some(error @ PayError::OutOfOrder)) => end(Some(order.key.0), error),
        (Ok(()), wrong) => {
            let status = wrong.map_or(StatusCode::OK, http_io::pay_status);
            page(status, Some(order.key.0), "Pay", &ask_for_password(sandbox, &order, wrong))
        }
    }
}

fn ask_for_password(sandbox: &Sandbox, order: &Order, wrong: Option<PayError>) -> String {
    let wrong = wrong
        .map_or(String::new(), |error| format!("<p class=\"wrong\" role=\"alert\">{}</p>", sentence(error)));
    format!(
        "<p>{shop}</p><h1>{description}</h1><div class=\"amount\">&#165;{amount}</div>{wrong}\
         <form method=\"post\" action=\"/phone/pay\"><input type=\"hidden\" name=\"code\" value=\"{code}\">\
         <label for=\"password\">6-digit payment password</label>\
         <input class=\"pin\" id=\"password\" name=\"password\" type=\"password\" inputmode=\"numeric\" \
         pattern=\"[0-9]{{6}}\" maxlength=\"6\" autocomplete=\"off\" required autofocus>\
         <button type=\"submit\">Pay &#165;{amount}</button></form>",
        shop = escape(&sandbox.inner.config.keys.names().shop()),
        description = escape(&order.new.description),
        amount = yuan(order.new.amount_minor),
        code = escape(&order.new.code),
    )
}

fn ask_for_code() -> String {
    String::from(
        "<h1>Scan a code</h1><p>Paste the text of a payment code.</p><form method=\"get\" action=\"/phone\">\
         <label for=\"code\">Code</label><input id=\"code\" name=\"code\" \
         placeholder=\"weixin://wxpay/bizpayurl?pr=...\" autocomplete=\"off\" required autofocus>\
         <button type=\"submit\">Open</button></form>",
    )
}

fn end(provider: Option<Provider>, error: PayError) -> Response {
    let body =
        format!("<div class=\"mark\">!</div><h1>{}</h1><p>No money was taken just now.</p>", sentence(error));
    page(http_io::pay_status(error), provider, "Cannot be paid", &body)
}

fn sentence(error: PayError) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).chain(['.']).collect())
}

fn provider_of(code: &str) -> Option<Provider> {
    if code.starts_with("weixin:") {
        Some(Provider::WeChat)
    } else if code.starts_with("https://qr.alipay.com/") {
        Some(Provider::Alipay)
    } else {
        None
    }
}

fn page(status: StatusCode, provider: Option<Provider>, title: &str, body: &str) -> Response {
    let (tint, name) = match provider {
        Some(Provider::WeChat) => ("#07883f", "WeChat Pay"),
        Some(Provider::Alipay) => ("#1266d4", "Alipay"),
        None => ("#33373d", "Phone"),
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - {name} sandbox</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <style>:root{{--tint:{tint}}}{STYLE}</style></head><body><header>{name}<small>Sandbox: no real money</small>\
         </header><main><section>{body}</section></main><footer>The password of every customer here is 123456.</footer>\
         </body></html>"
    );
    (
        status,
        [("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")],
        Html(html),
    )
        .into_response()
}

fn yuan(minor: u32) -> String {
    Money::new(minor, Currency::CNY).decimal().to_string()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::phone_path;

    #[test]
    fn what_others_wrote_is_escaped() {
        assert_eq!(escape("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
        assert!(phone_path("weixin://wxpay/bizpayurl?pr=a&b").starts_with("/phone?code=weixin%3A%2F%2F"));
    }
}
