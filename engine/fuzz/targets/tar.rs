//! The strict reader of tar files: never a panic, and never more content than a member declares.

#![no_main]

use std::io::Read;

use archive::Tar;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut tar = Tar::new(data);
    while let Ok(Some(member)) = tar.next_member() {
        assert!(!member.name.contains('\0') && !member.target.contains('\0'), "a path ends at a zero byte");
        let mut content = Vec::new();
        match tar.content().read_to_end(&mut content) {
            Ok(_) => assert_eq!(content.len() as u64, member.size, "the whole content or an error"),
            Err(_) => return,
        }
    }
});
