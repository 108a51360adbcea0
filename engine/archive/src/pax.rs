//! The records of an extended header (POSIX.1-2001, pax): `<length> <key>=<value>` and a line break, the length in bytes with
//! itself.

/// What a header says that changes how the next member is read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
}

/// Reads all records. An error says what is wrong.
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Records, &'static str> {
    const DAMAGED: &str = "its extended header is damaged";
    let mut records = Records::default();
    let mut keys: Vec<&[u8]> = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or(DAMAGED)?;
        let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(DAMAGED)?;
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(DAMAGED);
        }
        let record = &bytes[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(DAMAGED)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if keys.contains(&key) {
            return Err("its extended header says a thing twice");
        }
        keys.push(key);
        records.take(key, value)?;
        bytes = &bytes[length..];
    }
    Ok(records)
}

impl Records {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let text = || match value.is_empty() || value.contains(&0) {
            true => Err("its extended header has a path that is empty or holds a zero byte"),
            false => Ok(Some(value.to_vec())),
        };
        match key {
            b"path" => self.path = text()?,
            b"linkpath" => self.link = text()?,
            b"size" => self.size = Some(decimal(value).ok_or("its extended header has no valid size")?),
            b"hdrcharset" | b"charset" => return Err("its extended header sets another encoding"),
            _ if key.starts_with(b"GNU.sparse.") => return Err("it is a sparse file, which is not supported"),
            _ => {}
        }
        Ok(())
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let valid = !digits.is_empty() && digits.len() < 20 && digits.iter().all(u8::is_ascii_digit);
    valid.then(|| digits.iter().fold(0, |all, digit| all * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_by_their_length() {
        let records = parse(b"12 path=a\nb\n8 size=7\n").unwrap_err();
        assert_eq!(records, "its extended header is damaged");
        let records = parse(b"12 path=a\nb\n9 size=7\n13 comment=x\n").unwrap();
        assert_eq!((records.path.as_deref(), records.size), (Some(&b"a\nb"[..]), Some(7)));
        for bad in [
            &b"9 path=a\n10 path=b\n"[..],
            b"99999999999999999999 a=b\n",
            b"3 \n",
            b"11 path=a\n",
            b"5 a=b",
            b"+9 path=\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse(b"22 GNU.sparse.major=1\n").unwrap_err().contains("sparse"));
    }
}
