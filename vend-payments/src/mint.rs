//! The mint: the one place where a payment becomes permission to vend.

use vend_protocol::{
    AuthSeq, EnrolmentId, List, OrderId, PlanVersion,
    codec::CodecError,
    signed::{AuthorizationBody, AuthorizedLine, MAX_LINES, Signed},
};

use crate::{authorization::total, signed::Signer, wallet::PaidEvidence};

/// What an authorization will permit, besides what the evidence says.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The order, which must be the evidence's.
    pub order: OrderId,
    /// The enrolment that may vend it.
    pub enrolment: EnrolmentId,
    /// Its sequence there.
    pub seq: AuthSeq,
    /// The planogram the lines were picked from.
    pub plan: PlanVersion,
    /// No line starts after this, in milliseconds since 1970, UTC.
    pub deadline_ms: u64,
    /// The lines that were paid for.
    pub lines: List<AuthorizedLine, MAX_LINES>,
}

/// Why evidence and terms do not make an authorization.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The evidence is for another order.
    #[error("the payment is for another order")]
    Order,
    /// The lines do not cost what was paid, or there are none.
    #[error("the lines do not cost what was paid")]
    Amount,
    /// It cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Turns evidence of a payment into a signed authorization. The evidence is used up.
///
/// The same evidence, opened again from its sealed row, and the same terms give the same bytes: a server that died before it
/// stored them signs nothing new.
///
/// # Errors
/// [`MintError`]; the payment then has to be refunded.
pub fn mint(signer: &Signer, evidence: PaidEvidence, terms: &Terms) -> Result<Signed, MintError> {
    let paid = evidence.amount();
    if evidence.order() != terms.order {
        return Err(MintError::Order);
    }
    let body = AuthorizationBody {
        enrolment: terms.enrolment,
        seq: terms.seq,
        order: terms.order,
        plan: terms.plan,
        deadline_ms: terms.deadline_ms,
        currency: paid.currency(),
        lines: terms.lines,
    };
    if body.lines.is_empty() || total(&body) != Some(paid) {
        return Err(MintError::Amount);
    }
    let signed = signer.sign(&body)?;
    drop(evidence);
    Ok(signed)
}

#[cfg(test)]
mod tests {
    use vend_protocol::{Currency, Money, ProductId, SlotId};

    use super::*;
    use crate::wallet::{AccountId, AttemptId, ExpectedPayment, MerchantId, PaymentClaim};

    fn evidence(minor: u32) -> PaidEvidence {
        let expected = ExpectedPayment {
            order: OrderId::new(7).unwrap(),
            account: AccountId::new("main").unwrap(),
            merchant: MerchantId::new("1900000001").unwrap(),
            attempt: AttemptId::new("A00001").unwrap(),
            amount: Money::new(minor, Currency::CNY),
        };
        let claim = PaymentClaim::dangerous_verified(
            expected.account.clone(),
            expected.merchant.clone(),
            expected.attempt.clone(),
            expected.amount,
            "42",
            0,
        );
        PaidEvidence::check(&expected, claim).unwrap()
    }

    fn terms(order: u64, prices: &[u32]) -> Terms {
        let lines = prices.iter().map(|price_minor| AuthorizedLine {
            slot: SlotId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            price_minor: *price_minor,
        });
        Terms {
            order: OrderId::new(order).unwrap(),
            enrolment: EnrolmentId([1; 16]),
            seq: AuthSeq::new(1).unwrap(),
            plan: PlanVersion::new(1).unwrap(),
            deadline_ms: 1,
            lines: List::try_from_iter(lines).unwrap(),
        }
    }

    #[test]
    fn only_what_was_paid_is_permitted() {
        let signer = Signer::from_seed(&[1; 32]);
        assert!(mint(&signer, evidence(500), &terms(7, &[200, 300])).is_ok());
        assert!(matches!(mint(&signer, evidence(500), &terms(8, &[500])), Err(MintError::Order)));
        for prices in [&[499][..], &[501], &[], &[u32::MAX, 501]] {
            assert!(
                matches!(mint(&signer, evidence(500), &terms(7, prices)), Err(MintError::Amount)),
                "{prices:?}"
            );
        }
    }

    #[test]
    fn the_same_evidence_and_terms_give_the_same_bytes() {
        let signer = Signer::from_seed(&[1; 32]);
        let [first, second] = [(); 2].map(|()| mint(&signer, evidence(5), &terms(7, &[5])).unwrap());
        assert_eq!(first, second);
    }
}
