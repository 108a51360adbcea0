//! Why a request or a body failed, in words for people.

use std::error::Error;
use std::fmt;

use rustls::CertificateError;

use crate::pace::TooSlow;

/// Why there is no answer, or not all of it. Holds no address, which might hold credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What helps.
    pub kind: FailureKind,
    /// What happened, as the end of a sentence.
    pub reason: String,
}

/// What helps against a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// To try again, perhaps.
    Passing,
    /// Another address: this one leads astray.
    Misled,
    /// A certificate that this machine trusts; nothing was sent.
    Certificate,
}

/// What to type when a server does not prove who it is.
pub const CERTIFICATE_HINTS: [&str; 2] = [
    "if the address is right, have this machine trust the authority of its certificate: put it into the system's store \
     (`update-ca-certificates`), or name a file of all trusted ones with SSL_CERT_FILE",
    "is the clock of this machine right?",
];

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::passing("no answer in time");
        }
        let kind = if error.is_redirect() || error.is_builder() { FailureKind::Misled } else { FailureKind::Passing };
        let error = error.without_url();
        if let Some(fault) = certificate(&error) {
            return Self { kind: FailureKind::Certificate, reason: said(fault) };
        }
        // The innermost cause says more than "error sending request".
        let mut cause: &dyn Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Self { kind, reason: cause.to_string() }
    }
}

impl From<TooSlow> for Failure {
    fn from(slow: TooSlow) -> Self {
        Self::passing(&slow.to_string())
    }
}

impl Failure {
    fn passing(reason: &str) -> Self {
        Self { kind: FailureKind::Passing, reason: reason.to_owned() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for Failure {}

/// What is wrong with the server's certificate, if that is the cause.
fn certificate<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(fault)) = error.downcast_ref() {
            return Some(fault);
        }
        cause = match error.downcast_ref::<std::io::Error>() {
            // What an I/O error wraps is none of its sources; their source is.
            Some(error) => error.get_ref().map(|wrapped| wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn said(fault: &CertificateError) -> String {
    use CertificateError as E;
    match fault {
        E::UnknownIssuer => "its certificate is from an authority that this machine does not trust".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => "its certificate is one for another host".to_owned(),
        E::Expired | E::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "its certificate is not valid yet".to_owned(),
        E::BadSignature => "its certificate was not signed by the authority that it names".to_owned(),
        E::Revoked => "its certificate was revoked".to_owned(),
        other => format!("its certificate is not valid: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error around another one.
    #[derive(Debug)]
    struct Around(std::io::Error);

    impl fmt::Display for Around {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("around")
        }
    }

    impl Error for Around {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn certificates_are_found_below_other_errors() {
        let twice = |error: rustls::Error| std::io::Error::other(std::io::Error::other(error));
        let of = |error: rustls::Error| certificate(&Around(twice(error))).map(said);
        for (fault, words) in [
            (CertificateError::UnknownIssuer, "its certificate is from an authority that this machine does not trust"),
            (CertificateError::NotValidForName, "its certificate is one for another host"),
            (CertificateError::Expired, "its certificate has expired"),
            (CertificateError::NotValidYet, "its certificate is not valid yet"),
            (CertificateError::BadSignature, "its certificate was not signed by the authority that it names"),
            (CertificateError::BadEncoding, "its certificate is not valid: BadEncoding"),
        ] {
            assert_eq!(of(rustls::Error::InvalidCertificate(fault)).as_deref(), Some(words));
        }
        assert_eq!(of(rustls::Error::DecryptError), None);
        assert_eq!(certificate(&std::io::Error::from_raw_os_error(111)), None);
    }
}
