//! Bytes from a machine, cut into packets and checked.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, RawPacket};
use mqtt_protocol_core::mqtt::packet::{Property, SubEntry, v3_1_1, v5_0};

use super::{Connect, Filter, Packet, Publish, Version, WireError};

/// Cuts a stream of bytes into packets.
pub(in crate::gateway) struct Decoder {
    builder: PacketBuilder,
    version: Option<Version>,
    /// The builder holds the beginning of a packet.
    begun: bool,
}

impl Decoder {
    /// A decoder that refuses longer packets, before it has room made for them.
    pub(in crate::gateway) fn new(packet_size: u32) -> Self {
        Self { builder: PacketBuilder::with_maximum_packet_size(packet_size), version: None, begun: false }
    }

    /// Takes bytes off the front of `input`, up to the end of one packet, and keeps an incomplete one.
    pub(in crate::gateway) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Packet>, WireError> {
        const CONNECT: u8 = 0x10;
        // Told by its first byte, what is not MQTT at all need not be waited for.
        if self.version.is_none() && !self.begun && input.first().is_some_and(|first| *first != CONNECT) {
            return Err(WireError::Protocol);
        }
        self.begun |= !input.is_empty();
        let mut cursor = Cursor::new(*input);
        let result = self.builder.feed(&mut cursor);
        let taken = usize::try_from(cursor.position()).unwrap_or(input.len());
        *input = input.get(taken..).unwrap_or_default();
        match result {
            PacketBuildResult::Complete(raw) => {
                self.begun = false;
                self.parse(&raw).map(Some)
            }
            PacketBuildResult::Incomplete => Ok(None),
            PacketBuildResult::Error(error) => Err(error.into()),
        }
    }

    fn parse(&mut self, raw: &RawPacket) -> Result<Packet, WireError> {
        const PUBLISH: u8 = 3;
        let expected_flags = match raw.packet_type() {
            PUBLISH => raw.flags(),
            8 | 10 => 2,
            _ => 0,
        };
        if raw.flags() != expected_flags {
            return Err(WireError::Malformed);
        }
        match (self.version, raw.packet_type()) {
            (None, 1) => {
                let connect = parse_connect(raw)?;
                self.version = Some(connect.version);
                Ok(Packet::Connect(connect))
            }
            (Some(version), PUBLISH) => parse_publish(version, raw).map(Packet::Publish),
            (Some(Version::V3), kind) => parse_v3(kind, raw),
            (Some(Version::V5), kind) => parse_v5(kind, raw),
            (None, _) => Err(WireError::Protocol),
        }
    }
}

fn parse_connect(raw: &RawPacket) -> Result<Connect, WireError> {
    /// Where the level stands after the protocol's name, and after it the flags, of which the lowest is reserved.
    const LEVEL: usize = 6;
    let body = raw.data_as_slice();
    if body.get(LEVEL + 1).is_none_or(|flags| flags & 1 != 0) {
        return Err(WireError::Malformed);
    }
    match body.get(LEVEL) {
        Some(4) => {
            let packet = raw.parse_exact(v3_1_1::Connect::parse)?;
            Ok(Connect {
                version: Version::V3,
                client_id: packet.client_id().to_owned(),
                user_name: packet.user_name().map(str::to_owned),
                password: packet.password().map(<[u8]>::to_vec),
                keep_alive_s: packet.keep_alive(),
                receive_maximum: u16::MAX,
                packet_size: u32::MAX,
                other_auth: false,
            })
        }
        Some(5) => {
            let packet = raw.parse_exact(v5_0::Connect::parse)?;
            let mut connect = Connect {
                version: Version::V5,
                client_id: packet.client_id().to_owned(),
                user_name: packet.user_name().map(str::to_owned),
                password: packet.password().map(<[u8]>::to_vec),
                keep_alive_s: packet.keep_alive(),
                receive_maximum: u16::MAX,
                packet_size: u32::MAX,
                other_auth: false,
            };
            for property in packet.props() {
                match property {
                    Property::ReceiveMaximum(value) => connect.receive_maximum = value.val(),
                    Property::MaximumPacketSize(value) => connect.packet_size = value.val(),
                    Property::AuthenticationMethod(_) => connect.other_auth = true,
                    _ => {}
                }
            }
            Ok(connect)
        }
        _ => Err(WireError::Version),
    }
}

