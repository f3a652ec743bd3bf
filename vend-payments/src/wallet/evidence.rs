//! From what a wallet says to what may be sold: [`PaymentClaim`] to [`PaidEvidence`].

use core::fmt;
use std::prelude::v1::*;

use vend_protocol::{Money, OrderId};

use super::ids::{AccountId, AttemptId, MerchantId};

/// What a wallet's *verified* notification or answer says about one payment.
///
/// It exists only after a signature was checked, and it is still only a claim: whether it pays one of
/// our orders is what [`PaidEvidence::check`] decides.
///
/// A claim cannot be written down by hand:
/// ```compile_fail,E0451
/// # use vend_payments::wallet::{AccountId, AttemptId, MerchantId, PaymentClaim};
/// # use vend_protocol::{Currency, Money};
/// let claim = PaymentClaim {
///     account: AccountId::new("main").unwrap(),
///     merchant: MerchantId::new("1900000001").unwrap(),
///     attempt: AttemptId::new("A00001").unwrap(),
///     amount: Money::new(350, Currency::CNY),
///     transaction: String::from("42"),
///     paid_at_ms: 0,
/// };
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a claim is real money: match it with an attempt or keep it as an orphan"]
pub struct PaymentClaim {
    pub(super) account: AccountId,
    pub(super) merchant: MerchantId,
    pub(super) attempt: AttemptId,
    pub(super) amount: Money,
    pub(super) transaction: String,
    pub(super) paid_at_ms: i64,
}

impl PaymentClaim {
    /// A claim made by a wallet that lives outside this crate.
    ///
    /// Dangerous: from here on nobody asks again whether a signature was checked. Call it only in an own
    /// [`Wallet`](super::Wallet), after the wallet's signature over these very fields verified.
    ///
    /// `amount` is what the order costs, not what the payer gave after coupons; `paid_at_ms` is the
    /// wallet's time of payment in Unix milliseconds.
    pub fn dangerous_verified(
        account: AccountId,
        merchant: MerchantId,
        attempt: AttemptId,
        amount: Money,
        transaction: impl Into<String>,
        paid_at_ms: i64,
    ) -> Self {
        Self { account, merchant, attempt, amount, transaction: transaction.into(), paid_at_ms }
    }

    /// The account whose key verified.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The merchant the wallet names.
    pub fn merchant(&self) -> &MerchantId {
        &self.merchant
    }

    /// The attempt that was paid.
    pub fn attempt(&self) -> &AttemptId {
        &self.attempt
    }

    /// The amount of the order, before coupons.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// The wallet's own number of the payment.
    pub fn transaction(&self) -> &str {
        &self.transaction
    }

    /// When it was paid, in Unix milliseconds.
    pub fn paid_at_ms(&self) -> i64 {
        self.paid_at_ms
    }
}

/// What our own records say must be paid, read in the transaction that records the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedPayment {
    /// The order that the attempt belongs to. The authorization minted from the evidence is for it.
    pub order: OrderId,
    /// The wallet account the attempt was made with.
    pub account: AccountId,
    /// That account's merchant.
    pub merchant: MerchantId,
    /// The attempt.
    pub attempt: AttemptId,
    /// What the attempt asks for.
    pub amount: Money,
}

/// The field in which a claim and an attempt differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// Another attempt.
    Attempt,
    /// Verified with the key of another account.
    Account,
    /// Another merchant.
    Merchant,
    /// Another currency.
    Currency,
    /// Another amount, higher or lower.
    Amount,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempt => "attempt",
            Self::Account => "account",
            Self::Merchant => "merchant",
            Self::Currency => "currency",
            Self::Amount => "amount",
        })
    }
}

/// A claim that does not pay this attempt. It is still real money, so the claim is handed back: keep
/// it as an orphan, raise an alarm, refund it.
#[derive(Debug, thiserror::Error)]
#[error("the payment differs from the attempt in its {field}")]
pub struct ClaimMismatch {
    /// Where they differ first.
    pub field: Mismatch,
    claim: Box<PaymentClaim>,
}

impl ClaimMismatch {
    /// The claim that did not fit.
    pub fn claim(&self) -> &PaymentClaim {
        &self.claim
    }

    /// The claim that did not fit, to be kept.
    pub fn into_claim(self) -> PaymentClaim {
        *self.claim
    }
}

/// Proof that one attempt was paid: the only thing an authorization for paid goods is minted from.
///
/// The mint takes it by value, and it cannot be copied, so one proof makes one authorization:
/// ```compile_fail,E0599
/// # use vend_payments::wallet::PaidEvidence;
/// fn twice(evidence: PaidEvidence) -> (PaidEvidence, PaidEvidence) {
///     (evidence.clone(), evidence)
/// }
/// ```
/// [`PaidEvidence::check`] (and opening what it sealed) is the only way to one:
/// ```compile_fail,E0451
/// # use vend_payments::wallet::{ExpectedPayment, PaidEvidence};
/// fn forge(expected: ExpectedPayment) -> PaidEvidence {
///     PaidEvidence { expected, transaction: String::new(), paid_at_ms: 0 }
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the customer has paid: mint an authorization, seal it, or refund"]
pub struct PaidEvidence {
    pub(super) expected: ExpectedPayment,
    pub(super) transaction: String,
    pub(super) paid_at_ms: i64,
}

