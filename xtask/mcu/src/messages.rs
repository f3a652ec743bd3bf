//! The messages, one line each list: a new message is a name here and nowhere else.
//!
//! Each macro calls another one with its list, so that an image says once what it does with every message.

/// Machine link, server to machine: what a session passes on.
#[macro_export]
macro_rules! downlink_passed_on {
    ($each:ident) => {
        $crate::list!($each, machine_link,
            KeyList ClaimGranted
            Prepare Authorization Void Acknowledgement
            Quote ShowCode HideCode
            PlanPart StockSet DeviceConfig LaneConfigPart
            Noted Command UpdateOffer Chunk
        )
    };
}

/// Machine link, server to machine: what a session decodes itself.
#[macro_export]
macro_rules! downlink_in_session {
    ($each:ident) => {
        $crate::list!($each, machine_link, Accepted Pending Rejected Clock)
    };
}

/// Machine link, machine to server: what a firmware queues in its session.
#[macro_export]
macro_rules! uplink_queued {
    ($each:ident) => {
        $crate::list!($each, machine_link,
            KeyListApplied
            Ready Taken Busy Settled LateDrop
            OrderRequest OrderCancel
            PlanApplied StockReport ConfigApplied
            Telemetry Fault SecurityEvent LogLine
            CommandResult ChunkRequest UpdateVerdict
        )
    };
}

/// Machine link, machine to server or both ways: what a session makes itself, or takes from the journal; and the claim.
#[macro_export]
macro_rules! uplink_in_session {
    ($each:ident) => {
        $crate::list!($each, machine_link, Hello Receipt Amendment ClockRequest Unsupported Claim)
    };
}

/// Control link, main board to control board.
#[macro_export]
macro_rules! requests {
    ($each:ident) => {
        $crate::list!($each, control_link,
            IdentifyRequest QueryRequest EventsRequest
            OpenRequest VendRequest AbortRequest ForgetRequest
            LanesRequest ConfigureRequest LaneScanRequest HomeAllRequest SelfTestRequest
            UpdateBeginRequest UpdateChunkRequest UpdateVerifyRequest UpdateSwapRequest UpdateConfirmRequest
        )
    };
}

/// Of these, what a `Line` does not ask by itself.
#[macro_export]
macro_rules! requests_of_owner {
    ($each:ident) => {
        $crate::list!($each, control_link,
            EventsRequest AbortRequest
            LanesRequest ConfigureRequest LaneScanRequest HomeAllRequest SelfTestRequest
            UpdateBeginRequest UpdateChunkRequest UpdateVerifyRequest UpdateSwapRequest UpdateConfirmRequest
        )
    };
}

/// Control link, control board to main board.
#[macro_export]
macro_rules! answers {
    ($each:ident) => {
        $crate::list!($each, control_link,
            Identity QueryAnswer EventsAnswer Unsupported
            OpenAnswer VendAnswer ForgetAnswer
            LanesAnswer ConfigureAnswer TaskAnswer
            UpdateAnswer
        )
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
