//! What a customer does with a code: scan it and pay it.

use std::format;
use std::prelude::v1::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::book::{Event, Key, Line, Order, Provider};
use super::{Inner, deliver, draw, now_ms};

/// The payment password of every customer of the sandbox.
pub const PAYMENT_PASSWORD: &str = "123456";

/// A payment made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Paid {
    /// `wechat` or `alipay`.
    pub wallet: String,
    /// The attempt's id.
    pub out_trade_no: String,
    /// What the order cost, in fen.
    pub amount_minor: u32,
    /// When, in Unix milliseconds.
    pub paid_ms: i64,
}

/// Why a code is not paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayError {
    /// No wallet made it, or a newer one replaced it.
    #[error("this code is not known")]
    UnknownCode,
    /// Its time is over.
    #[error("this code has expired")]
    Expired,
    /// The merchant closed the order.
    #[error("this order was closed")]
    Closed,
    /// It is paid already.
    #[error("this order is already paid")]
    AlreadyPaid,
    /// Not the customer's password.
    #[error("the password is wrong")]
    WrongPassword,
    /// The ledger could not be written: nothing happened, or it will be found after a restart.
    #[error("the wallet is out of order")]
    OutOfOrder,
}

impl PayError {
    /// A word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownCode => "unknown_code",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::AlreadyPaid => "already_paid",
            Self::WrongPassword => "wrong_password",
            Self::OutOfOrder => "out_of_order",
        }
    }
}

/// The order of a code, as long as it can be paid.
pub(super) fn payable(order: &Order, now: i64) -> Result<(), PayError> {
    if order.paid.is_some() {
        Err(PayError::AlreadyPaid)
    } else if order.closed_ms.is_some() {
        Err(PayError::Closed)
    } else if order.is_expired(now) {
        Err(PayError::Expired)
    } else {
        Ok(())
    }
}

/// Looks a code up as a scan does. With it an order at Alipay becomes a trade.
pub(super) async fn scan(inner: &Arc<Inner>, code: &str) -> Result<Order, PayError> {
    let found = inner.store.book().by_code(code).cloned();
    let order = found.ok_or(PayError::UnknownCode)?;
    if order.scanned || payable(&order, now_ms()).is_err() {
        return Ok(order);
    }
    let inner = Arc::clone(inner);
    // A task of its own: the phone going away must not leave a written line out of the book.
    let task = tokio::spawn(async move {
        let _gate = inner.store.gate(&order.key).await;
        let present = inner.store.book().get(&order.key).cloned().ok_or(PayError::UnknownCode)?;
        if present.scanned || payable(&present, now_ms()).is_err() {
            return Ok(present);
        }
        let line = line(&present.key, now_ms(), Event::Scanned);
        inner.store.commit(Vec::from([line])).await.map_err(|_| PayError::OutOfOrder)?;
        inner.store.book().get(&order.key).cloned().ok_or(PayError::UnknownCode)
    });
    task.await.unwrap_or(Err(PayError::OutOfOrder))
}

/// Pays a code. `coupon_minor` is what a coupon of the wallet pays for the customer.
pub(super) async fn pay(
    inner: &Arc<Inner>,
    code: &str,
    password: &str,
    coupon_minor: u32,
) -> Result<Paid, PayError> {
    let (inner, code) = (Arc::clone(inner), String::from(code));
    let wrong = password != PAYMENT_PASSWORD;
    let task = tokio::spawn(async move {
        let key = inner.store.book().by_code(&code).map(|order| order.key.clone());
        let key = key.ok_or(PayError::UnknownCode)?;
        let _gate = inner.store.gate(&key).await;
        let found = inner.store.book().by_code(&code).cloned();
        let order = found.ok_or(PayError::UnknownCode)?;
        let now = now_ms();
        payable(&order, now)?;
        if wrong {
            return Err(PayError::WrongPassword);
        }
        let number = inner.payments.fetch_add(1, Ordering::Relaxed);
        let drawn = |kind, permille| draw::fault(inner.config.seed, number, kind, permille);
        let event = Event::Paid {
            transaction: transaction(key.0, now).ok_or(PayError::OutOfOrder)?,
            payer_minor: order.new.amount_minor.saturating_sub(coupon_minor),
            double: drawn("double", inner.config.faults.double_permille),
            late_ms: drawn("late", inner.config.faults.late_permille).then_some(inner.config.faults.late_ms),
        };
        inner.store.commit(Vec::from([line(&key, now, event)])).await.map_err(|_| PayError::OutOfOrder)?;
        deliver::spawn(&inner, key.clone(), String::from("payment"));
        Ok(Paid {
            wallet: String::from(key.0.as_str()),
            out_trade_no: key.1,
            amount_minor: order.new.amount_minor,
            paid_ms: now,
        })
    });
    task.await.unwrap_or(Err(PayError::OutOfOrder))
}

pub(super) fn line(key: &Key, at_ms: i64, event: Event) -> Line {
    Line { at_ms, wallet: key.0, out_trade_no: key.1.clone(), event }
}

/// A number in the wallet's own form: 28 digits each, WeChat's begin with 42000, Alipay's with the date.
fn transaction(provider: Provider, now: i64) -> Option<String> {
    let day: String =
        crate::wallet::time::plain(now)?.chars().take(10).filter(char::is_ascii_digit).collect();
    Some(match provider {
        Provider::WeChat => {
            format!("42000{}{day}{}", draw::text(draw::DIGITS, 5)?, draw::text(draw::DIGITS, 10)?)
        }
        Provider::Alipay => format!("{day}{}", draw::text(draw::DIGITS, 20)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::book::{Book, NewOrder};

    #[test]
    fn a_code_can_be_paid_until_it_expires() {
        let key = (Provider::Alipay, String::from("A00001"));
        let new = |expires_ms| NewOrder {
            amount_minor: 350,
            description: String::from("Tea"),
            notify_url: String::new(),
            expires_ms,
            code: String::from("c"),
            fingerprint: String::new(),
        };
        let order = |expires_ms| {
            let mut book = Book::default();
            assert!(book.apply(line(&key, 1000, Event::Created(new(expires_ms)))));
            book.get(&key).cloned().unwrap()
        };
        assert_eq!(payable(&order(61_000), 60_999), Ok(()));
        assert_eq!(payable(&order(61_000), 61_000), Err(PayError::Expired));
        // A code dies after two hours, whatever the order says.
        assert_eq!(payable(&order(i64::MAX), 7_200_999), Ok(()));
        assert_eq!(payable(&order(i64::MAX), 7_201_000), Err(PayError::Expired));
        let closed = Order { closed_ms: Some(1), ..order(61_000) };
        assert_eq!(payable(&closed, 2000), Err(PayError::Closed));
    }
}
