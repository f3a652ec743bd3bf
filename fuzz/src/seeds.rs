//! The inputs that a run begins with: one valid value of everything, so that nothing has to be found by chance.

use vend_protocol::machine_link::{MAC_LEN, SEALED};

use crate::{
    layouts::{BODIES, CONTROL, Kind, MACHINE, PARTS},
    script::{
        self,
        Way::{Down, Up},
    },
};

/// Seeds by name.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// Which values; any number will do, and the same one gives the same files.
const NUMBER: u64 = 1;

/// The seeds of every target.
pub fn all() -> Vec<(&'static str, Seeds)> {
    vec![
        ("machine_frames", machine_frames()),
        ("control_frames", control_frames()),
        ("codec_differential", codec_differential()),
        ("machine_session", machine_session()),
        ("control_session", control_session()),
        ("cobs", cobs()),
    ]
}

/// Without their checksums, which the target adds: one that is part of an input breaks as soon as the input is changed.
fn machine_frames() -> Seeds {
    let mut seeds: Seeds = MACHINE.iter().map(|kind| (name(kind.layout.name), unchecked(kind, 0))).collect();
    seeds.extend(BODIES.iter().map(|body| (name(body.name), (body.sample)(NUMBER))));
    if let Some(kind) = MACHINE.last() {
        let mut sealed = unchecked(kind, SEALED);
        sealed.extend_from_slice(&[0; MAC_LEN]);
        seeds.push(("sealed".to_owned(), sealed));
        seeds.push(("whole".to_owned(), (kind.frame)(0, 1, NUMBER)));
    }
    seeds
}

fn control_frames() -> Seeds {
    let mut seeds: Seeds = CONTROL.iter().map(|kind| (name(kind.layout.name), unchecked(kind, 1))).collect();
    if let Some(kind) = CONTROL.first() {
        seeds.push(("line".to_owned(), coded(&(kind.frame)(1, 1, NUMBER))));
    }
    seeds
}

/// Messages are reached from here in seconds.
fn codec_differential() -> Seeds {
    let layouts = PARTS.iter().chain(BODIES);
    layouts
        .map(|layout| (name(layout.name), [vec![layout.choice], (layout.sample)(NUMBER)].concat()))
        .collect()
}

pub(crate) fn machine_session() -> Seeds {
    #[allow(clippy::enum_glob_use, reason = "the stories are read as lists of verbs")]
    use crate::machine_session::Step::{self, *};
    let open = [Transmit, Deliver(Up), Deliver(Down)];
    let sale = [Write, Transmit, Deliver(Up), Acknowledge, Deliver(Down)];
    let stories: &[(&str, &[Step])] = &[
        ("open", &[]),
        ("sale", &sale),
        ("window", &[[Write; 12], [Transmit; 12], [Deliver(Up); 12], [Acknowledge; 12]].concat()),
        ("classes", &[Queue(3), Queue(2), Queue(1), Write, Queue(0), Transmit, Transmit, Transmit]),
        ("queue-full", &[Queue(0), Queue(1), Queue(2), Queue(3), Queue(0), Queue(1), Queue(2), Queue(3)]),
        (
            "downlink",
            &[Send(0), Send(1), Send(2), Send(3), Send(4), Send(5), Send(6), Deliver(Down), Deliver(Down)],
        ),
        ("unknown", &[Send(6), Deliver(Down), Transmit, Deliver(Up)]),
        ("doubled", &[Write, Transmit, Double(Up), Deliver(Up), Deliver(Up)]),
        ("swapped", &[Write, Write, Transmit, Transmit, Swap(Up), Deliver(Up), Reconnect]),
        ("lost", &[Write, Write, Transmit, Transmit, Lose(Up), Deliver(Up), Reconnect]),
        ("altered", &[Write, Transmit, Corrupt(Up, 9, 1), Deliver(Up)]),
        ("replayed", &[Reconnect, Replay(Up, 1), Deliver(Up), Transmit, Deliver(Up), Deliver(Down)]),
        ("forged", &[Send(0), Forge(Down, 0, 0), Deliver(Down)]),
        ("clock", &[Wait, Deliver(Up), Deliver(Down), Wait]),
        ("silence", &[Tick(255), Tick(255), Reconnect, Transmit]),
        ("pending", &[Reconnect, Policy(2), Transmit, Deliver(Up), Deliver(Down), Tick(50), Transmit]),
        (
            "key-list",
            &[Reconnect, Policy(4), Transmit, Deliver(Up), Deliver(Down), Policy(0), Transmit, Deliver(Up)],
        ),
        ("rejected", &[Reconnect, Policy(3), Transmit, Deliver(Up), Deliver(Down)]),
        ("one-end", &[Renew(Up), Transmit, Deliver(Up), Renew(Down), Transmit, Deliver(Up)]),
        ("restored", &[&sale[..], &[Restore(0), Reconnect]].concat()),
        ("stalled", &[Write, Stall, Queue(1), Transmit, Stall, Transmit]),
    ];
    let told =
        |(name, story): &(&str, &[Step])| ((*name).to_owned(), script::write(&[&open[..], story].concat()));
    stories.iter().map(told).collect()
}

