//! The messages, one line each list: a new message is a name here and nowhere else.
//!
//! Each macro calls another one with its list, so that an image says once what it does with every message.

/// Machine link, server to machine.
#[macro_export]
macro_rules! downlink {
    ($each:ident) => {
        $crate::list!($each, machine_link,
            Accepted Pending Rejected Unsupported Clock KeyList ClaimGranted
            Prepare Authorization Void Acknowledgement
            Quote ShowCode HideCode
            PlanPart StockSet DeviceConfig LaneConfigPart
            Noted Command UpdateOffer Chunk
        )
    };
}

/// Machine link, machine to server.
#[macro_export]
macro_rules! uplink {
    ($each:ident) => {
        $crate::list!($each, machine_link,
            Hello Unsupported ClockRequest KeyListApplied Claim
            Ready Taken Busy Settled Receipt Amendment LateDrop
            OrderRequest OrderCancel
            PlanApplied StockReport ConfigApplied
            Telemetry Fault SecurityEvent LogLine
            CommandResult ChunkRequest UpdateVerdict
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
        $crate::list!($each, signed,
            AcceptedBody AuthorizationBody VoidBody KeyListBody EnrolmentBody GrantBody ManifestBody
        )
    };
}

/// Signed bodies that a machine sends.
#[macro_export]
macro_rules! uplink_bodies {
    ($each:ident) => {
        $crate::list!($each, signed, HelloBody ReceiptBody AmendmentBody ClaimBody)
    };
}

/// Calls `$each` with the whole path of every name.
#[macro_export]
macro_rules! list {
    ($each:ident, $module:ident, $($name:ident)*) => { $($each!(vend_protocol::$module::$name);)* };
}
