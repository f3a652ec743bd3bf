//! Other programs: printed before they run, and their failure is an error with their name in it.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader, IsTerminal as _, Read as _, stdout},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// A program with its arguments.
pub(crate) struct Run {
    command: Command,
    shown: String,
}

impl Run {
    /// Any program.
    pub(crate) fn program(program: &str) -> Self {
        Self { command: Command::new(program), shown: program.to_owned() }
    }

    /// The cargo that runs us.
    pub(crate) fn cargo() -> Self {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut run = Self { command: Command::new(cargo), shown: "cargo".to_owned() };
        run.command.env("CARGO_TERM_COLOR", if stdout().is_terminal() { "always" } else { "never" });
        if !stdout().is_terminal() {
            run.command.env("CARGO_TERM_PROGRESS_WHEN", "never");
        }
        if env::var_os("CI").is_some_and(|ci| ci != "false") {
            // A build that runs once gains nothing from it, and it doubles what is written to disk.
            run.command.env("CARGO_INCREMENTAL", "0");
        }
        run
    }

    /// Arguments, separated by blanks.
    pub(crate) fn args(mut self, args: &str) -> Self {
        for arg in args.split_whitespace() {
            self = self.arg(arg);
        }
        self
    }

    /// One argument, as it is.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// An environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{name}={:?} {}", value.as_ref().to_string_lossy(), self.shown);
        self.command.env(name, value);
        self
    }

    /// An environment variable that would only clutter what is printed.
    pub(crate) fn quiet_env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// An environment variable that must not be inherited.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The folder it runs in.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.shown);
        let status = self.command.status().with_context(|| format!("cannot start `{}`", self.shown))?;
        if status.success() { Ok(()) } else { bail!("`{}` ended with {status}", self.shown) }
    }

    /// Runs it, showing what it prints, and gives the lines of its standard output, with whether it succeeded.
    pub(crate) fn run_and_read(mut self) -> Result<(Vec<String>, bool)> {
        println!("$ {}", self.shown);
        self.command.stdout(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("cannot start `{}`", self.shown))?;
        let mut lines = Vec::new();
        if let Some(out) = child.stdout.take() {
            // A test may print bytes that are no text: they must not end the reading.
            for line in BufReader::new(out).split(b'\n') {
                let line = String::from_utf8_lossy(&line?).into_owned();
                println!("{line}");
                lines.push(line);
            }
        }
        Ok((lines, child.wait()?.success()))
    }

    /// Runs it quietly and gives what it prints; its errors are shown.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            bail!("`{}` ended with {}", self.shown, output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no text", self.shown))
    }

    /// Runs it, and ends it when it takes longer than `limit`.
    pub(crate) fn run_within(mut self, limit: Duration) -> Result<()> {
        println!("$ {}", self.shown);
        let child = self.command.spawn().with_context(|| format!("cannot start `{}`", self.shown))?;
        wait(child, &self.shown, limit).map(|_| ())
    }

    /// The same, and gives what it prints, which must be less than a pipe holds: it is read at the end.
    pub(crate) fn output_within(mut self, limit: Duration) -> Result<String> {
        println!("$ {}", self.shown);
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = self.command.spawn().with_context(|| format!("cannot start `{}`", self.shown))?;
        let mut printed = String::new();
        if let Some(mut out) = wait(child, &self.shown, limit)?.stdout {
            out.read_to_string(&mut printed)?;
        }
        Ok(printed)
    }
}

/// Waits for a child to end well.
fn wait(mut child: Child, shown: &str, limit: Duration) -> Result<Child> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(child) } else { bail!("`{shown}` ended with {status}") };
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("`{shown}` was not done after {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(200));
    }
}
