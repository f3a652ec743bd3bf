//! What the run ends with: minutes per step, then the test runners' own last lines, then their sum.

use std::time::Duration;

/// Gathers it while the steps run.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    steps: Vec<(&'static str, Duration, bool)>,
    results: Vec<String>,
    passed: u64,
    failed: u64,
}

impl Summary {
    /// A step ended.
    pub(crate) fn took(&mut self, step: &'static str, time: Duration, good: bool) {
        self.steps.push((step, time, good));
    }

    /// Takes the result lines out of what a test runner printed.
    pub(crate) fn read_tests(&mut self, lines: &[String]) {
        for line in lines {
            if let Some((passed, failed)) = counts(line) {
                self.passed += passed;
                self.failed += failed;
                if passed + failed > 0 {
                    self.results.push(line.clone());
                }
            }
        }
    }

    /// Tests that passed.
    pub(crate) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Tests that failed.
    pub(crate) const fn failed(&self) -> u64 {
        self.failed
    }

    /// The last line: passed and failed. A step that failed without a failed test (a crash, a build) is one failure, so that
    /// the line never looks good when the run is not. `None` when there is nothing to count.
    fn last_line(&self) -> Option<String> {
        let broken = self.failed == 0 && self.steps.iter().any(|(_, _, good)| !good);
        let failed = self.failed + u64::from(broken);
        (self.passed + failed > 0).then(|| format!("{} passed, {failed} failed", self.passed))
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        println!("\nstep        minutes");
        for (step, time, good) in &self.steps {
            println!("{step:<10}  {:>7.1}{}", time.as_secs_f64() / 60.0, if *good { "" } else { "  failed" });
        }
        let all: Duration = self.steps.iter().map(|step| step.1).sum();
        println!("{:<10}  {:>7.1}", "all", all.as_secs_f64() / 60.0);
        if let Some(last) = self.last_line() {
            println!();
            self.results.iter().for_each(|line| println!("{line}"));
            println!("{last}");
        }
    }
}

/// The counts in a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = counts.split("; ");
    let mut count = |word| parts.next()?.strip_suffix(word)?.trim().parse().ok();
    Some((count("passed")?, count("failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed_and_others_passed_over() {
        let lines = [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: something else",
        ];
        let mut summary = Summary::default();
        summary.read_tests(&lines.map(str::to_owned));
        assert_eq!((summary.passed(), summary.failed(), summary.results.len()), (7, 2, 2));
        assert_eq!(summary.last_line().unwrap(), "7 passed, 2 failed");
    }

    #[test]
    fn the_last_line_never_looks_good_when_a_step_failed() {
        let mut summary = Summary::default();
        summary.took("fmt", Duration::ZERO, true);
        assert_eq!(summary.last_line(), None);
        summary.read_tests(&["test result: ok. 3 passed; 0 failed; 0 ignored".to_owned()]);
        assert_eq!(summary.last_line().unwrap(), "3 passed, 0 failed");
        summary.took("tests", Duration::ZERO, false);
        assert_eq!(summary.last_line().unwrap(), "3 passed, 1 failed");
    }
}
