//! How to log in to a registry. Never shown.

use std::fmt;

use base64::Engine as _;

/// How to log in.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    Anonymous,
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
    /// A token that is exchanged for bearer tokens (OAuth2's refresh token), as `docker login` keeps after a login on the web.
    Identity(String),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(...)",
            Self::Bearer(_) => "Bearer(...)",
            Self::Identity(_) => "Identity(...)",
        })
    }
}

impl Auth {
    /// A text of somebody else without the password or token in it, as far as it is said plainly.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let engine = base64::engine::general_purpose::STANDARD;
        let secrets = match self {
            Self::Anonymous => Vec::new(),
            Self::Basic { user, password } => {
                vec![engine.encode(format!("{user}:{password}")), engine.encode(password), password.clone()]
            }
            Self::Bearer(token) | Self::Identity(token) => vec![token.clone()],
        };
        let secrets = secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "..."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_repeats_is_told_without_the_password() {
        let basic = Auth::Basic { user: "robot".into(), password: "hunter2-secret".into() };
        let said = "no Basic cm9ib3Q6aHVudGVyMi1zZWNyZXQ= of robot:hunter2-secret";
        assert_eq!(basic.redacted(said), "no Basic ... of robot:...");
        assert_eq!(Auth::Bearer("t0ken".into()).redacted("Bearer t0ken?"), "Bearer ...?");
        assert_eq!(Auth::Identity("t0ken".into()).redacted("refresh_token=t0ken"), "refresh_token=...");
        assert_eq!(Auth::Basic { user: String::new(), password: String::new() }.redacted("x"), "x");
    }
}
