//! One header block of a tar file. The layout is that of POSIX.1-1988 (ustar) and GNU tar.

use std::ops::Range;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// The fields of a header that matter.
#[derive(Debug)]
pub(crate) struct Header {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub size: u64,
    pub mode: u64,
    pub kind: u8,
}

/// Numbers that nothing here depends on. Readers differ in what they do about one that is none: some ignore it, some refuse
/// the archive, some take it for the archive's end.
const UNUSED: [(Range<usize>, &str); 5] = [
    (108..116, "its header has no valid user"),
    (116..124, "its header has no valid group"),
    (136..148, "its header has no valid time"),
    (329..337, "its header has no valid device number"),
    (337..345, "its header has no valid device number"),
];

/// Reads a block. An error says what is wrong.
pub(crate) fn parse(block: &[u8; BLOCK]) -> Result<Header, &'static str> {
    let sum: u64 =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
    if number(&block[148..156]) != Some(sum) {
        return Err("its header has a wrong checksum");
    }
    let size = number(&block[124..136]).ok_or("its header has no valid size")?;
    let mode = number(&block[100..108]).ok_or("its header has no valid mode")?;
    for (field, wrong) in UNUSED {
        if !is_number(&block[field]) {
            return Err(wrong);
        }
    }
    let mut name = text(&block[..100]).to_vec();
    let prefix = text(&block[345..500]);
    let posix = &block[257..265] == b"ustar\x0000";
    if posix && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    } else if !posix && block[345..500].iter().any(|byte| *byte != 0) {
        // Some readers take these for a part of the name, others for times or the parts of a sparse file.
        return Err("its header has fields that readers understand differently");
    }
    Ok(Header { name, link: text(&block[157..257]).to_vec(), size, mode, kind: block[156] })
}

/// What stands before the first zero byte.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// Octal digits between spaces, or GNU's binary form for large numbers. Nothing at all is zero.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let (high, low) = field[1..].split_at(field.len() - 1 - 8.min(field.len() - 1));
        let fits = high.iter().all(|byte| *byte == 0);
        return fits.then(|| low.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0u64, |all, digit| matches!(digit, b'0'..=b'7').then(|| all << 3 | u64::from(digit - b'0')))
}

/// Whether the field holds a number, which may be below zero or larger than 64 bits.
fn is_number(field: &[u8]) -> bool {
    matches!(field[0], 0x80 | 0xff) || number(field).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b" 12 \0 77"), Some(0o12));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(number(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None, "more than 64 bits");
        for bad in
            [&b"-0000012"[..], b"0o12\0\0\0\0", b"0000089\0", b"1_2\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
