//! Which connection each machine has: at most one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{CloseReason, ConnectionHandle, ConnectionId};

/// The connections of all machines.
#[derive(Default)]
pub(super) struct Registry {
    machines: Mutex<HashMap<u32, Entry>>,
}

struct Entry {
    handle: ConnectionHandle,
    ended: oneshot::Receiver<()>,
}

/// A connection's place in the registry, given free when dropped.
pub(super) struct Place {
    registry: Arc<Registry>,
    machine: u32,
    id: ConnectionId,
    /// Dropped with the place, which tells the next connection that this one has ended.
    _ended: oneshot::Sender<()>,
}

/// The end of the connection that was there before.
pub(super) struct Predecessor(Option<oneshot::Receiver<()>>);

impl Predecessor {
    /// Waits until it has ended.
    pub(super) async fn ended(self) {
        if let Some(ended) = self.0 {
            // Both outcomes say the same: nothing is ever sent, the sender is dropped.
            let _ = ended.await;
        }
    }
}

impl Registry {
    /// Puts a connection in, and closes the one the machine had.
    pub(super) fn enter(self: &Arc<Self>, handle: &ConnectionHandle) -> (Place, Predecessor) {
        let (sender, ended) = oneshot::channel();
        let entry = Entry { handle: handle.clone(), ended };
        let before = self.machines().insert(handle.machine(), entry);
        let place =
            Place { registry: Arc::clone(self), machine: handle.machine(), id: handle.id(), _ended: sender };
        let predecessor = before.map(|entry| {
            entry.handle.close(CloseReason::TakenOver);
            entry.ended
        });
        (place, Predecessor(predecessor))
    }

    /// Closes every connection.
    pub(super) fn close_all(&self, reason: CloseReason) {
        for entry in self.machines().values() {
            entry.handle.close(reason);
        }
    }

    fn machines(&self) -> MutexGuard<'_, HashMap<u32, Entry>> {
        // No code that can panic runs under the lock.
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut machines = self.registry.machines();
        // A newer connection may have taken the place already.
        if machines.get(&self.machine).is_some_and(|entry| entry.handle.id() == self.id) {
            machines.remove(&self.machine);
        }
    }
}
