//! What a file runs when it is executed: the program itself, the interpreter that its first line names, the one that an ELF
//! file names (its dynamic linker). Whoever names a path below /proc for one of them means the engine's own program, which this
//! process still is, or a file that it holds open: no input of the command. All are looked at here before the kernel does,
//! which also tells which of them is missing.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::spec::Failure;

/// The kernel reads so much of a file to find out what it is.
const HEAD: usize = 256;

/// The kernel follows so many interpreters of interpreters.
const DEEPEST: usize = 5;

/// The longest path.
const LONGEST: usize = 4096;

/// More segments are not looked at; nor does the kernel take many more.
const SEGMENTS: usize = 128;

/// Checks that a program, and what it needs to be started, are files of the sandbox.
pub(super) fn check(program: &str) -> Result<(), Failure> {
    let mut path = program.to_owned();
    let mut what = format!("run {program}");
    for _ in 0..=DEEPEST {
        let file = open(&path).map_err(|errno| refused(&what, &path, errno))?;
        let mut head = [0; HEAD];
        // A folder cannot be read, which the kernel says better.
        let Ok(length) = file.read_at(&mut head, 0) else { return Ok(()) };
        if let Some(interpreter) = of_script(&head[..length]) {
            what = format!("run {program}, which names the interpreter {interpreter} in its first line");
            path = interpreter;
        } else if let Some(linker) = of_elf(&file, &head[..length]) {
            let what = format!("run {program}, which names the dynamic linker {linker}");
            return open(&linker).map(drop).map_err(|errno| refused(&what, &linker, errno));
        } else {
            return Ok(());
        }
    }
    Ok(())
}

/// Opens a file without following a link of /proc to what a process has.
fn open(path: &str) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    opened.map(File::from).map_err(|error| Errno::from_raw(error.raw_os_error()))
}

/// Says why a file is not run.
fn refused(what: &str, path: &str, errno: Errno) -> Failure {
    // A link that can be followed otherwise was refused because of where it is.
    let leads_out = errno == Errno::ELOOP && std::fs::metadata(path).is_ok();
    match leads_out {
        true => Failure {
            step: format!("{what}: a link of /proc to what a process has is no program that was declared"),
            errno: Errno::EACCES as i32,
        },
        false => Failure { step: what.to_owned(), errno: errno as i32 },
    }
}

/// The interpreter in the first line of a script.
fn of_script(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| b" \t\0".contains(byte)).filter(|word| !word.is_empty());
    words.next().map(|word| String::from_utf8_lossy(word).into_owned())
}

/// The dynamic linker that a program of this machine's kind names.
fn of_elf(file: &File, head: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let wide = head.get(4) == Some(&2);
    let number = |bytes: &[u8], at: usize, length: usize| {
        let mut number = [0; 8];
        number[..length].copy_from_slice(bytes.get(at..at + length)?);
        Some(u64::from_le_bytes(number))
    };
    // Where the table of segments is, the length of an entry, how many there are; in an entry where a segment is, and its length.
    let (table, size, count, offset, length) = if wide { (32, 54, 56, 8, 32) } else { (28, 42, 44, 4, 16) };
    let word = if wide { 8 } else { 4 };
    let table = number(head, table, word)?;
    let (size, count) = (usize::try_from(number(head, size, 2)?).ok()?, usize::try_from(number(head, count, 2)?).ok()?);
    let mut segments = vec![0; size * count.min(SEGMENTS)];
    let read = file.read_at(&mut segments, table).ok()?;
    let mut entries = segments[..read].chunks_exact(size.max(1));
    let entry = entries.find(|entry| number(entry, 0, 4) == Some(PT_INTERP))?;
    let mut name = vec![0; usize::try_from(number(entry, length, word)?).ok()?.min(LONGEST)];
    file.read_exact_at(&mut name, number(entry, offset, word)?).ok()?;
    name.split(|byte| *byte == 0).next().map(|name| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_is_the_first_word_of_its_first_line() {
        let of = |text: &str| of_script(text.as_bytes());
        assert_eq!(of("#!/bin/sh -e\necho"), Some("/bin/sh".to_owned()));
        assert_eq!(of("#! \t/bin/a\tb"), Some("/bin/a".to_owned()));
        assert_eq!(of("#!/bin/sh"), Some("/bin/sh".to_owned()));
        assert_eq!([of("#!\n/bin/sh"), of("#/bin/sh"), of("")], [None, None, None]);
    }

    #[test]
    fn the_linker_of_this_program_is_found_and_links_of_proc_are_not_followed() {
        let file = File::open("/proc/self/exe").unwrap();
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).unwrap();
        assert!(of_elf(&file, &head).unwrap().starts_with('/'));
        assert!(of_elf(&file, &head[..20]).is_none(), "a file that is cut off");
        assert_eq!(open("/proc/self/exe").unwrap_err(), Errno::ELOOP);
        assert_eq!(open("/absent").unwrap_err(), Errno::ENOENT);
        let program = std::env::current_exe().unwrap();
        check(program.to_str().unwrap()).unwrap();
        for path in ["/proc/self/exe", "/proc/thread-self/exe", "/proc/self/root/bin/sh"] {
            assert_eq!(check(path).unwrap_err().errno, Errno::EACCES as i32, "{path}");
        }
    }
}