pub(crate) fn control_session() -> Seeds {
    #[allow(clippy::enum_glob_use, reason = "the stories are read as lists of verbs")]
    use crate::control_session::{
        Step::{self, *},
        Which,
    };
    let (a, b) = (Which(0), Which(1));
    let exchange = [Wait, Deliver(Up), Deliver(Down)];
    // Both boards are queried, opened, queried again and identified.
    let open = exchange.repeat(10);
    // A fresh status, the vend, its state; then its result is journaled and forgotten.
    let started = [&[Sell(a, 1)][..], &exchange.repeat(2), &[Move(a)]].concat();
    let ended = [&[Rest(a, 0)][..], &exchange.repeat(2), &[Tick(0)]].concat();
    let over = [&[Journal(a)][..], &exchange.repeat(4)].concat();
    let sale = [&started[..], &ended, &over].concat();
    let stories: &[(&str, &[&[Step]])] = &[
        ("open", &[]),
        ("sale", &[&sale]),
        ("two-boards", &[&[Sell(a, 1), Sell(b, 2)], &exchange.repeat(4), &[Move(a), Move(b), Rest(b, 1)]]),
        ("no-lane", &[&[Sell(b, 3)], &exchange.repeat(4)]),
        (
            "lost-answers",
            &[&[Sell(a, 1), Wait, Deliver(Up), Lose(Down), Wait, Deliver(Up), Lose(Down), Move(a)]],
        ),
        ("copied", &[&sale, &[Again(Up, 16), Again(Up, 6), Move(a)]]),
        ("copied-after-a-cut", &[&started, &[RestartBoard(a), Again(Up, 10), Again(Up, 0), Move(a)]]),
        (
            "noise",
            &[&[Noise(Up, 9), Wait, Damage(Up, 3, 1), Deliver(Up), Wait, Cut(Up, 0), Deliver(Up), Echo]],
        ),
        (
            "asked",
            &[&[Ask(a, 2)], &exchange, &[Ask(b, 1)], &exchange, &[Ask(a, 2), Wait, Lose(Up), Tick(255)]],
        ),
        ("aborted", &[&started, &[Ask(a, 0)], &exchange, &[Rest(a, 1)]]),
        ("main-cut", &[&started, &[RestartMain], &exchange.repeat(3), &ended]),
        ("main-cut-at-the-end", &[&started, &ended, &[RestartMain], &exchange.repeat(3)]),
        ("board-cut", &[&started, &[RestartBoard(a)], &exchange.repeat(3)]),
        ("door", &[&[Door(a)], &exchange.repeat(2), &[Sell(a, 1)], &exchange.repeat(2)]),
        ("refused", &[&[Tire(a)], &started, &[Tire(a)], &exchange.repeat(2)]),
        ("blocked", &[&[Sell(a, 1), Block(a)], &exchange.repeat(3)]),
        ("silent", &[&[Sell(a, 1), Wait, Lose(Up), Wait, Lose(Up), Wait, Lose(Up), Tick(255), Tick(255)]]),
    ];
    let told = |(name, story): &(&str, &[&[Step]])| {
        ((*name).to_owned(), script::write(&[&open[..], &story.concat()].concat()))
    };
    stories.iter().map(told).collect()
}

fn cobs() -> Seeds {
    let after = |noise: &[u8], frame: &[u8]| {
        [&[u8::try_from(noise.len() / 2).unwrap_or(u8::MAX)], noise, frame].concat()
    };
    [
        ("zeros", after(&[], &[0; 6])),
        ("quiet", after(&[], &[1, 2, 0, 3])),
        ("cut-block", after(&[9, 1, 2, 3], &[5])),
        ("two-frames", after(&[2, 7, 0, 2, 8, 0], &[1])),
        ("block-of-253", after(&[], &[7; 253])),
        ("block-of-254", after(&[], &[7; 254])),
        ("block-of-255", after(&[], &[7; 255])),
        ("too-long", after(&[], &[7; 301])),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

fn unchecked(kind: &Kind, address: u8) -> Vec<u8> {
    let mut frame = (kind.frame)(address, 1, NUMBER);
    frame.truncate(frame.len() - 4);
    frame
}

fn coded(frame: &[u8]) -> Vec<u8> {
    let mut line = vec![0; vend_protocol::cobs::line_len(frame.len())];
    let len = vend_protocol::cobs::encode(frame, &mut line).expect("`line_len` is enough");
    line.truncate(len);
    line
}

/// A type's name as a file's: `control::VendAnswer` is `vend-answer`, `List<u16, 3>` is `list-u16-3`.
fn name(of_type: &str) -> String {
    let mut name = String::new();
    for character in of_type.rsplit("::").next().unwrap_or(of_type).chars() {
        let word = character.is_ascii_alphanumeric();
        if (!word || character.is_ascii_uppercase()) && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if word {
            name.push(character.to_ascii_lowercase());
        }
    }
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_have_names_of_their_own() {
        assert_eq!(name("control::VendAnswer"), "vend-answer");
        assert_eq!(name("List < u16, 3 >"), "list-u16-3");
        for (target, seeds) in all() {
            let mut names: Vec<&str> = seeds.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), seeds.len(), "{target}");
        }
    }
}
