//! What a logged-in machine may do: the rules, without any input or output.

use std::collections::BTreeSet;

use super::wire::{self, Accepted, Connect, Filter, Goodbye, Packet, Publish, Refusal, Version, WireError};
use super::{CloseReason, Limits};

/// One machine's MQTT session, as short as its connection. Packets go in, bytes come out in [`Session::out`].
pub(super) struct Session {
    version: Version,
    up_topic: String,
    down_topic: String,
    /// `QoS` of the subscription to the down topic.
    subscribed: Option<u8>,
    /// Packet ids of what was sent and not acknowledged.
    in_flight: BTreeSet<u16>,
    in_flight_max: usize,
    last_id: u16,
    /// Longest packet the machine takes.
    packet_size: usize,
    /// Bytes to write.
    pub(super) out: Vec<u8>,
}

/// A message for the handler.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) payload: Vec<u8>,
    /// What to acknowledge afterwards.
    pub(super) id: Option<u16>,
}

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum End {
    #[error("the machine said goodbye")]
    Goodbye,
    #[error("the connection was lost")]
    Lost,
    #[error("the machine was silent for too long")]
    Silent,
    #[error("the machine took too long to read")]
    Slow,
    #[error("the handler failed: {0}")]
    Handler(String),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("not allowed: {0}")]
    Forbidden(&'static str, Goodbye),
    #[error("closed by the server: {0:?}")]
    Closed(CloseReason),
    #[error("refused: {1:?}")]
    Refused(Version, Refusal),
}

impl End {
    /// What an MQTT 5 machine is told, unless the connection cannot carry it any more.
    pub(super) fn goodbye(&self) -> Option<Goodbye> {
        Some(match self {
            Self::Goodbye | Self::Lost | Self::Slow | Self::Refused(..) => return None,
            Self::Silent | Self::Closed(CloseReason::Silent) => Goodbye::KeepAlive,
            Self::Handler(_) => Goodbye::Failed,
            Self::Wire(WireError::TooLarge) => Goodbye::TooLarge,
            Self::Wire(WireError::Malformed) => Goodbye::Malformed,
            Self::Wire(WireError::Protocol | WireError::Version) => Goodbye::Protocol,
            Self::Forbidden(_, goodbye) => *goodbye,
            Self::Closed(CloseReason::TakenOver) => Goodbye::TakenOver,
            Self::Closed(CloseReason::SlowReader) => Goodbye::Quota,
            Self::Closed(CloseReason::NotAuthorized) => Goodbye::NotAuthorized,
            Self::Closed(CloseReason::ShuttingDown) => Goodbye::ShuttingDown,
            Self::Closed(CloseReason::Administrative) => Goodbye::Administrative,
        })
    }
}

impl Session {
    /// Starts the session of a login that was accepted: the CONNACK is the first thing in [`Session::out`]. Returns
    /// also the keep-alive in seconds that holds.
    pub(super) fn accept(machine: u32, connect: &Connect, limits: &Limits) -> Result<(Self, u16), End> {
        let asked = connect.keep_alive_s;
        let keep_alive_s = if asked == 0 { limits.keep_alive_s } else { asked.min(limits.keep_alive_s) };
        let accepted = Accepted {
            receive_maximum: limits.receive_maximum,
            packet_size: limits.packet_size,
            keep_alive_s: (keep_alive_s != asked).then_some(keep_alive_s),
        };
        let mut session = Self {
            version: connect.version,
            up_topic: format!("vend/{machine}/up"),
            down_topic: format!("vend/{machine}/down"),
            subscribed: None,
            in_flight: BTreeSet::new(),
            in_flight_max: usize::from(limits.receive_maximum.min(connect.receive_maximum)),
            last_id: 0,
            packet_size: usize::try_from(connect.packet_size).unwrap_or(usize::MAX),
            out: Vec::new(),
        };
        session.queue(wire::connack(session.version, &accepted))?;
        Ok((session, keep_alive_s))
    }

    /// The topic the machine reads.
    pub(super) fn down_topic(&self) -> &str {
        &self.down_topic
    }

