//! What goes wrong in a world, and how it ends when nothing does any more.

use vend_protocol::{Verdict, signed::Authority};

use super::{Way, World};
use crate::{
    env::Counts,
    faults::{CALM, Faults},
    machine::Machine,
};

/// Everything is settled this long after the last trouble, in milliseconds.
const SETTLED_MS: u64 = 600_000;

impl World {
    /// Runs so many steps with trouble, then without, until everything is settled.
    pub(crate) fn run(&mut self, steps: u64) -> Counts {
        while self.env.counts.steps < steps && self.step(u64::MAX) {
            self.trouble();
            self.flush();
            self.check();
        }
        self.calm_down();
        self.check_books();
        self.count_books();
        self.env.counts
    }

    /// One throw of the dice for each trouble.
    fn trouble(&mut self) {
        let Faults {
            replayed,
            cut,
            half_open,
            machine_power,
            server_power,
            restored,
            replaced,
            slow,
            deaf,
            ..
        } = self.env.faults;
        let long = self.env.rng.chance(100);
        let off_ms =
            if long { self.env.rng.between(30_000, 180_000) } else { self.env.rng.between(10, 8_000) };
        if self.env.rng.chance(replayed) {
            self.network.replay(&mut self.env);
        }
        if self.env.rng.chance(cut) {
            self.cut();
            self.network.down_until_ms = self.env.now_ms + off_ms;
        }
        if self.env.rng.chance(half_open) {
            let which = self.env.rng.below(3);
            self.env.counts.half_open += 1;
            self.env.note(|| "network: swallows everything from now on".into());
            for (index, way) in (0..).zip(Way::BOTH) {
                if which != index {
                    self.network.silence(way);
                }
            }
        }
        if self.env.rng.chance(machine_power) && self.machine.ram.is_some() {
            self.cut_machine_power(off_ms);
        }
        if self.env.rng.chance(server_power) && self.server.ram.is_some() {
            self.cut_server_power(off_ms);
        }
        if self.env.rng.chance(replaced) {
            self.replace_board();
        }
        if self.env.rng.chance(restored) {
            self.restore_server();
        } else if self.env.rng.chance(restored * 4) {
            self.back_up();
        }
        if self.env.rng.chance(slow) {
            self.machine.slow_down(self.env.now_ms + 30_000);
        }
        if self.env.rng.chance(deaf) {
            self.server.deaf_until_ms = self.env.now_ms + 60_000;
        }
    }

    /// Cuts the connection. Each end learns it in a while.
    pub(crate) fn cut(&mut self) {
        self.env.counts.cuts += 1;
        self.env.note(|| "network: the connection is cut".into());
        self.network.cut(&mut self.env);
    }

    pub(crate) fn cut_machine_power(&mut self, off_ms: u64) {
        self.env.counts.machine_reboots += 1;
        self.env.note(|| format!("machine: no power for {off_ms} ms"));
        self.machine.power_off(self.env.now_ms + off_ms);
        self.network.close(&mut self.env, Way::Up);
    }

    pub(crate) fn cut_server_power(&mut self, off_ms: u64) {
        self.env.counts.server_reboots += 1;
        self.env.note(|| format!("server: no power for {off_ms} ms"));
        self.server.power_off(self.env.now_ms + off_ms);
        self.network.close(&mut self.env, Way::Down);
    }

    pub(crate) fn back_up(&mut self) {
        self.server.backup = Some(self.server.ledger.clone());
    }

    /// The server comes back with the database it had at its backup. A backup from before what the machine still keeps is not
    /// used: then somebody must look, and no rule of the wire helps.
    pub(crate) fn restore_server(&mut self) {
        let Some(backup) = self.server.backup.clone() else { return };
        let journal = &self.machine.journal;
        let too_old = backup.watermark(journal.id) + 1 < journal.first_kept();
        if too_old || backup.enrolment != self.server.ledger.enrolment {
            return;
        }
        self.env.counts.restores += 1;
        self.env.note(|| "server: restored from its backup".into());
        let lost = |key: &&_| !backup.chain.contains_key(*key);
        let forgotten: Vec<_> = self.server.ledger.chain.keys().filter(lost).copied().collect();
        for key in &forgotten {
            self.checks.acknowledged.remove(key);
        }
        self.checks.forgotten.extend(forgotten);
        self.cut_server_power(1_000);
        self.server.ledger = backup.restored(&self.env.wallet, self.env.now_ms);
    }

    /// The machine gets another board: another key, another journal. What the old one had not told is lost with it.
    pub(crate) fn replace_board(&mut self) {
        self.env.counts.replacements += 1;
        self.env.note(|| "machine: gets another board".into());
        self.network.close(&mut self.env, Way::Up);
        let config = std::mem::replace(&mut self.machine, Machine::new(&mut self.env)).config;
        self.machine.config = config;
        self.machine.on_ms = self.env.now_ms + 2_000;
        let board = self.machine.board;
        self.server.keys.insert(board.enrolment, board.key);
        self.server.ledger.replace_board(board.enrolment);
        self.server.backup = None;
    }

    /// Everything that was paid is delivered or given back, everything that was said has been heard.
    pub(crate) fn is_settled(&self) -> bool {
        let journal = &self.machine.journal;
        self.server.ledger.is_settled(&self.env.wallet)
            && journal.order.is_none()
            && journal.unacknowledged() == 0
            && journal.events.is_empty()
            && self.is_open()
    }

    /// Nothing goes wrong from here, and everything must end well.
    #[track_caller]
    pub(crate) fn calm_down(&mut self) {
        self.env.note(|| "calm from here".into());
        self.env.faults = CALM;
        self.network.down_until_ms = 0;
        self.server.deaf_until_ms = 0;
        self.run_until(SETTLED_MS, Self::is_settled);
    }

    /// What the receipts say against what the motors did.
    fn check_books(&self) {
        let ledger = &self.server.ledger;
        assert_eq!(ledger.alarms, 0, "no sequence is settled whose receipt never came");
        for receipt in &ledger.receipts {
            let Authority::Authorization { seq, .. } = receipt.authority else { continue };
            for (index, line) in (0..).zip(receipt.lines.iter()) {
                let truth = self.env.motors.ran.get(&(receipt.enrolment, seq.number(), index));
                match line.outcome.verdict() {
                    Verdict::NotAttempted => assert!(truth.is_none(), "{seq}/{index} ran"),
                    Verdict::Unknown => {}
                    _ => assert_eq!(truth, Some(&line.outcome), "{seq}/{index}"),
                }
            }
            let mut ran = self.env.motors.ran.keys();
            let ran = ran.any(|(enrolment, ran, _)| (*enrolment, *ran) == (receipt.enrolment, seq.number()));
            assert!(!(ran && receipt.lines.is_empty()), "a voided authorization {seq} ran");
        }
        for ((enrolment, ran, _), outcome) in &self.env.motors.ran {
            let known = ledger.receipts.iter().any(|receipt| {
                let Authority::Authorization { seq, .. } = receipt.authority else { return false };
                (receipt.enrolment, seq.number()) == (*enrolment, *ran)
            });
            let lost_board = *enrolment != self.machine.board.enrolment;
            assert!(known || lost_board, "nobody was told of {ran}: {outcome:?}");
        }
    }

    fn count_books(&mut self) {
        let counts = &mut self.env.counts;
        for line in self.server.ledger.orders.values().flat_map(|order| &order.lines) {
            counts.delivered += u64::from(line.delivered > 0);
            counts.refunded += u64::from(line.refunded > 0);
            counts.given_away += u64::from(line.given_away > 0);
        }
    }
}
