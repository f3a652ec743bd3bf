//! The modem's way to the server: a TCP relay that can be cut.
//!
//! A cut resets both sides without an MQTT DISCONNECT and refuses connections for a while, as a lost cell does.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::Instant,
};

/// One machine's link.
#[derive(Clone)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Raised at each cut.
    cuts: watch::Sender<u64>,
    dead_until: Mutex<Instant>,
    /// Nothing comes down any more, until the next cut.
    deaf: AtomicBool,
}

impl Proxy {
    /// Listens on a free port and relays to `server`.
    pub(crate) async fn start(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            cuts: watch::channel(0).0,
            dead_until: Mutex::new(Instant::now()),
            deaf: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((machine, _)) = listener.accept().await {
                let shared = Arc::clone(&accepting);
                tokio::spawn(async move { relay(machine, server, &shared).await });
            }
        });
        Ok(Self { addr, shared })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on what the server sends is lost, while what the machine sends still arrives: until the next cut.
    pub(crate) fn deafen(&self) {
        self.shared.deaf.store(true, Ordering::SeqCst);
    }

    /// Resets every connection and refuses new ones for `off_for`.
    pub(crate) fn cut(&self, off_for: Duration) {
        *self.shared.dead_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + off_for;
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
        self.shared.deaf.store(false, Ordering::SeqCst);
    }
}

async fn relay(machine: TcpStream, server: SocketAddr, shared: &Shared) {
    let dead_until = *shared.dead_until.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cuts = shared.cuts.subscribe();
    if Instant::now() < dead_until {
        reset(&machine);
        return;
    }
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    let _ = (machine.set_nodelay(true), upstream.set_nodelay(true));
    let (mut from_machine, mut to_machine) = machine.into_split();
    let (from_server, mut to_server) = upstream.into_split();
    let cut = tokio::select! {
        _ = copy(&mut from_machine, &mut to_server) => false,
        () = down(from_server, &mut to_machine, shared) => false,
        _ = cuts.changed() => true,
    };
    if cut {
        reset(to_machine.as_ref());
        reset(to_server.as_ref());
    }
}

/// What the server sends, as long as it gets through.
async fn down(mut from_server: OwnedReadHalf, to_machine: &mut OwnedWriteHalf, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from_server.read(&mut buffer).await {
        if shared.deaf.load(Ordering::SeqCst) {
            continue;
        }
        if to_machine.write_all(buffer.get(..len).unwrap_or(&[])).await.is_err() {
            return;
        }
    }
}

/// A reset instead of an orderly end: what was not read yet is lost, as on a link that dies.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
