//! Writes the hand-made part of the corpus again: `cargo run --no-default-features --example seed`.
//!
//! An example and not a binary, since `cargo fuzz` takes every binary of this package for a fuzz target.

use std::{fs, io, path::Path};

use vend_fuzz::seeds;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in seeds::all() {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-")) {
                fs::remove_file(path)?;
            }
        }
        for (name, bytes) in &seeds {
            fs::write(folder.join(format!("seed-{name}")), bytes)?;
        }
        let bytes: usize = seeds.iter().map(|(_, bytes)| bytes.len()).sum();
        println!("{target}: {} seeds, {bytes} bytes", seeds.len());
    }
    Ok(())
}
