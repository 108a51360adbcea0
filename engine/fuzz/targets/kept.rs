//! What another process may have written into a store: table files, rows of kept states, manifests of trees. The first byte
//! says which.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use model::Tree;
use snapshot::{Reader, State, Table, decode_package};
use store::TableFile;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let path = FOLDER.path().join("table");
    match first % 4 {
        0 => {
            std::fs::write(&path, bytes).expect("a file");
            let Ok(Some(file)) = TableFile::open(&path) else { return };
            for table in 0..8 {
                let sound = file.is_sound(table);
                (0..file.rows(table).min(1000)).for_each(|row| {
                    std::hint::black_box((sound, file.row(table, row)));
                });
            }
        }
        1 => {
            std::fs::write(&path, bytes).expect("a file");
            let Ok(Some(mut state)) = State::open(&path, b"identity") else { return };
            state.read_index();
            for id in 0..state.len(Table::Artifacts).min(1000) {
                let _ = state.artifact(id);
            }
        }
        2 => {
            let _ = Tree::from_bytes(bytes).map(|tree| tree.check());
        }
        _ => {
            let mut reader = Reader::new(bytes);
            while reader.number().is_some() && reader.text().is_some() {}
            let _ = decode_package(bytes);
        }
    }
});
