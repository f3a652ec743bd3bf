//! What is said, as the entries of a file.

use std::fmt::Debug;

use vend_payments::{session::SessionSeal, signed::Body};
use vend_protocol::{
    List, cobs, codec, control_link,
    frame::{self, CONTROL_FRAME_MAX, CRC_LEN, Frame, HEADER_LEN, MACHINE_FRAME_MAX, Message},
    machine_link::{Channel, End, MAC_LEN, Received, SEALED},
    signed::{REVISIONS_MAX, Revision, Signed},
};

use super::{
    fields::fields,
    file::{Entry, hex},
    kinds::{self, Link},
    shape::Shape,
};

/// The board's address on the control link.
const ADDRESS: u8 = control_link::FIRST_ADDRESS;
/// Where the main board's count of exchanges stood: anywhere.
const FIRST_EXCHANGE: u32 = 1001;

/// The entries of the file, numbered.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    exchanges: u32,
}

impl Book {
    fn begin(&self, name: &str, why: &str) -> Entry {
        let mut entry = Entry::new(format!("{:02}.{name}", self.entries.len() + 1));
        entry.put("says", why);
        entry
    }

    /// Bytes that are not on the wire.
    pub(crate) fn say(&mut self, name: &str, why: &str, lines: &[(&str, &[u8])]) {
        let mut entry = self.begin(name, why);
        for (key, bytes) in lines {
            entry.put(key, hex(bytes));
        }
        self.entries.push(entry);
    }

    /// The body of a signed message.
    pub(crate) fn body<B: Body>(&mut self, name: &str, why: &str, signed: &Signed) {
        let mut entry = self.begin(name, why);
        let tag = B::TAG.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte));
        entry.put("tag", tag.collect::<String>());
        put_fields(&mut entry, &codec::decode::<B>(&signed.body).expect("a body of its type"));
        entry.put("payload", hex(&signed.body));
        entry.put("signature", hex(&signed.signature.to_bytes()));
        self.entries.push(entry);
    }

    /// A request of the main board.
    pub(crate) fn ask<M: Message + PartialEq + Debug>(&mut self, why: &str, message: &M) {
        self.exchanges += 1;
        self.on_line("main board", why, message);
    }

    /// The board's answer to it.
    pub(crate) fn answer<M: Message + PartialEq + Debug>(&mut self, why: &str, message: &M) {
        self.on_line("control board", why, message);
    }

    fn on_line<M: Message + PartialEq + Debug>(&mut self, from: &str, why: &str, message: &M) {
        let sequence = FIRST_EXCHANGE + self.exchanges - 1;
        let mut entry = self.begin(&kinds::message(Link::Control, M::KIND, M::REVISION), why);
        let mut out = [0; CONTROL_FRAME_MAX];
        let len = frame::write(ADDRESS, sequence, message, &mut out).unwrap();
        let frame = Frame::parse(&out[..len]).unwrap();
        assert_eq!(frame.decode::<M>().as_ref(), Ok(message));
        let mut line = [0; control_link::LINE_MAX];
        let line_len = cobs::encode(&out[..len], &mut line).unwrap();
        put_head(&mut entry, "control_link", from, &frame);
        put_fields(&mut entry, message);
        entry.put("payload", hex(frame.payload));
        entry.put("frame", hex(&out[..len]));
        entry.put("line", hex(&line[..line_len]));
        self.entries.push(entry);
    }
}

fn put_head(entry: &mut Entry, link: &str, from: &str, frame: &Frame<'_>) {
    entry.put("link", link);
    entry.put("from", from);
    entry.put("address", frame.address);
    entry.put("kind", format!("{:#04x}", frame.kind));
    entry.put("revision", frame.revision);
    entry.put("sequence", frame.sequence);
}

fn put_fields<T: serde::Serialize + serde::de::DeserializeOwned>(entry: &mut Entry, value: &T) {
    let shape = Shape::of::<T>();
    for field in fields(value) {
        entry.put("field", field.line(&shape));
    }
}

type Revisions = List<Revision, REVISIONS_MAX>;

/// One connection of the machine link, with both of its ends.
pub(crate) struct Connection {
    machine: Channel<SessionSeal>,
    server: Channel<SessionSeal>,
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self { machine: Channel::new(End::Machine, 0, 60_000), server: Channel::new(End::Server, 0, 60_000) }
    }

    /// Each end has its seal and knows what the other one reads.
    pub(crate) fn open(
        &mut self,
        machine: SessionSeal,
        server_reads: Revisions,
        server: SessionSeal,
        machine_reads: Revisions,
    ) {
        self.machine.open(machine, server_reads);
        self.server.open(server, machine_reads);
    }

    /// The machine says something; what the server hears.
    pub(crate) fn up<M: Message + PartialEq + Debug>(
        &mut self,
        book: &mut Book,
        why: &str,
        message: &M,
    ) -> M {
        pass(&mut self.machine, &mut self.server, "machine", book, why, message)
    }

    /// The server says something; what the machine hears.
    pub(crate) fn down<M: Message + PartialEq + Debug>(
        &mut self,
        book: &mut Book,
        why: &str,
        message: &M,
    ) -> M {
        pass(&mut self.server, &mut self.machine, "server", book, why, message)
    }
}

fn pass<M: Message + PartialEq + Debug>(
    sender: &mut Channel<SessionSeal>,
    receiver: &mut Channel<SessionSeal>,
    from: &str,
    book: &mut Book,
    why: &str,
    message: &M,
) -> M {
    let mut entry = book.begin(&kinds::message(Link::Machine, M::KIND, M::REVISION), why);
    let mut out = [0; MACHINE_FRAME_MAX];
    let len = sender.send(message, &mut out).unwrap();
    let bytes = &out[..len];
    let Ok(Received::Message(frame)) = receiver.receive(0, bytes) else { panic!("{from} was not heard") };
    put_head(&mut entry, "machine_link", from, &frame);
    put_fields(&mut entry, message);
    entry.put("payload", hex(frame.payload));
    if frame.address == SEALED {
        let code = HEADER_LEN + frame.payload.len();
        assert_eq!(code + MAC_LEN + CRC_LEN, len);
        entry.put("code", hex(&bytes[code..code + MAC_LEN]));
    }
    entry.put("frame", hex(bytes));
    book.entries.push(entry);
    let heard = frame.decode::<M>().unwrap();
    assert_eq!(&heard, message);
    heard
}
