//! Which file systems a folder is on. The numbers and times of a file say whether it changed only as long as it is on the same
//! file system: another image, mounted in the place of one, may have files with the very same ones.

use std::path::Path;

/// File systems that keep no time of change of their own: a file whose time of modification was put back looks unchanged.
const LOOSE: [&str; 3] = ["vfat", "msdos", "exfat"];

/// The major number of loop devices.
const LOOP: &str = "7:";

/// What a folder and all below it is on, as this process sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Equal texts are the same file systems at the same places. Remounting the same ones changes nothing.
    pub text: String,
    /// Whether times of files do not tell whether they changed.
    pub is_loose: bool,
}

/// The view of a folder, whose path is absolute and without links. Empty where the kernel does not say.
pub fn view(folder: &Path) -> View {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut view = View::default();
    for mount in relevant(&table, folder) {
        let Mount { device, root, point, kind, source } = mount;
        // The name of the file system as such: it outlives the device that it is on.
        let name = rustix::fs::statvfs(&point).map_or(0, |stat| stat.f_fsid);
        view.text.push_str(&format!(
            "{device} {root} {} {kind} {source} {name:x}{}\n",
            point.display(),
            image(&device)
        ));
        view.is_loose |= LOOSE.contains(&kind.as_str());
    }
    view
}

/// A line of the table of mounts.
struct Mount {
    device: String,
    root: String,
    point: std::path::PathBuf,
    kind: String,
    source: String,
}

/// The mount that a folder is on, and those below it. Of several at one place, the last is seen.
fn relevant(table: &str, folder: &Path) -> Vec<Mount> {
    let mut own: Option<Mount> = None;
    let mut below: Vec<Mount> = Vec::new();
    for mount in table.lines().filter_map(parse) {
        if folder.starts_with(&mount.point) {
            // The table lists a mount after what it is mounted on.
            if own.as_ref().is_none_or(|known| mount.point.starts_with(&known.point)) {
                own = Some(mount);
            }
        } else if mount.point.starts_with(folder) {
            below.retain(|known| known.point != mount.point);
            below.push(mount);
        }
    }
    own.into_iter().chain(below).collect()
}

/// `36 35 98:0 /root /point options ... - type source options`
fn parse(line: &str) -> Option<Mount> {
    let (place, file_system) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let (device, root, point) = (place.next()?, place.next()?, place.next()?);
    let mut file_system = file_system.split(' ');
    Some(Mount {
        device: device.to_owned(),
        root: root.to_owned(),
        point: unescape(point).into(),
        kind: file_system.next()?.to_owned(),
        source: file_system.next().unwrap_or_default().to_owned(),
    })
}

/// Blanks and the like stand as `\040`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 8).ok());
        match code.filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The file behind a loop device: images of one kind may share everything else, their UUID included.
fn image(device: &str) -> String {
    if !device.starts_with(LOOP) {
        return String::new();
    }
    let file = std::fs::read_to_string(format!("/sys/dev/block/{device}/loop/backing_file")).unwrap_or_default();
    match crate::fs::stat(Path::new(file.trim_end())) {
        Ok(stat) => format!(" {} {} {} {} {}", stat.device, stat.inode, stat.size, stat.mtime, stat.ctime),
        Err(_) => format!(" {}", file.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
30 21 8:2 / /home rw - ext4 /dev/sda2 rw
31 30 7:0 / /home/a\\040b/w rw - ext4 /dev/loop0 rw
32 31 0:30 / /home/a\\040b/w/sub rw - tmpfs one rw
33 32 8:2 /x /home/a\\040b/w/sub rw - ext4 /dev/sda2 rw
34 21 8:3 / /home/a\\040b/wide rw - vfat /dev/sdb1 rw
";

    #[test]
    fn the_mounts_of_a_folder_are_its_own_and_those_below() {
        let points = |folder: &str| -> Vec<String> {
            let found = relevant(TABLE, Path::new(folder));
            found.iter().map(|mount| format!("{} {}", mount.point.display(), mount.device)).collect()
        };
        assert_eq!(points("/home/a b/w"), ["/home/a b/w 7:0", "/home/a b/w/sub 8:2"]);
        assert_eq!(points("/home/a b/w/other"), ["/home/a b/w 7:0"]);
        assert_eq!(points("/home/a b/wide/x"), ["/home/a b/wide 8:3"]);
        assert_eq!(points("/srv"), ["/ 8:1"]);
    }

    #[test]
    fn a_view_stays_the_same_while_nothing_is_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let folder = std::fs::canonicalize(folder.path()).unwrap();
        let first = view(&folder);
        assert!(!first.text.is_empty() && !first.is_loose);
        assert_eq!(view(&folder), first);
    }
}
