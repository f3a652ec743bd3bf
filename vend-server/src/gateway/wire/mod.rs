//! MQTT packets in and out, for both versions. Only this folder knows the MQTT library.
//!
//! The library parses and builds single packets; its connection state machine is not used, since the gateway keeps
//! far less state than a broker (see `session.rs`) and wants every rule of its own in its own code.

mod decode;
mod encode;

pub(super) use decode::Decoder;
pub(super) use encode::{
    Accepted, Refusal, connack, disconnect, pingresp, puback, publish, refuse, suback, unsuback,
};

use mqtt_protocol_core::mqtt::result_code::MqttError;

/// The version of the protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    V5,
}

/// What a CONNECT packet asks for. No `Debug`: it holds a secret.
pub(in crate::gateway) struct Connect {
    pub(in crate::gateway) version: Version,
    pub(in crate::gateway) client_id: String,
    pub(in crate::gateway) user_name: Option<String>,
    pub(in crate::gateway) password: Option<Vec<u8>>,
    pub(in crate::gateway) keep_alive_s: u16,
    /// `QoS` 1 packets the machine takes at once.
    pub(in crate::gateway) receive_maximum: u16,
    /// Longest packet the machine takes.
    pub(in crate::gateway) packet_size: u32,
    /// It wants an authentication method other than name and password.
    pub(in crate::gateway) other_auth: bool,
}

/// A packet from a machine.
pub(in crate::gateway) enum Packet {
    Connect(Connect),
    Publish(Publish),
    Puback { id: u16 },
    Subscribe { id: u16, filters: Vec<Filter>, identifier: bool },
    Unsubscribe { id: u16, filters: Vec<String> },
    Ping,
    Disconnect,
}

/// A message from a machine.
pub(in crate::gateway) struct Publish {
    pub(in crate::gateway) topic: String,
    pub(in crate::gateway) qos: u8,
    /// Present and not zero for `QoS` 1 and 2.
    pub(in crate::gateway) id: Option<u16>,
    pub(in crate::gateway) retain: bool,
    pub(in crate::gateway) payload: Vec<u8>,
}

/// One topic filter of a SUBSCRIBE packet.
pub(in crate::gateway) struct Filter {
    pub(in crate::gateway) topic: String,
    pub(in crate::gateway) qos: u8,
}

/// Bytes that are no packet this gateway takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::gateway) enum WireError {
    #[error("malformed packet")]
    Malformed,
    #[error("packet too large")]
    TooLarge,
    #[error("protocol error")]
    Protocol,
    #[error("unsupported protocol version")]
    Version,
}

/// Why the server ends a connection, in MQTT 5's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Goodbye {
    Failed,
    Malformed,
    Protocol,
    NotAuthorized,
    ShuttingDown,
    KeepAlive,
    TakenOver,
    TooLarge,
    Quota,
    Administrative,
    Retain,
    Qos,
    SubscriptionIdentifier,
}

impl From<MqttError> for WireError {
    fn from(error: MqttError) -> Self {
        match error {
            MqttError::PacketTooLarge => Self::TooLarge,
            MqttError::UnsupportedProtocolVersion => Self::Version,
            MqttError::ProtocolError => Self::Protocol,
            _ => Self::Malformed,
        }
    }
}
