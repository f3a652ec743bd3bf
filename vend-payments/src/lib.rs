#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(feature = "wallet")]
extern crate std;

#[cfg(feature = "sandbox")]
pub mod sandbox;
#[cfg(feature = "wallet")]
pub mod wallet;

pub mod authorization;
pub mod enrolment;
pub mod firmware;
pub mod grant;
pub mod keys;
#[cfg(feature = "wallet")]
pub mod mint;
pub mod receipt;
pub mod session;
pub mod signed;

#[cfg(test)]
mod test_bodies {
    use vend_protocol::{AuthSeq, EnrolmentId, OrderId, signed::VoidBody};

    pub(crate) fn void() -> VoidBody {
        VoidBody {
            enrolment: EnrolmentId([3; 16]),
            seq: AuthSeq::new(9).unwrap(),
            order: OrderId::new(4).unwrap(),
        }
    }
}
