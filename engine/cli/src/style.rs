//! Colours, and how durations and sizes are written. Meaning never hangs on a colour alone.

use std::time::Duration;

use anstyle::{AnsiColor, Style as Ansi};

use crate::arguments::When;

/// Whether messages carry escape codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

/// What the environment says of a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings {
    /// Whether standard error is a terminal that can do more than lines.
    pub terminal: bool,
    /// Whether lines without escape codes are wanted: `NO_COLOR` is set, or a CI system runs the command.
    pub plain: bool,
}

impl Surroundings {
    /// Of this process.
    pub fn of_process() -> Self {
        use std::io::IsTerminal;
        let set = |name| host::env::var(name).is_some_and(|value| value != "false" && value != "0");
        let dumb = host::env::var("TERM").is_none_or(|term| term == "dumb");
        Self { terminal: std::io::stderr().is_terminal() && !dumb, plain: set("NO_COLOR") || set("CI") }
    }

    /// Whether something that is wanted `when` is to be done here.
    pub fn decide(self, when: When) -> bool {
        match when {
            When::Yes => true,
            When::No => false,
            When::Auto => self.terminal && !self.plain,
        }
    }
}

impl Style {
    /// With or without colours.
    pub fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Whether texts have colours.
    pub fn is_coloured(self) -> bool {
        self.colour
    }

    fn paint(self, style: Ansi, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Good news.
    pub fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default().bold(), text)
    }

    /// Bad news.
    pub fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    /// What deserves a look.
    pub fn warn(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default().bold(), text)
    }

    /// Where to look, what to type.
    pub fn accent(self, text: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default(), text)
    }

    /// What stands out.
    pub fn strong(self, text: &str) -> String {
        self.paint(Ansi::new().bold(), text)
    }

    /// What may be overlooked.
    pub fn faint(self, text: &str) -> String {
        self.paint(Ansi::new().dimmed(), text)
    }
}

/// `0.3s`, `42s`, `3m 05s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        _ => format!("{}m {:02}s", seconds / 60, seconds % 60),
    }
}

/// `12.3 MB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// `1 action`, `2 actions`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(duration(Duration::from_millis(349)), "0.3s");
        assert_eq!(duration(Duration::from_millis(42_900)), "42s");
        assert_eq!(duration(Duration::from_secs(185)), "3m 05s");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(12_345_678), "12.3 MB");
        assert_eq!(count(1, "test"), "1 test");
    }

    #[test]
    fn plain_text_has_no_escape_codes() {
        assert_eq!(Style::new(false).bad("FAILED"), "FAILED");
        assert!(Style::new(true).bad("FAILED").contains("\u{1b}["));
        let ci = Surroundings { terminal: true, plain: true };
        assert!(!ci.decide(When::Auto) && ci.decide(When::Yes));
    }
}
