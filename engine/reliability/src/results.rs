//! What a store says that actions made, read without the engine.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// A header of a record: the length of the value at 8, the key at 24; the value follows, padded to eight.
const HEADER: usize = 80;

/// The outputs of every action in a store, by the action's key.
pub fn of(store: &Path) -> Result<BTreeMap<String, Value>, String> {
    let mut found = BTreeMap::new();
    let folder = store.join("v1/results");
    for entry in std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let log = std::fs::read(entry.map_err(|error| error.to_string())?.path()).map_err(|error| error.to_string())?;
        read(&log, &mut found)?;
    }
    Ok(found)
}

fn read(log: &[u8], found: &mut BTreeMap<String, Value>) -> Result<(), String> {
    let mut rest = log;
    while !rest.is_empty() {
        let header = rest.get(..HEADER).ok_or("a log of results ends within a header")?;
        let length = u32::from_le_bytes(header[8..12].try_into().expect("four bytes")) as usize;
        let value = rest.get(HEADER..HEADER + length).ok_or("a log of results ends within a value")?;
        if let Ok(Value::Object(value)) = serde_json::from_slice(value)
            && value.contains_key("exit_code")
        {
            let key = header[24..56].iter().map(|byte| format!("{byte:02x}")).collect();
            found.insert(key, value["outputs"].clone());
        }
        rest = rest.get(HEADER + length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(())
}
