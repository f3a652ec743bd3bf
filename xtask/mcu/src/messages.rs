//! The messages, one line each list: a new message is a name here and nowhere else.
//!
//! Each macro calls another one with its list, so that an image says once what it does with every message.

/// Machine link, server to machine.
#[macro_export]
macro_rules! downlink {
    ($each:ident) => {
        $crate::list!($each, machine_link,
            Accepted Rejected Prepare Authorization Void Acknowledgement PlanPart Unsupported ClaimGranted
        )
    };
}

/// Machine link, machine to server.
#[macro_export]
macro_rules! uplink {
    ($each:ident) => {
        $crate::list!($each, machine_link,
            Hello Ready Taken Receipt Settled Busy PlanApplied LateDrop Unsupported Claim
        )
    };
}

/// Control link, main board to control board.
#[macro_export]
macro_rules! requests {
    ($each:ident) => {
        $crate::list!($each, control_link, IdentifyRequest OpenRequest VendRequest QueryRequest ForgetRequest)
    };
}

/// Control link, control board to main board.
#[macro_export]
macro_rules! answers {
    ($each:ident) => {
        $crate::list!($each, control_link, Identity OpenAnswer VendAnswer QueryAnswer ForgetAnswer)
    };
}

/// Signed bodies that the server sends.
#[macro_export]
macro_rules! downlink_bodies {
    ($each:ident) => {
        $crate::list!($each, signed, AcceptedBody AuthorizationBody VoidBody KeyListBody EnrolmentBody)
    };
}

/// Signed bodies that a machine sends.
#[macro_export]
macro_rules! uplink_bodies {
    ($each:ident) => {
        $crate::list!($each, signed, HelloBody ReceiptBody ClaimBody)
    };
}

/// Calls `$each` with the whole path of every name.
#[macro_export]
macro_rules! list {
    ($each:ident, $module:ident, $($name:ident)*) => { $($each!(vend_protocol::$module::$name);)* };
}
