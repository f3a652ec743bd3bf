//! What the terminal shows.

use std::io::{IsTerminal, Write};

use qrcodegen_no_heap::{QrCode, QrCodeEcc, Version};

use crate::{options::Options, world::World};

/// The addresses and the label's QR code.
pub(crate) fn welcome(world: &World, options: &Options) {
    println!(
        "\n  The vend SDK's demo: server, wallet sandbox and {} machines in this process.\n",
        options.machines
    );
    println!("  Operator pages  {}/operator/machines", world.url);
    println!("                  user operator, password {}", world.password);
    if let Some(station) = world.stations.first() {
        println!("  Machine screen  {}/m/{}/screen", world.url, station.id);
        println!("  Label of the machine, to pick on a phone: {}/m/{}", world.url, station.id);
        print_qr(&format!("{}/m/{}", world.url, station.id));
    }
    println!("  Pay like a phone {}/phone  (paste the code's text; password 123456)", world.sandbox_url);
    println!("  Data            {}\n", world.dir.display());
}

/// A QR code in half blocks, dark on light whatever the terminal's colours.
fn print_qr(text: &str) {
    let mut temp = [0; Version::new(10).buffer_len()];
    let mut out = [0; Version::new(10).buffer_len()];
    let code = QrCode::encode_text(
        text,
        &mut temp,
        &mut out,
        QrCodeEcc::Medium,
        Version::MIN,
        Version::new(10),
        None,
        true,
    );
    // Too long for the terminal: the address stands above.
    let Ok(code) = code else { return };
    let size = code.size();
    // Colours only where they are understood; elsewhere the blocks alone are dark on light for most readers.
    let (on, off) = if std::io::stdout().is_terminal() { ("\x1b[30;107m", "\x1b[0m") } else { ("", "") };
    for y in (-2..size + 2).step_by(2) {
        let row: String = (-2..size + 2)
            .map(|x| match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect();
        println!("    {on}{row}{off}");
    }
}

/// A bar that moves on a terminal, and a line now and then elsewhere.
pub(crate) struct Progress {
    total: u32,
    done: u32,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(total: u32) -> Self {
        Self { total, done: 0, terminal: std::io::stdout().is_terminal() }
    }

    pub(crate) fn step(&mut self) {
        self.done += 1;
        if self.terminal {
            let filled = (self.done * 40 / self.total.max(1)) as usize;
            print!(
                "\r  [{}{}] {} of {} sales",
                "#".repeat(filled),
                ".".repeat(40 - filled),
                self.done,
                self.total
            );
            let _ = std::io::stdout().flush();
            if self.done == self.total {
                println!();
            }
        } else if self.done.is_multiple_of(25) || self.done == self.total {
            println!("  {} of {} sales", self.done, self.total);
        }
    }
}
