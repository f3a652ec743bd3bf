//! Packets to a machine, as bytes.

use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, MaximumQos, Properties, Property, Qos, ReceiveMaximum, RetainAvailable,
    ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable,
    WildcardSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

use super::{Goodbye, Version, WireError};

type Bytes = Result<Vec<u8>, WireError>;

/// What an MQTT 5 machine is told at login.
pub(in crate::gateway) struct Accepted {
    pub(in crate::gateway) receive_maximum: u16,
    pub(in crate::gateway) packet_size: u32,
    /// Where the server wants another keep-alive than was asked for.
    pub(in crate::gateway) keep_alive_s: Option<u16>,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Refusal {
    Credentials,
    Unavailable,
    Version,
    AuthMethod,
}

/// CONNACK of an accepted login. *Session present* is always 0.
pub(in crate::gateway) fn connack(version: Version, accepted: &Accepted) -> Bytes {
    match version {
        Version::V3 => {
            let packet = v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(ConnectReturnCode::Accepted)
                .build()?;
            Ok(packet.to_continuous_buffer())
        }
        Version::V5 => {
            let packet = v5_0::Connack::builder()
                .session_present(false)
                .reason_code(ConnectReasonCode::Success)
                .props(accepted.properties()?)
                .build()?;
            Ok(packet.to_continuous_buffer())
        }
    }
}

impl Accepted {
    fn properties(&self) -> Result<Properties, MqttError> {
        let mut properties: Properties = vec![
            Property::SessionExpiryInterval(SessionExpiryInterval::new(0)?),
            Property::ReceiveMaximum(ReceiveMaximum::new(self.receive_maximum)?),
            Property::MaximumQos(MaximumQos::new(1)?),
            Property::RetainAvailable(RetainAvailable::new(0)?),
            Property::MaximumPacketSize(MaximumPacketSize::new(self.packet_size)?),
            Property::WildcardSubscriptionAvailable(WildcardSubscriptionAvailable::new(0)?),
            Property::SubscriptionIdentifierAvailable(SubscriptionIdentifierAvailable::new(0)?),
            Property::SharedSubscriptionAvailable(SharedSubscriptionAvailable::new(0)?),
        ];
        if let Some(keep_alive_s) = self.keep_alive_s {
            properties.push(Property::ServerKeepAlive(ServerKeepAlive::new(keep_alive_s)?));
        }
        Ok(properties)
    }
}

/// CONNACK of a refused login.
pub(in crate::gateway) fn refuse(version: Version, refusal: Refusal) -> Bytes {
    match version {
        Version::V3 => {
            let code = match refusal {
                Refusal::Credentials => ConnectReturnCode::BadUserNameOrPassword,
                Refusal::Unavailable => ConnectReturnCode::ServerUnavailable,
                Refusal::Version => ConnectReturnCode::UnacceptableProtocolVersion,
                Refusal::AuthMethod => ConnectReturnCode::NotAuthorized,
            };
            let packet = v3_1_1::Connack::builder().session_present(false).return_code(code).build()?;
            Ok(packet.to_continuous_buffer())
        }
        Version::V5 => {
            let code = match refusal {
                Refusal::Credentials => ConnectReasonCode::BadUserNameOrPassword,
                Refusal::Unavailable => ConnectReasonCode::ServerUnavailable,
                Refusal::Version => ConnectReasonCode::UnsupportedProtocolVersion,
                Refusal::AuthMethod => ConnectReasonCode::BadAuthenticationMethod,
            };
            let packet = v5_0::Connack::builder().session_present(false).reason_code(code).build()?;
            Ok(packet.to_continuous_buffer())
        }
    }
}

/// PUBACK. Only MQTT 5 has words for a message that is not accepted.
pub(in crate::gateway) fn puback(version: Version, id: u16, accepted: bool) -> Bytes {
    match version {
        Version::V3 => Ok(v3_1_1::Puback::builder().packet_id(id).build()?.to_continuous_buffer()),
        Version::V5 => {
            let builder = v5_0::Puback::builder().packet_id(id);
            let packet = if accepted {
                builder.build()?
            } else {
                builder.reason_code(PubackReasonCode::NotAuthorized).build()?
            };
            Ok(packet.to_continuous_buffer())
        }
    }
}

/// SUBACK: for each filter the `QoS` granted, or `None` where it is refused.
pub(in crate::gateway) fn suback(version: Version, id: u16, granted: &[Option<u8>]) -> Bytes {
    match version {
        Version::V3 => {
            let code = |granted: &Option<u8>| match granted {
                None => SubackReturnCode::Failure,
                Some(0) => SubackReturnCode::SuccessMaximumQos0,
                Some(_) => SubackReturnCode::SuccessMaximumQos1,
            };
            let codes = granted.iter().map(code).collect::<Vec<_>>();
            Ok(v3_1_1::Suback::builder().packet_id(id).return_codes(codes).build()?.to_continuous_buffer())
        }
        Version::V5 => {
            let code = |granted: &Option<u8>| match granted {
                None => SubackReasonCode::NotAuthorized,
                Some(0) => SubackReasonCode::GrantedQos0,
                Some(_) => SubackReasonCode::GrantedQos1,
            };
            let codes = granted.iter().map(code).collect::<Vec<_>>();
            Ok(v5_0::Suback::builder().packet_id(id).reason_codes(codes).build()?.to_continuous_buffer())
        }
    }
}

/// UNSUBACK: for each filter whether there was a subscription.
pub(in crate::gateway) fn unsuback(version: Version, id: u16, existed: &[bool]) -> Bytes {
    match version {
        Version::V3 => Ok(v3_1_1::Unsuback::builder().packet_id(id).build()?.to_continuous_buffer()),
        Version::V5 => {
            let code = |existed: &bool| match existed {
                true => UnsubackReasonCode::Success,
                false => UnsubackReasonCode::NoSubscriptionExisted,
            };
            let codes = existed.iter().map(code).collect::<Vec<_>>();
            Ok(v5_0::Unsuback::builder().packet_id(id).reason_codes(codes).build()?.to_continuous_buffer())
        }
    }
}

/// PINGRESP.
pub(in crate::gateway) fn pingresp(version: Version) -> Bytes {
    match version {
        Version::V3 => Ok(v3_1_1::Pingresp::builder().build()?.to_continuous_buffer()),
        Version::V5 => Ok(v5_0::Pingresp::builder().build()?.to_continuous_buffer()),
    }
}

/// PUBLISH to a machine: `QoS` 1 with a packet id, else `QoS` 0.
pub(in crate::gateway) fn publish(version: Version, topic: &str, id: Option<u16>, payload: &[u8]) -> Bytes {
    let qos = if id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
    match version {
        Version::V3 => {
            let builder = v3_1_1::Publish::builder().topic_name(topic)?.qos(qos).payload(payload.to_vec());
            let packet = if let Some(id) = id { builder.packet_id(id).build()? } else { builder.build()? };
            Ok(packet.to_continuous_buffer())
        }
        Version::V5 => {
            let builder = v5_0::Publish::builder().topic_name(topic)?.qos(qos).payload(payload.to_vec());
            let packet = if let Some(id) = id { builder.packet_id(id).build()? } else { builder.build()? };
            Ok(packet.to_continuous_buffer())
        }
    }
}

/// DISCONNECT; no bytes for MQTT 3.1.1, where the server just closes.
pub(in crate::gateway) fn disconnect(version: Version, goodbye: Goodbye) -> Bytes {
    if version == Version::V3 {
        return Ok(Vec::new());
    }
    let code = match goodbye {
        Goodbye::Failed => DisconnectReasonCode::UnspecifiedError,
        Goodbye::Malformed => DisconnectReasonCode::MalformedPacket,
        Goodbye::Protocol => DisconnectReasonCode::ProtocolError,
        Goodbye::NotAuthorized => DisconnectReasonCode::NotAuthorized,
        Goodbye::ShuttingDown => DisconnectReasonCode::ServerShuttingDown,
        Goodbye::KeepAlive => DisconnectReasonCode::KeepAliveTimeout,
        Goodbye::TakenOver => DisconnectReasonCode::SessionTakenOver,
        Goodbye::TooLarge => DisconnectReasonCode::PacketTooLarge,
        Goodbye::Quota => DisconnectReasonCode::QuotaExceeded,
        Goodbye::Administrative => DisconnectReasonCode::AdministrativeAction,
        Goodbye::Retain => DisconnectReasonCode::RetainNotSupported,
        Goodbye::Qos => DisconnectReasonCode::QosNotSupported,
        Goodbye::SubscriptionIdentifier => DisconnectReasonCode::SubscriptionIdentifiersNotSupported,
    };
    Ok(v5_0::Disconnect::builder().reason_code(code).build()?.to_continuous_buffer())
}
