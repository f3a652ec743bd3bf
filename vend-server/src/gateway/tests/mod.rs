//! The gateway against an independent client, and against bytes that no client sends.

mod hostile;
mod lifetime;
mod login;
mod messages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::*;

/// The machines 7, 8 and 171 may log in, each with the secret of 32 times its number.
const MACHINE: u32 = 7;
const UP: &str = "vend/7/up";
const DOWN: &str = "vend/7/down";

fn secret(machine: u32) -> String {
    format!("{machine:02x}").repeat(32)
}

struct Machines;

impl Authenticator for Machines {
    async fn login(&self, machine: u32) -> Result<Option<[u8; 32]>, Unavailable> {
        match machine {
            7 | 8 | 171 => Ok(Some(Sha256::digest([u8::try_from(machine).unwrap(); 32]).into())),
            500 => Err(Unavailable),
            501 => panic!("a bug in the authenticator"),
            _ => Ok(None),
        }
    }
}

/// What the handler saw.
#[derive(Debug)]
enum Seen {
    Connected(ConnectionHandle),
    Message(Vec<u8>),
    Disconnected(u32, ConnectionId),
}

/// Takes a permit for each message, fails on "fail" and panics on "panic".
struct Recorder {
    seen: mpsc::UnboundedSender<Seen>,
    commits: Semaphore,
    committed: AtomicBool,
}

impl Handler for Recorder {
    async fn connected(&self, connection: ConnectionHandle) {
        self.seen.send(Seen::Connected(connection)).unwrap();
    }

    async fn message(&self, _: &ConnectionHandle, payload: Vec<u8>) -> Result<(), HandlerError> {
        self.seen.send(Seen::Message(payload.clone())).unwrap();
        self.commits.acquire().await.unwrap().forget();
        assert_ne!(payload, b"panic", "a bug in the handler");
        self.committed.store(true, Ordering::SeqCst);
        if payload == b"fail" { Err(HandlerError::new("no space")) } else { Ok(()) }
    }

    async fn disconnected(&self, machine: u32, connection: ConnectionId) {
        let _ = self.seen.send(Seen::Disconnected(machine, connection));
    }
}

struct Fixture {
    addr: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
    handler: Arc<Recorder>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Limits::default(), 1_000).await
    }

    /// A gateway whose handler finishes so many messages and then waits.
    async fn with(limits: Limits, commits: usize) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let handler = Arc::new(Recorder {
            seen: sender,
            commits: Semaphore::new(commits),
            committed: AtomicBool::new(false),
        });
        let config = GatewayConfig { limits, ..GatewayConfig::default() };
        let gateway =
            Gateway::bind(([127, 0, 0, 1], 0).into(), config, Arc::new(Machines), Arc::clone(&handler))
                .await
                .unwrap();
        let addr = gateway.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(gateway.serve(async move {
            let _ = stopped.await;
        }));
        Self { addr, seen, handler, stop: Some(stop), served }
    }

    async fn next(&mut self) -> Seen {
        timeout(Duration::from_secs(4), self.seen.recv()).await.expect("the handler saw nothing").unwrap()
    }

    async fn connected(&mut self) -> ConnectionHandle {
        match self.next().await {
            Seen::Connected(handle) => handle,
            other => panic!("expected a login, got {other:?}"),
        }
    }

    async fn message(&mut self) -> Vec<u8> {
        match self.next().await {
            Seen::Message(payload) => payload,
            other => panic!("expected a message, got {other:?}"),
        }
    }

    async fn disconnected(&mut self) -> ConnectionId {
        match self.next().await {
            Seen::Disconnected(MACHINE, id) => id,
            other => panic!("expected the end of a connection, got {other:?}"),
        }
    }

    fn nothing_seen(&mut self) {
        assert!(self.seen.try_recv().is_err(), "the handler was called");
    }
}

/// A client that sends any bytes. `5` is MQTT 5, `4` is MQTT 3.1.1, as on the wire.
struct Raw {
    stream: TcpStream,
    level: u8,
}

impl Raw {
    async fn open(fixture: &Fixture) -> Self {
        Self { stream: TcpStream::connect(fixture.addr).await.unwrap(), level: 4 }
    }

    /// Logs in as machine 7.
    async fn login(fixture: &Fixture, level: u8) -> Self {
        Self::login_with(fixture, level, 60).await
    }

    async fn login_with(fixture: &Fixture, level: u8, keep_alive_s: u16) -> Self {
        let mut raw = Self::open(fixture).await;
        raw.level = level;
        raw.send(&connect(level, "7", "7", secret(7).as_bytes(), keep_alive_s)).await;
        let connack = raw.packet().await.expect("no answer to the login");
        assert_eq!((connack[0], connack[2], connack[3]), (0x20, 0, 0), "{connack:02x?}");
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn publish(&mut self, topic: &str, first_byte: u8, id: u16, payload: &[u8]) {
        let bytes = publish(self.level, topic, first_byte, id, payload);
        self.send(&bytes).await;
    }

    async fn subscribe(&mut self, topic: &str, qos: u8) -> Option<u8> {
        let properties: &[u8] = if self.level == 5 { &[0] } else { &[] };
        let body = [&[0, 9], properties, &text(topic.as_bytes()), &[qos]].concat();
        self.send(&packet(0x82, &body)).await;
        let suback = self.packet().await?;
        assert_eq!(suback[0], 0x90);
        suback.last().copied()
    }

    /// The next packet, or `None` where the connection has ended.
    async fn packet(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut packet = vec![0; 2];
            self.stream.read_exact(&mut packet).await.ok()?;
            assert!(packet[1] < 128, "longer than any test expects");
            packet.resize(2 + usize::from(packet[1]), 0);
            self.stream.read_exact(&mut packet[2..]).await.ok()?;
            Some(packet)
        };
        timeout(Duration::from_secs(4), read).await.expect("neither a packet nor the end")
    }

    async fn nothing_for(&mut self, time: Duration) {
        let mut byte = [0];
        let read = timeout(time, self.stream.read(&mut byte)).await;
        assert!(read.is_err(), "something came: {read:?} {byte:02x?}");
    }

    /// The connection ends now; MQTT 5 says first why.
    async fn ends(&mut self, reason: u8) {
        if self.level == 5 {
            assert_eq!(self.packet().await.as_deref(), Some(&[0xe0, 1, reason][..]));
        }
        assert_eq!(self.packet().await, None);
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first_byte];
    let mut rest = body.len();
    loop {
        let digit = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        packet.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

fn connect(level: u8, client_id: &str, name: &str, password: &[u8], keep_alive_s: u16) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let head =
        [&[0, 4], &b"MQTT"[..], &[level, 0b1100_0010], &keep_alive_s.to_be_bytes(), properties].concat();
    packet(0x10, &[head, text(client_id.as_bytes()), text(name.as_bytes()), text(password)].concat())
}

fn publish(level: u8, topic: &str, first_byte: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let id = if first_byte & 0b110 == 0 { Vec::new() } else { id.to_be_bytes().to_vec() };
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    packet(first_byte, &[&text(topic.as_bytes()), &id, properties, payload].concat())
}