    /// Takes a packet in. A message is to be handled and then [`acknowledge`](Self::acknowledge)d.
    pub(super) fn receive(&mut self, packet: Packet) -> Result<Option<Message>, End> {
        match packet {
            Packet::Connect(_) => Err(WireError::Protocol.into()),
            Packet::Publish(publish) => self.receive_publish(publish),
            Packet::Puback { id } => {
                if self.in_flight.remove(&id) {
                    Ok(None)
                } else {
                    Err(WireError::Protocol.into())
                }
            }
            Packet::Subscribe { identifier: true, .. } => {
                Err(End::Forbidden("a subscription identifier", Goodbye::SubscriptionIdentifier))
            }
            Packet::Subscribe { id, filters, .. } => {
                let granted = filters.iter().map(|filter| self.subscribe(filter)).collect::<Vec<_>>();
                self.queue(wire::suback(self.version, id, &granted)).map(|()| None)
            }
            Packet::Unsubscribe { id, filters } => {
                let existed = filters.iter().map(|filter| self.unsubscribe(filter)).collect::<Vec<_>>();
                self.queue(wire::unsuback(self.version, id, &existed)).map(|()| None)
            }
            Packet::Ping => self.queue(wire::pingresp(self.version)).map(|()| None),
            Packet::Disconnect => Err(End::Goodbye),
        }
    }

    fn receive_publish(&mut self, publish: Publish) -> Result<Option<Message>, End> {
        if publish.qos > 1 {
            return Err(End::Forbidden("QoS 2", Goodbye::Qos));
        }
        if publish.retain {
            return Err(End::Forbidden("a retained message", Goodbye::Retain));
        }
        if publish.topic != self.up_topic {
            return match (self.version, publish.id) {
                (Version::V5, Some(id)) => self.queue(wire::puback(self.version, id, false)).map(|()| None),
                _ => Err(End::Forbidden("a message to another topic", Goodbye::NotAuthorized)),
            };
        }
        Ok(Some(Message { payload: publish.payload, id: publish.id }))
    }

    /// Acknowledges a message that was handled.
    pub(super) fn acknowledge(&mut self, id: Option<u16>) -> Result<(), End> {
        match id {
            Some(id) => self.queue(wire::puback(self.version, id, true)),
            None => Ok(()),
        }
    }

    fn subscribe(&mut self, filter: &Filter) -> Option<u8> {
        if filter.topic != self.down_topic {
            return None;
        }
        self.subscribed = Some(filter.qos.min(1));
        self.subscribed
    }

    fn unsubscribe(&mut self, filter: &str) -> bool {
        filter == self.down_topic && self.subscribed.take().is_some()
    }

    /// Whether [`deliver`](Self::deliver) may be called now.
    pub(super) fn can_deliver(&self) -> bool {
        self.subscribed.is_some() && self.in_flight.len() < self.in_flight_max
    }

    /// Sends a message to the machine.
    pub(super) fn deliver(&mut self, payload: &[u8]) -> Result<(), End> {
        let id = (self.subscribed == Some(1)).then(|| self.next_id());
        self.queue(wire::publish(self.version, &self.down_topic, id, payload))
    }

    fn next_id(&mut self) -> u16 {
        // At most `in_flight_max` of 65,535 ids are taken, so this ends.
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.in_flight.insert(self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Says why the connection ends, where the version has words for it.
    pub(super) fn say_goodbye(&mut self, end: &End) {
        if let Some(goodbye) = end.goodbye() {
            // Too long for the machine, if at all: then it just sees the end.
            let _ = self.queue(wire::disconnect(self.version, goodbye));
        }
    }

    fn queue(&mut self, packet: Result<Vec<u8>, WireError>) -> Result<(), End> {
        let packet = packet?;
        if packet.len() > self.packet_size {
            return Err(End::Forbidden("a packet limit this small", Goodbye::TooLarge));
        }
        self.out.extend_from_slice(&packet);
        Ok(())
    }
}
