//! How much more an archive unpacks to than it has bytes. A small file that unpacks to a large one is made to fill disks.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Up to here nobody is harmed, whatever the ratio.
const HARMLESS: u64 = 256 << 20;
/// Text that repeats itself packs to a fiftieth; only made-up content goes beyond this.
const RATIO: u64 = 200;

/// The bytes that went into a decompressor and came out of it.
#[derive(Debug, Clone)]
pub struct Expansion {
    packed: Rc<Cell<u64>>,
    limit: u64,
}

/// The packed side: counts what is read.
#[derive(Debug)]
pub struct Packed<R> {
    inner: R,
    expansion: Expansion,
}

/// The unpacked side: fails when too much comes out.
#[derive(Debug)]
pub struct Plain<R> {
    inner: R,
    expansion: Expansion,
    unpacked: u64,
}

impl Expansion {
    /// Nothing yet. More than `limit` bytes must not come out.
    pub fn new(limit: u64) -> Self {
        Self { packed: Rc::default(), limit }
    }

    /// The reader below the decompressor.
    pub fn packed<R: Read>(&self, inner: R) -> Packed<R> {
        Packed { inner, expansion: self.clone() }
    }

    /// The decompressor.
    pub fn plain<R: Read>(&self, inner: R) -> Plain<R> {
        Plain { inner, expansion: self.clone(), unpacked: 0 }
    }

    /// Why so many bytes are too many, if they are.
    pub fn exceeded(unpacked: u64, packed: u64, limit: u64) -> Option<String> {
        if unpacked > limit {
            return Some(format!("it unpacks to more than {limit} bytes"));
        }
        let many = unpacked > HARMLESS && unpacked / RATIO > packed;
        many.then(|| format!("it unpacks to more than {HARMLESS} bytes and {RATIO} times its size"))
    }
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.expansion.packed.set(self.expansion.packed.get() + count as u64);
        Ok(count)
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.unpacked += count as u64;
        match Expansion::exceeded(self.unpacked, self.expansion.packed.get(), self.expansion.limit) {
            Some(reason) => Err(io::Error::new(io::ErrorKind::FileTooLarge, reason)),
            None => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_that_becomes_much_is_refused() {
        let read = |packed: u64, unpacked: u64, limit: u64| {
            let expansion = Expansion::new(limit);
            io::copy(&mut expansion.packed(io::repeat(0).take(packed)), &mut io::sink()).unwrap();
            io::copy(&mut expansion.plain(io::repeat(0).take(unpacked)), &mut io::sink())
        };
        assert!(read(1000, 1 << 20, 1 << 30).is_ok(), "small");
        assert!(read(10 << 20, 300 << 20, 1 << 30).is_ok(), "packed well");
        assert!(read(1000, 300 << 20, 1 << 30).unwrap_err().to_string().contains("200 times"));
        assert!(read(10 << 20, 300 << 20, 299 << 20).unwrap_err().to_string().contains("more than"));
    }
}