fn parse_publish(version: Version, raw: &RawPacket) -> Result<Publish, WireError> {
    let body = Arc::from(raw.data_as_slice());
    let publish = match version {
        Version::V3 => {
            let (packet, _) = v3_1_1::Publish::parse(raw.flags(), body)?;
            Publish {
                topic: packet.topic_name().to_owned(),
                qos: packet.qos() as u8,
                id: packet.packet_id(),
                retain: packet.retain(),
                payload: packet.payload().as_slice().to_vec(),
            }
        }
        Version::V5 => {
            let (packet, _) = v5_0::Publish::parse(raw.flags(), body)?;
            // None was offered, so none can be used.
            if packet.props().iter().any(|property| matches!(property, Property::TopicAlias(_))) {
                return Err(WireError::Protocol);
            }
            Publish {
                topic: packet.topic_name().to_owned(),
                qos: packet.qos() as u8,
                id: packet.packet_id(),
                retain: packet.retain(),
                payload: packet.payload().as_slice().to_vec(),
            }
        }
    };
    // The library lets a zero through in MQTT 3.1.1, and then cannot acknowledge it.
    if publish.id == Some(0) { Err(WireError::Malformed) } else { Ok(publish) }
}

fn parse_v3(kind: u8, raw: &RawPacket) -> Result<Packet, WireError> {
    match kind {
        4 => {
            let packet = raw.parse_exact(v3_1_1::Puback::parse)?;
            Ok(Packet::Puback { id: packet.packet_id() })
        }
        8 => {
            let packet = raw.parse_exact(v3_1_1::Subscribe::parse)?;
            let filters = packet.entries().iter().map(Filter::from).collect();
            subscribe(packet.packet_id(), filters, false)
        }
        10 => {
            let packet = raw.parse_exact(v3_1_1::Unsubscribe::parse)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect();
            unsubscribe(packet.packet_id(), filters)
        }
        12 => raw.parse_exact(v3_1_1::Pingreq::parse).map(|_| Packet::Ping).map_err(WireError::from),
        14 => raw.parse_exact(v3_1_1::Disconnect::parse).map(|_| Packet::Disconnect).map_err(WireError::from),
        _ => Err(WireError::Protocol),
    }
}

fn parse_v5(kind: u8, raw: &RawPacket) -> Result<Packet, WireError> {
    match kind {
        4 => {
            let packet = raw.parse_exact(v5_0::Puback::parse)?;
            Ok(Packet::Puback { id: packet.packet_id() })
        }
        8 => {
            let packet = raw.parse_exact(v5_0::Subscribe::parse)?;
            let identifier =
                packet.props().iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_)));
            let filters = packet.entries().iter().map(Filter::from).collect();
            subscribe(packet.packet_id(), filters, identifier)
        }
        10 => {
            let packet = raw.parse_exact(v5_0::Unsubscribe::parse)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect();
            unsubscribe(packet.packet_id(), filters)
        }
        12 => raw.parse_exact(v5_0::Pingreq::parse).map(|_| Packet::Ping).map_err(WireError::from),
        14 => raw.parse_exact(v5_0::Disconnect::parse).map(|_| Packet::Disconnect).map_err(WireError::from),
        _ => Err(WireError::Protocol),
    }
}

/// A SUBSCRIBE with what every one has: a packet id, and at least one filter.
fn subscribe(id: u16, filters: Vec<Filter>, identifier: bool) -> Result<Packet, WireError> {
    if id == 0 || filters.is_empty() {
        return Err(WireError::Malformed);
    }
    Ok(Packet::Subscribe { id, filters, identifier })
}

fn unsubscribe(id: u16, filters: Vec<String>) -> Result<Packet, WireError> {
    if id == 0 || filters.is_empty() {
        return Err(WireError::Malformed);
    }
    Ok(Packet::Unsubscribe { id, filters })
}

impl From<&SubEntry> for Filter {
    fn from(entry: &SubEntry) -> Self {
        Self { topic: entry.topic_filter().to_owned(), qos: entry.sub_opts().qos() as u8 }
    }
}
