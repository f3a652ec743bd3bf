//! The options of the commands that measure.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// What a command line asks for behind the name of what is measured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Write the figures here, too.
    pub(crate) json: Option<PathBuf>,
    /// Put the figures into `docs/measurements.md`.
    pub(crate) docs: bool,
    /// List this many of the heaviest symbols.
    pub(crate) top: usize,
    /// Fewer rounds.
    pub(crate) quick: bool,
    /// Use no network and install nothing.
    pub(crate) offline: bool,
}

impl Options {
    /// Reads them.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--json" => options.json = Some(value()?.into()),
                "--top" => options.top = value()?.parse().context("--top wants a number")?,
                "--docs" => options.docs = true,
                "--quick" => options.quick = true,
                "--offline" => options.offline = true,
                _ => bail!("there is no option `{arg}`"),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_or_refused() {
        let options = parse("--json a.json --top 7 --quick --docs").unwrap();
        let expected =
            Options { json: Some("a.json".into()), top: 7, docs: true, quick: true, offline: false };
        assert_eq!(options, expected);
        for wrong in ["--json", "--top", "--top x", "--nonsense", "protocol"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
