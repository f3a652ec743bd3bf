//! The repository's own tasks: `cargo xtask test` is the whole suite.

mod bench;
mod command;
mod elf;
mod options;
mod spec;
mod steps;
mod summary;
mod toolchain;
mod workspace;

use std::{env, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, bail};

use options::Options;
use steps::{STEPS, Step};
use summary::Summary;
use workspace::Workspace;

const HELP: &str = "\
The repository's own tasks.

Usage: cargo xtask test [--only STEP[,STEP]]... [--list] [--offline]
       cargo xtask kills [COUNT [FAULTS]]
       cargo xtask fuzz [TARGET] [--seconds COUNT] [--seed NUMBER] [--keep] [--input FILE] [--offline]
       cargo xtask size [--top COUNT] [--json FILE] [--docs] [--offline]
       cargo xtask bench protocol [--quick] [--json FILE] [--docs] [--offline]

test          run every step in order; the first that fails ends the run
kills         kill the demo COUNT times (10) at any moment, start it again on the same data, and keep the books of all;
              FAULTS is none, default (the default) or heavy
fuzz          fuzz the wire for COUNT seconds (300) in all; --input runs one input of TARGET, --keep adds to the corpus what
              reaches new code
size          what the wire weighs on a Cortex-M4, per role and beside its limit, and every panic in it;
              --top lists the heaviest symbols
bench         our encoding beside others: bytes, times, and instructions on a Cortex-M4; --quick makes fewer rounds

--only STEP   run these steps only
--list        name the steps and say what each does
--json FILE   write the figures to a file
--docs        write the figures into docs/measurements.md
--offline     let cargo use what it has already downloaded, and install nothing

`CI=true` in the environment turns incremental compilation off.";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    only: Vec<String>,
    list: bool,
    offline: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.split_first() {
        Some((task, _)) if task == "kills" => return ended(kills(&args)),
        Some((task, options)) if task == "fuzz" => {
            return ended(steps::fuzz::command(options).map(|()| true));
        }
        Some((task, options)) if task == "size" => return ended(size(options)),
        Some((task, options)) if task == "bench" => return ended(bench(options)),
        _ => {}
    }
    match parse(&args) {
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Some(wanted)) => ended(test(&wanted)),
        Err(error) => {
            eprintln!("error: {error:#}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn ended(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn kills(args: &[String]) -> Result<bool> {
    let count = args.get(1).map_or(Ok(10), |count| count.parse()).context("COUNT is a number")?;
    let faults = args.get(2).map_or("default", String::as_str);
    steps::kills::run(&Workspace::read(false)?, count, faults)?;
    Ok(true)
}

fn size(options: &[String]) -> Result<bool> {
    let options = Options::parse(options)?;
    steps::size::run(&Workspace::read(options.offline)?, &options)?;
    Ok(true)
}

fn bench(args: &[String]) -> Result<bool> {
    let Some((name, options)) = args.split_first() else { bail!("bench wants a name: protocol") };
    if name != "protocol" {
        bail!("there is no benchmark `{name}`; there is protocol");
    }
    let options = Options::parse(options)?;
    steps::bench::protocol(&Workspace::read(options.offline)?, &options)?;
    Ok(true)
}

/// Reads the command line; `None` asks for help.
fn parse(args: &[String]) -> Result<Option<Wanted>> {
    let Some((task, options)) = args.split_first() else { return Ok(None) };
    if args.iter().any(|arg| matches!(arg.as_str(), "--help" | "-h" | "help")) {
        return Ok(None);
    }
    if task != "test" {
        bail!("there is no task `{task}`");
    }
    let mut wanted = Wanted::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (option.as_str(), None),
        };
        match name {
            "--only" => {
                let names = value.or_else(|| options.next().cloned()).context("--only wants a step")?;
                wanted.only.extend(names.split(',').map(str::to_owned));
            }
            "--list" if value.is_none() => wanted.list = true,
            "--offline" if value.is_none() => wanted.offline = true,
            _ => bail!("there is no option `{option}`"),
        }
    }
    if let Some(name) = wanted.only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        bail!("there is no step `{name}`; `cargo xtask test --list` names them");
    }
    Ok(Some(wanted))
}

/// Runs the wanted steps; `false` when one failed.
fn test(wanted: &Wanted) -> Result<bool> {
    if wanted.list {
        for Step { name, about, .. } in STEPS {
            println!("{name:<10} {about}");
        }
        return Ok(true);
    }
    let workspace = Workspace::read(wanted.offline)?;
    let mut summary = Summary::default();
    for step in
        STEPS.iter().filter(|step| wanted.only.is_empty() || wanted.only.iter().any(|n| n == step.name))
    {
        println!("\n== {}: {}", step.name, step.about);
        let started = Instant::now();
        let result = (step.run)(&workspace, &mut summary);
        summary.took(step.name, started.elapsed(), result.is_ok());
        if let Err(error) = result {
            eprintln!("\nerror: step `{}` failed: {error:#}", step.name);
            eprintln!("run it alone with `cargo xtask test --only {}`", step.name);
            summary.print();
            return Ok(false);
        }
    }
    summary.print();
    Ok(summary.failed() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_command_line_is_read_or_refused() {
        let wanted = parse(&words("test --only fmt,clippy --only=tests --offline")).unwrap().unwrap();
        assert_eq!(wanted.only, ["fmt", "clippy", "tests"]);
        assert!(wanted.offline && !wanted.list);
        for help in ["", "--help", "test -h"] {
            assert_eq!(parse(&words(help)).unwrap(), None, "{help}");
        }
        for wrong in ["best", "test --only", "test --only nonsense", "test --list=1", "test fmt"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
