//! Fuzzing of the wire: libFuzzer on the targets under `fuzz/`, with the Rust in use and without cargo-fuzz.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::{command::Run, summary::Summary, workspace::Workspace};

/// What the suite spends on all targets together, in seconds.
const SUITE_SECONDS: u64 = 300;

/// What tells libFuzzer where it has been. These passes are LLVM's own and need no nightly compiler. No sanitizer of
/// addresses beside them: there is no unsafe code in what is fuzzed, and it would halve the speed.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Bounds of one input: its bytes (more than the longest frame), the memory in use, and its seconds.
const LIMITS: &[&str] = &["-max_len=1200", "-rss_limit_mb=512", "-timeout=10"];

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// This target only.
    target: Option<String>,
    /// For all targets together.
    seconds: Option<u64>,
    /// Where the random numbers begin; else anywhere.
    seed: Option<u32>,
    /// Put what was found, and reaches new code, into the corpus.
    keep: bool,
    /// Run this input only.
    input: Option<PathBuf>,
    /// Use no network.
    offline: bool,
}

/// `cargo xtask fuzz`.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let wanted = Wanted::parse(args)?;
    run(&Workspace::read(wanted.offline)?, &wanted)
}

/// The step of the suite: the corpus first, as plain tests, then five minutes of fuzzing.
pub(super) fn step(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let cargo = |args: &str| {
        let (task, rest) = args.split_once(' ').unwrap_or((args, ""));
        workspace.cargo(task).args("--manifest-path fuzz/Cargo.toml").args(rest)
    };
    let target = workspace.target.join("fuzz");
    cargo("fmt -- --check").run()?;
    // Without libFuzzer, which is C++ and would be compiled once more for this profile.
    cargo("clippy --no-default-features --all-targets --target-dir")
        .arg(&target)
        .args("-- -D warnings")
        .run()?;
    let (lines, good) = cargo("test --no-default-features --target-dir").arg(&target).run_and_read()?;
    summary.read_tests(&lines);
    if !good {
        bail!("a property does not hold for the corpus, or the corpus is not as it should be");
    }
    run(workspace, &Wanted::default())
}

impl Wanted {
    fn parse(args: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--seconds" => wanted.seconds = Some(value()?.parse().context("--seconds wants a number")?),
                "--seed" => wanted.seed = Some(value()?.parse().context("--seed wants a number")?),
                "--input" => wanted.input = Some(value()?.into()),
                "--keep" => wanted.keep = true,
                "--offline" => wanted.offline = true,
                option if option.starts_with('-') => bail!("there is no option `{option}`"),
                target if wanted.target.is_none() => wanted.target = Some(target.to_owned()),
                more => bail!("one target or all of them; `{more}` is one too many"),
            }
        }
        if wanted.input.is_some() && wanted.target.is_none() {
            bail!("--input wants the target that it is for");
        }
        Ok(wanted)
    }
}

