//! Whether an image that could not be pulled ever can be, from the text a node gives. Pure.
//!
//! The text quotes names and digests, in which any sign may occur (`sha256:...404...`, a repository called
//! `forbidden`), so only what is left without them is read, and only by whole phrases.

/// What registries and nodes say who will say it again.
const FINAL: [&str; 9] = [
    "code = notfound",
    "manifest unknown",
    "name unknown",
    "401 unauthorized",
    "403 forbidden",
    "404 not found",
    "pull access denied",
    "authorization failed",
    "no basic auth credentials",
];

/// Whether a registry will give the same answer the next time. A network failure may pass.
pub(super) fn is_final_pull_error(message: &str) -> bool {
    let said = without_names(&message.to_lowercase());
    FINAL.iter().any(|phrase| contains_words(&said, phrase))
        || said.trim_end_matches(['"', ' ']).ends_with(": not found")
}

/// A text without what is quoted, addresses, image references and digests.
fn without_names(message: &str) -> String {
    // containerd quotes texts that hold quotes; the marks of the inner ones stay.
    let unquoted: String = message.replace("\\\"", "\"").split('"').step_by(2).collect();
    let is_name = |word: &&str| word.contains('/') || word.contains("sha256:") || word.contains('@');
    unquoted.split_whitespace().map(|word| if is_name(&word) { tail(word) } else { word }).collect::<Vec<_>>().join(" ")
}

/// The colon after a name is what ties it to what is said of it.
fn tail(word: &str) -> &str {
    if word.ends_with(':') { ":" } else { "" }
}

/// Whether a phrase occurs and is no part of longer words.
fn contains_words(text: &str, phrase: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
    text.match_indices(phrase)
        .any(|(at, _)| !is_word(text[..at].chars().next_back()) && !is_word(text[at + phrase.len()..].chars().next()))
}
