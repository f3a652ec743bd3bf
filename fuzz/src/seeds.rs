//! The inputs that a run begins with: one valid value of everything, so that nothing has to be found by chance.

use vend_protocol::machine_link::{MAC_LEN, SEALED};

use crate::layouts::{BODIES, CONTROL, Kind, MACHINE, PARTS};

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