impl PaidEvidence {
    /// Compares every field of a claim with what the attempt expects.
    ///
    /// ```
    /// use vend_payments::wallet::{AccountId, AttemptId, ExpectedPayment, MerchantId, Mismatch};
    /// use vend_payments::wallet::{PaidEvidence, PaymentClaim};
    /// use vend_protocol::{Currency, Money, OrderId};
    /// let expected = ExpectedPayment {
    ///     order: OrderId::new(7)?,
    ///     account: AccountId::new("main")?,
    ///     merchant: MerchantId::new("1900000001")?,
    ///     attempt: AttemptId::new("A00001")?,
    ///     amount: Money::new(350, Currency::CNY),
    /// };
    /// # let (account, merchant, attempt) =
    /// #     (expected.account.clone(), expected.merchant.clone(), expected.attempt.clone());
    /// let cheap = Money::new(1, Currency::CNY);
    /// let claim = PaymentClaim::dangerous_verified(account, merchant, attempt, cheap, "42", 0);
    /// assert_eq!(PaidEvidence::check(&expected, claim).unwrap_err().field, Mismatch::Amount);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClaimMismatch`] names the first field that differs and hands the claim back.
    pub fn check(expected: &ExpectedPayment, claim: PaymentClaim) -> Result<Self, ClaimMismatch> {
        let field = if claim.attempt != expected.attempt {
            Mismatch::Attempt
        } else if claim.account != expected.account {
            Mismatch::Account
        } else if claim.merchant != expected.merchant {
            Mismatch::Merchant
        } else if claim.amount.currency() != expected.amount.currency() {
            Mismatch::Currency
        } else if claim.amount.minor() != expected.amount.minor() {
            Mismatch::Amount
        } else {
            return Ok(Self {
                expected: expected.clone(),
                transaction: claim.transaction,
                paid_at_ms: claim.paid_at_ms,
            });
        };
        Err(ClaimMismatch { field, claim: Box::new(claim) })
    }

    /// The order that was paid.
    pub fn order(&self) -> OrderId {
        self.expected.order
    }

    /// The account that was paid into.
    pub fn account(&self) -> &AccountId {
        &self.expected.account
    }

    /// The merchant that was paid.
    pub fn merchant(&self) -> &MerchantId {
        &self.expected.merchant
    }

    /// The attempt that was paid.
    pub fn attempt(&self) -> &AttemptId {
        &self.expected.attempt
    }

    /// What was paid.
    pub fn amount(&self) -> Money {
        self.expected.amount
    }

    /// The wallet's own number of the payment.
    pub fn transaction(&self) -> &str {
        &self.transaction
    }

    /// When it was paid, in Unix milliseconds.
    pub fn paid_at_ms(&self) -> i64 {
        self.paid_at_ms
    }
}

#[cfg(test)]
mod tests {
    use vend_protocol::Currency;

    use super::*;

    pub(in crate::wallet) fn expected() -> ExpectedPayment {
        ExpectedPayment {
            order: OrderId::new(7).unwrap(),
            account: AccountId::new("main").unwrap(),
            merchant: MerchantId::new("1900000001").unwrap(),
            attempt: AttemptId::new("A00001").unwrap(),
            amount: Money::new(350, Currency::CNY),
        }
    }

    fn claim(change: impl FnOnce(&mut PaymentClaim)) -> PaymentClaim {
        let e = expected();
        let mut claim = PaymentClaim::dangerous_verified(
            e.account,
            e.merchant,
            e.attempt,
            e.amount,
            "42",
            1_700_000_000_000,
        );
        change(&mut claim);
        claim
    }

    #[test]
    fn evidence_compares_every_field() {
        let mismatch = |change: fn(&mut PaymentClaim)| {
            let error = PaidEvidence::check(&expected(), claim(change)).unwrap_err();
            assert_eq!(error.claim().transaction(), "42", "the claim is handed back");
            error.field
        };
        assert_eq!(mismatch(|c| c.attempt = AttemptId::new("A00002").unwrap()), Mismatch::Attempt);
        assert_eq!(mismatch(|c| c.account = AccountId::new("other").unwrap()), Mismatch::Account);
        assert_eq!(mismatch(|c| c.merchant = MerchantId::new("1900000002").unwrap()), Mismatch::Merchant);
        assert_eq!(mismatch(|c| c.amount = Money::new(350, Currency::USD)), Mismatch::Currency);
        assert_eq!(mismatch(|c| c.amount = Money::new(349, Currency::CNY)), Mismatch::Amount);
        assert_eq!(mismatch(|c| c.amount = Money::new(351, Currency::CNY)), Mismatch::Amount);
        let evidence = PaidEvidence::check(&expected(), claim(|_| ())).unwrap();
        assert_eq!((evidence.order().number(), evidence.paid_at_ms()), (7, 1_700_000_000_000));
    }
}
