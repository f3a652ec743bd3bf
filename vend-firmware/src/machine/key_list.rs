//! A newer key list: judged, stored by the runner, then used and answered.

use vend_protocol::{
    machine_link::{Class, KeyListApplied},
    signed::Signed,
};

use super::{Action, Machine, Random, order::Work};

/// A list that was found good and is not stored yet.
#[derive(Debug)]
pub(super) struct Waiting {
    version: u32,
    list: Signed,
    /// It came in place of an *accepted*: the next hello waits for it.
    before_accepted: bool,
}

impl<R: Random, const SLOTS: usize> Machine<R, SLOTS> {
    /// Takes a list that came from the server. One that is not newer, or not the root's, is answered with the one in use.
    pub(super) fn key_list(&mut self, now_ms: u64, list: Signed) {
        let time = self.server_time_ms(now_ms);
        let newer = time.and_then(|time| self.keys.newer(&list, time).ok()).flatten();
        match newer.map(|keys| keys.version()) {
            // The newest of several is stored and answered, and stands for those before it.
            Some(version) if self.key_list.as_ref().is_none_or(|waiting| waiting.version < version) => {
                self.key_list = Some(Waiting { version, list, before_accepted: false });
            }
            Some(_) => {}
            None => self.answer_key_list(),
        }
    }

    /// Takes a list that came in place of an *accepted*, because the machine slept through a change of the server's keys.
    /// `false`: there is nothing new in it, so this is not a server to talk to.
    pub(super) fn key_list_before_accepted(&mut self, list: Signed) -> bool {
        let newer = self.keys.newer_before_accepted(&list).ok().flatten();
        let Some(version) = newer.map(|keys| keys.version()) else { return false };
        self.key_list = Some(Waiting { version, list, before_accepted: true });
        true
    }

    /// What the runner is to store, but not while a motor may be turning: no flash is written then.
    pub(super) fn store_key_list(&self) -> Option<Action> {
        let waiting = self.key_list.as_ref().filter(|_| !matches!(self.work, Work::Vending(_)))?;
        Some(Action::StoreKeyList(waiting.list.clone()))
    }

    /// The runner's answer to [`Action::StoreKeyList`]. From here the machine believes the keys of the new list, or goes on
    /// with the old one: the server sends the newer one again on the next connection.
    pub fn key_list_stored(&mut self, now_ms: u64, stored: bool) {
        let Some(waiting) = self.key_list.take() else { return };
        let newer = if waiting.before_accepted {
            self.keys.newer_before_accepted(&waiting.list).ok()
        } else {
            self.server_time_ms(now_ms).and_then(|time| self.keys.newer(&waiting.list, time).ok())
        };
        if let Some(keys) = newer.flatten().filter(|_| stored) {
            self.keys = keys;
        }
        if waiting.before_accepted {
            self.link.greet_again(now_ms, stored);
        } else {
            self.answer_key_list();
        }
    }

    fn answer_key_list(&mut self) {
        let version = self.keys.version();
        self.link.queue(Class::Event, &KeyListApplied { version });
    }
}
