//! A report in the format that JUnit's Ant task began and that CI systems read, for a test whose runner wrote none: one
//! case, which is the whole test.

use std::fmt::Write as _;

use model::TestStatus;

use super::TestResult;

/// The report of one test.
pub(super) fn report(result: &TestResult) -> String {
    let name = escape(&result.label.to_string());
    let class = escape(&result.label.package().to_string());
    let (failures, errors) = match result.status {
        TestStatus::Passed => (0, 0),
        TestStatus::Failed => (1, 0),
        TestStatus::TimedOut | TestStatus::NotBuilt => (0, 1),
    };
    let time = format!("{:.3}", result.duration.as_secs_f64());
    let counts = format!("tests=\"1\" failures=\"{failures}\" errors=\"{errors}\"");
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let _ = writeln!(xml, "  <testsuite name=\"{name}\" {counts} time=\"{time}\">");
    let _ = writeln!(xml, "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{time}\">");
    if let Some(why) = &result.why {
        let element = if failures > 0 { "failure" } else { "error" };
        let _ = writeln!(xml, "      <{element} message=\"{}\"/>", escape(why));
    }
    xml.push_str("    </testcase>\n");
    let _ = writeln!(xml, "    <system-out>{}</system-out>", escape(&result.log));
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text as XML 1.0 can hold it. Characters that it cannot hold at all are shown by a sign.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push(character),
            '\r' => escaped.push_str("&#13;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control < ' ' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use model::Label;

    use super::*;

    fn of(status: TestStatus, why: Option<&str>, log: &str) -> String {
        report(&TestResult {
            label: Label::absolute("//a/b:t").unwrap(),
            status,
            cached: false,
            log: Arc::from(log),
            why: why.map(str::to_owned),
            duration: Duration::from_millis(1500),
        })
    }

    #[test]
    fn a_test_is_one_case() {
        let passed = of(TestStatus::Passed, None, "fine\n");
        assert!(passed.contains("<testsuite name=\"//a/b:t\" tests=\"1\" failures=\"0\" errors=\"0\" time=\"1.500\">"));
        assert!(passed.contains("<testcase name=\"//a/b:t\" classname=\"//a/b\" time=\"1.500\">"));
        assert!(passed.contains("<system-out>fine\n</system-out>") && !passed.contains("message"));
        let failed = of(TestStatus::Failed, Some("the test failed with exit code 1"), "");
        assert!(failed.contains("failures=\"1\" errors=\"0\""));
        assert!(failed.contains("<failure message=\"the test failed with exit code 1\"/>"));
        let slow = of(TestStatus::TimedOut, Some("too slow"), "");
        assert!(slow.contains("failures=\"0\" errors=\"1\"") && slow.contains("<error message=\"too slow\"/>"));
    }

    #[test]
    fn no_log_breaks_the_document() {
        let text = of(TestStatus::Failed, Some("a \"b\" <c>"), "]]> & <x> \u{1b}[31m\0\r\u{ffff}");
        assert!(text.contains("message=\"a &quot;b&quot; &lt;c&gt;\""));
        assert!(text.contains("]]&gt; &amp; &lt;x&gt; \u{fffd}[31m\u{fffd}&#13;\u{fffd}<"));
    }
}
