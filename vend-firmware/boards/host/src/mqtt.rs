//! One MQTT connection at a time, each with a client of its own, so that no client replays anything by itself.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinHandle};
use vend_protocol::{
    MachineId,
    machine_link::{down_topic, up_topic},
};

use crate::MqttVersion;

/// Seconds between pings on an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Requests and events that wait; at the limit the connection is closed.
const QUEUE: usize = 64;
/// The longest packet, in bytes: a frame and its topic.
const PACKET_MAX: usize = 2048;

/// What a connection tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// Connected and subscribed.
    Up,
    /// A frame came.
    Frame(Vec<u8>),
    /// A ping was answered.
    Heard,
    /// It is gone. The connection tells nothing more.
    Down(String),
}

/// A connection. Dropping it closes it.
pub(crate) struct Connection {
    client: Client,
    topic: String,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

enum Client {
    V311(rumqttc::AsyncClient),
    V5(rumqttc::v5::AsyncClient),
}

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) version: MqttVersion,
    pub(crate) machine: MachineId,
    pub(crate) password: String,
}

/// What a packet means for the machine.
enum Meaning {
    Connected,
    Tell(Event),
    Nothing,
}

const REFUSED: &str = "the subscription was refused";

fn meaning_v311(event: Result<rumqttc::Event, rumqttc::ConnectionError>) -> Meaning {
    use rumqttc::{Event as Seen, Packet, SubscribeReasonCode};
    match event {
        Ok(Seen::Incoming(Packet::ConnAck(_))) => Meaning::Connected,
        Ok(Seen::Incoming(Packet::SubAck(granted))) => {
            let granted = granted.return_codes.iter().all(|code| *code != SubscribeReasonCode::Failure);
            Meaning::Tell(if granted { Event::Up } else { Event::Down(String::from(REFUSED)) })
        }
        Ok(Seen::Incoming(Packet::Publish(publish))) => Meaning::Tell(Event::Frame(publish.payload.to_vec())),
        Ok(Seen::Incoming(Packet::PingResp)) => Meaning::Tell(Event::Heard),
        Ok(_) => Meaning::Nothing,
        Err(error) => Meaning::Tell(Event::Down(error.to_string())),
    }
}

fn meaning_v5(event: Result<rumqttc::v5::Event, rumqttc::v5::ConnectionError>) -> Meaning {
    use rumqttc::v5::{
        Event as Seen,
        mqttbytes::v5::{Packet, SubscribeReasonCode},
    };
    match event {
        Ok(Seen::Incoming(Packet::ConnAck(_))) => Meaning::Connected,
        Ok(Seen::Incoming(Packet::SubAck(granted))) => {
            let granted =
                granted.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_)));
            Meaning::Tell(if granted { Event::Up } else { Event::Down(String::from(REFUSED)) })
        }
        Ok(Seen::Incoming(Packet::Publish(publish))) => Meaning::Tell(Event::Frame(publish.payload.to_vec())),
        Ok(Seen::Incoming(Packet::PingResp(_))) => Meaning::Tell(Event::Heard),
        Ok(_) => Meaning::Nothing,
        Err(error) => Meaning::Tell(Event::Down(error.to_string())),
    }
}

/// Passes on what a client says, until it says that it is down.
async fn pump(
    mut next: impl AsyncFnMut() -> Meaning,
    subscribe: impl Fn() -> Result<(), String>,
    events: mpsc::Sender<Event>,
) {
    loop {
        let event = match next().await {
            Meaning::Nothing => continue,
            Meaning::Tell(event) => event,
            Meaning::Connected => match subscribe() {
                Ok(()) => continue,
                Err(error) => Event::Down(error),
            },
        };
        // A client that was down would connect again by itself and replay what it has: it is not asked any more.
        let down = matches!(event, Event::Down(_));
        if events.send(event).await.is_err() || down {
            return;
        }
    }
}

impl Connection {
    /// Begins to connect; [`Event::Up`] or [`Event::Down`] follows.
    pub(crate) fn open(login: &Login) -> Self {
        let (events_in, events) = mpsc::channel(QUEUE);
        let topic = up_topic(login.machine).to_string();
        let down = down_topic(login.machine).to_string();
        let id = login.machine.to_string();
        let (client, task) = match login.version {
            MqttVersion::V311 => {
                let mut options = rumqttc::MqttOptions::new(&id, &login.host, login.port);
                options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
                options.set_credentials(&id, &login.password);
                options.set_max_packet_size(PACKET_MAX, PACKET_MAX);
                let (client, mut eventloop) = rumqttc::AsyncClient::new(options, QUEUE);
                let subscriber = client.clone();
                let task = tokio::task::spawn_local(pump(
                    async move || meaning_v311(eventloop.poll().await),
                    move || {
                        subscriber
                            .try_subscribe(down.clone(), rumqttc::QoS::AtLeastOnce)
                            .map_err(|error| error.to_string())
                    },
                    events_in,
                ));
                (Client::V311(client), task)
            }
            MqttVersion::V5 => {
                let mut options = rumqttc::v5::MqttOptions::new(&id, &login.host, login.port);
                options.set_keep_alive(KEEP_ALIVE).set_clean_start(true);
                options.set_credentials(&id, &login.password);
                options.set_max_packet_size(u32::try_from(PACKET_MAX).ok());
                let (client, mut eventloop) = rumqttc::v5::AsyncClient::new(options, QUEUE);
                let subscriber = client.clone();
                let task = tokio::task::spawn_local(pump(
                    async move || meaning_v5(eventloop.poll().await),
                    move || {
                        subscriber
                            .try_subscribe(down.clone(), rumqttc::v5::mqttbytes::QoS::AtLeastOnce)
                            .map_err(|error| error.to_string())
                    },
                    events_in,
                ));
                (Client::V5(client), task)
            }
        };
        Self { client, topic, events, task }
    }

    /// The next event.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn event(&mut self) -> Event {
        self.events.recv().await.unwrap_or_else(|| Event::Down(String::from("the connection ended")))
    }

    /// Publishes a frame; false when the connection cannot take it and must be closed.
    pub(crate) fn publish(&self, frame: &[u8]) -> bool {
        match &self.client {
            Client::V311(client) => {
                client.try_publish(&self.topic, rumqttc::QoS::AtLeastOnce, false, frame).is_ok()
            }
            Client::V5(client) => client
                .try_publish(
                    self.topic.clone(),
                    rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
                    false,
                    frame.to_vec(),
                )
                .is_ok(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
