//! What the store's operations cost, to be run under `perf stat` or `strace -c`: `costs FOLDER OPERATION COUNT`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use model::Digest;
use store::{Limits, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = host::env::arguments();
    let [_, folder, operation, count] = &arguments[..] else {
        return Err("costs FOLDER OPERATION COUNT".into());
    };
    let (folder, count) = (Path::new(folder), count.parse::<usize>()?);
    let store = Store::open(&folder.join("store"))?;
    let began = Instant::now();
    match operation.as_str() {
        "memo_put" => (0..count).try_for_each(|n| store.memo_put(&key(n), &value(n)))?,
        "memo_get" => {
            let found: Result<Vec<_>, _> = (0..count).map(|n| store.memo_get(&key(n))).collect();
            println!("{} found", found?.into_iter().flatten().count());
        }
        "put_bytes" => (0..count).try_for_each(|n| store.put_bytes(&value(n)).map(drop))?,
        "make" => make(folder, count)?,
        "put_file" => (0..count).try_for_each(|n| store.put_file(&made(folder, n)).map(drop))?,
        "sizes" => println!("{:?}", store.sizes()?),
        "gc" => println!("{:?}", store.gc(&Limits { size: Some(u64::MAX), dry_run: true, ..Limits::default() })?),
        "fsck" => println!("{:?}", store.fsck(false, &|_, _| ())?),
        "quick" => println!("{:?}", store.fsck(true, &|_, _| ())?),
        "start" => println!("{:?}", Store::open_after_start(&folder.join("store"), "another")?.1),
        "restore" => restore(&store, folder, count)?,
        other => return Err(format!("no operation {other}").into()),
    }
    println!("{operation} {count}: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn key(n: usize) -> Digest {
    Digest::of(&n.to_le_bytes())
}

fn value(n: usize) -> Vec<u8> {
    format!("the value of key {n}; ").repeat(20).into_bytes()
}

fn made(folder: &Path, n: usize) -> PathBuf {
    folder.join("made").join(n.to_string())
}

/// The files that `put_file` takes.
fn make(folder: &Path, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    host::fs::create_dir_all(&folder.join("made"))?;
    Ok((0..count).try_for_each(|n| host::fs::write(&made(folder, n), &value(n)))?)
}

fn placement(value: &[u8], to: PathBuf) -> store::Placement {
    store::Placement { digest: Digest::of(value), size: value.len() as u64, executable: false, to }
}

fn restore(store: &Store, folder: &Path, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let to = |n: usize| folder.join("out").join((n / 100).to_string()).join(n.to_string());
    let files: Vec<_> = (0..count).map(|n| placement(&value(n), to(n))).collect();
    println!("{:?}", store.materialise_files(folder, &files)?);
    Ok(())
}