fn run(workspace: &Workspace, wanted: &Wanted) -> Result<()> {
    let fuzzer = Fuzzer::build(workspace)?;
    let mut targets = fuzzer.targets()?;
    if let Some(only) = &wanted.target {
        targets.retain(|target| target == only);
        if targets.is_empty() {
            bail!("there is no target `{only}`: they are the files of `fuzz/fuzz_targets`");
        }
    }
    if let (Some(input), Some(target)) = (&wanted.input, targets.first()) {
        return Run::program(&fuzzer.program(target).to_string_lossy())
            .args(&LIMITS.join(" "))
            .arg(input)
            .run();
    }

    let workers = thread::available_parallelism().map_or(1, usize::from).min(targets.len());
    let rounds = u64::try_from(targets.len().div_ceil(workers))?;
    let seconds = (wanted.seconds.unwrap_or(SUITE_SECONDS) / rounds).max(1);
    println!("{} targets, {workers} at a time, {seconds} s each", targets.len());
    println!("{}", Tally::HEADING);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = fuzzer.fuzz(target, seconds, wanted)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{target}: {error:#}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n\n")) }
}

/// The built targets, and the folders they work in.
struct Fuzzer {
    /// The crate.
    home: PathBuf,
    /// What it was built into.
    programs: PathBuf,
    /// Of this run only: what is found, and what libFuzzer prints.
    scratch: PathBuf,
}

impl Fuzzer {
    fn build(workspace: &Workspace) -> Result<Self> {
        let version = Run::program("rustc").args("-vV").output()?;
        let host =
            version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc has no host")?;
        let target = workspace.target.join("fuzz");
        workspace
            .cargo("build --quiet --release --bins --manifest-path fuzz/Cargo.toml")
            // With a target the flags are for what is fuzzed, and not for build scripts, which could not link.
            .args("--target")
            .arg(host)
            .arg("--target-dir")
            .arg(&target)
            .without_env("CARGO_ENCODED_RUSTFLAGS")
            .quiet_env("RUSTFLAGS", RUSTFLAGS)
            .run()?;
        Ok(Self {
            home: workspace.root.join("fuzz"),
            programs: target.join(host).join("release"),
            scratch: target.join("run"),
        })
    }

    fn program(&self, target: &str) -> PathBuf {
        self.programs.join(target)
    }

    /// Their names, in order.
    fn targets(&self) -> Result<Vec<String>> {
        let mut targets = Vec::new();
        for entry in fs::read_dir(self.home.join("fuzz_targets"))? {
            let path = entry?.path();
            targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        targets.sort();
        Ok(targets)
    }

    /// Fuzzes one target. What it finds goes to a folder of this run, not into the corpus.
    fn fuzz(&self, target: &str, seconds: u64, wanted: &Wanted) -> Result<()> {
        let corpus = self.home.join("corpus").join(target);
        let artifacts = self.home.join("artifacts").join(target);
        let scratch = self.scratch.join(target);
        let found = scratch.join("found");
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        for folder in [&corpus, &artifacts, &found] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let log = scratch.join("log");
        let mut command = Command::new(self.program(target));
        // A backtrace is for whoever looks into one input.
        command.env("RUST_BACKTRACE", "0");
        command.args([&found, &corpus]).args(LIMITS).arg("-print_final_stats=1");
        command.arg(format!("-max_total_time={seconds}"));
        // The slash at the end makes it a folder.
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        if let Some(seed) = wanted.seed {
            command.arg(format!("-seed={seed}"));
        }
        let status = logged(command, &log)?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let tally = Tally::read(&text);
        println!("{}", tally.line(target));
        if !status.success() {
            bail!("{}", failure(target, &text, &log));
        }
        // Without it nothing would be found, and nobody would notice.
        if tally.coverage.1 == 0 {
            bail!("it was built without coverage; see {}", log.display());
        }
        if wanted.keep {
            self.keep(target, &found, &corpus)?;
        }
        Ok(())
    }

    /// Adds to the corpus the fewest inputs that reach what the corpus does not.
    fn keep(&self, target: &str, found: &Path, corpus: &Path) -> Result<()> {
        let before: Vec<PathBuf> = files(corpus)?;
        let mut merge = Command::new(self.program(target));
        // Lines of code count here, not how often each was passed.
        merge.args(["-set_cover_merge=1", "-use_counters=0"]).args(LIMITS).args([corpus, found]);
        let log = found.with_extension("merge");
        let status = logged(merge, &log)?;
        if !status.success() {
            bail!("merging ended with {status}; see {}", log.display());
        }
        let mut kept = 0;
        for path in files(corpus)?.into_iter().filter(|path| !before.contains(path)) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            fs::rename(&path, corpus.join(format!("found-{}", name.get(..12).unwrap_or(&name))))?;
            kept += 1;
        }
        println!("{target}: {kept} inputs kept");
        Ok(())
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Runs a program with what it prints in a file.
fn logged(mut command: Command, log: &Path) -> Result<ExitStatus> {
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    command.status().with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}

/// What went wrong, and how to see it again.
fn failure(target: &str, text: &str, log: &Path) -> String {
    let mut told: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .take_while(|line| !line.starts_with("=="))
        .collect();
    if told.is_empty() {
        told = text.lines().filter(|line| line.contains("ERROR: ")).collect();
    }
    told.retain(|line| !line.trim().is_empty() && !line.starts_with("note: "));
    let what = told.join("\n  ");
    match text.lines().find_map(|line| line.split_once("Test unit written to ")) {
        Some((_, artifact)) => format!(
            "{what}\n  the input is {artifact}\n  see it again with `cargo xtask fuzz {target} --input {artifact}`"
        ),
        None => format!("it ended early: {what}\n  all it printed is in {}", log.display()),
    }
}

/// What libFuzzer counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    runs: u64,
    runs_a_second: u64,
    /// Edges of code reached, with the corpus alone and at the end.
    coverage: (u64, u64),
    /// As `coverage`, but each edge told apart by how often it was passed.
    features: (u64, u64),
    new_inputs: u64,
}

impl Tally {
    const HEADING: &str = "target                      runs   runs/s  edges: corpus  end   features: corpus    end   new inputs";

    /// Reads what libFuzzer prints: status lines such as `#12 NEW cov: 3 ft: 4 corp: ...`, and its final figures.
    fn read(text: &str) -> Self {
        let mut tally = Self::default();
        for line in text.lines() {
            if line.starts_with('#')
                && let (Some(coverage), Some(features)) = (number(line, " cov: "), number(line, " ft: "))
            {
                if line.contains("INITED") {
                    (tally.coverage.0, tally.features.0) = (coverage, features);
                }
                (tally.coverage.1, tally.features.1) = (coverage, features);
            }
        }
        let figure = |name| text.lines().find_map(|line| number(line, name)).unwrap_or(0);
        tally.runs = figure("stat::number_of_executed_units:");
        tally.runs_a_second = figure("stat::average_exec_per_sec:");
        tally.new_inputs = figure("stat::new_units_added:");
        tally
    }

    fn line(&self, target: &str) -> String {
        let Self { runs, runs_a_second, coverage, features, new_inputs } = self;
        format!(
            "{target:<20} {runs:>11} {runs_a_second:>8} {:>14} {:>4} {:>18} {:>6} {new_inputs:>12}",
            coverage.0, coverage.1, features.0, features.1
        )
    }
}

/// The number behind a label.
fn number(line: &str, label: &str) -> Option<u64> {
    line.split_once(label)?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wanted> {
        Wanted::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_is_read_or_refused() {
        assert_eq!(parse("").unwrap(), Wanted::default());
        let wanted = parse("cobs --seconds 7 --seed 3 --keep").unwrap();
        assert_eq!((wanted.target.as_deref(), wanted.seconds, wanted.seed), (Some("cobs"), Some(7), Some(3)));
        assert!(wanted.keep && !wanted.offline);
        for wrong in ["a b", "--seconds", "--seconds x", "--input a", "--nonsense"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_libfuzzer_prints_is_read() {
        let text = "INFO: Seed: 1\n#9\tINITED cov: 3 ft: 4 corp: 2/3b exec/s: 0 rss: 27Mb\n\
            #20\tNEW    cov: 5 ft: 8 corp: 3/9b lim: 4 exec/s: 0 rss: 27Mb L: 2/2 MS: 1 CrossOver-\n\
            stat::number_of_executed_units: 1246556\nstat::average_exec_per_sec:     138506\n\
            stat::new_units_added:          2\n";
        let expected = Tally {
            runs: 1_246_556,
            runs_a_second: 138_506,
            coverage: (3, 5),
            features: (4, 8),
            new_inputs: 2,
        };
        assert_eq!(Tally::read(text), expected);
    }

    #[test]
    fn a_failure_says_what_panicked_and_how_to_see_it_again() {
        let text = "#5 NEW cov: 1 ft: 1\nthread '<unnamed>' (7) panicked at src/frames.rs:1:2:\ntwo spellings\n\
            note: run with `RUST_BACKTRACE=1`\n==7== ERROR: libFuzzer: deadly signal\n\
            artifact_prefix='a/'; Test unit written to a/crash-1\n";
        let told = failure("cobs", text, Path::new("log"));
        assert!(told.starts_with(
            "thread '<unnamed>' (7) panicked at src/frames.rs:1:2:\n  two spellings\n  the input"
        ));
        assert!(told.ends_with("`cargo xtask fuzz cobs --input a/crash-1`"), "{told}");
    }
}
