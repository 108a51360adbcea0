"""Reads archives with Python's own readers, as an opinion that owes nothing to the engine.

`reference.py list` takes lines of JSON, {"kind": ..., "paths": [...]}, and answers each with a line: the entries by path, or
why there are none. `reference.py naive KIND PATH FOLDER` unpacks as a careless program would.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile

DEEPEST = 40


class Refused(Exception):
    pass


def tar_of(kind, path):
    if kind == "deb":
        return subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, capture_output=True).stdout
    return open(path, "rb").read()


def members(kind, path):
    with tarfile.open(fileobj=io.BytesIO(tar_of(kind, path))) as archive:
        for member in archive:
            content = archive.extractfile(member).read() if member.isreg() or member.type not in tarfile.SUPPORTED_TYPES else b""
            if len(content) != (member.size if member.isreg() else len(content)):
                raise Refused("a member is cut off")
            yield member, content


def file(content, mode):
    return ["file", bool(mode & 0o111), hashlib.sha256(content).hexdigest()]


def clean(name, above=True):
    parts = []
    for part in name.split("/"):
        if part == "..":
            if not parts and not above:
                raise Refused(name + " leads out")
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def folders(entries):
    """Folders count when they are empty."""
    used = set()
    for path in entries:
        while "/" in path:
            path = path.rsplit("/", 1)[0]
            used.add(path)
    return {path: entry for path, entry in entries.items() if path and not (entry == ["folder"] and path in used)}


def list_deb(paths):
    entries = {}
    for member, content in members("deb", paths[0]):
        name = member.name[2:] if member.name.startswith("./") else member.name
        name = "" if name == "." else name.rstrip("/")
        if member.isdir():
            entries[name] = ["folder"]
        elif member.issym():
            target = member.linkname
            if target.startswith("/"):
                target = "../" * name.count("/") + target.lstrip("/")
            entries[name] = ["link", target]
        elif member.islnk():
            target = member.linkname
            target = target[2:] if target.startswith("./") else target
            if entries.get(target, [""])[0] != "file":
                raise Refused("a hard link to nothing")
            entries[name] = entries[target]
        elif member.isreg():
            entries[name] = file(content, member.mode)
        else:
            raise Refused("a special file")
    return folders(entries)


def place(entries, path):
    """Where a path leads when the links above its last segment are followed inside of the root."""
    for _ in range(DEEPEST):
        parts = path.split("/")
        for index in range(1, len(parts)):
            above = "/".join(parts[:index])
            if entries.get(above, [""])[0] == "link":
                target = entries[above][1]
                base = "" if target.startswith("/") else os.path.dirname(above)
                path = clean("/".join([base, target] + parts[index:]))
                break
        else:
            return path
    raise Refused("links in a circle")


def remove(entries, path, keep=()):
    for other in [other for other in entries if other.startswith(path + "/") or not path]:
        if other not in keep:
            del entries[other]
    if path not in keep:
        entries.pop(path, None)


def list_layers(paths):
    entries = {}
    for path in paths:
        fresh = set()
        for member, content in members("layer", path):
            name = place(entries, clean(member.name, above=False))
            parent, _, last = name.rpartition("/")
            if last.startswith(".wh."):
                hidden = last[4:]
                if hidden == ".wh..opq":
                    for other in [o for o in entries if (o.startswith(parent + "/") or not parent) and o not in fresh]:
                        del entries[other]
                elif hidden in ("", ".", ".."):
                    raise Refused("a whiteout of nothing")
                else:
                    remove(entries, (parent + "/" + hidden).lstrip("/"), fresh)
                if parent:
                    entries.setdefault(parent, ["folder"])
                continue
            if member.isdir():
                if not name or entries.get(name) == ["folder"] or any(o.startswith(name + "/") for o in entries):
                    continue
                entry = ["folder"]
            elif member.issym():
                entry = ["link", member.linkname]
            elif member.islnk():
                entry = entries.get(place(entries, clean(member.linkname, above=False)))
                if entry is None or entry == ["folder"]:
                    raise Refused("a hard link to nothing")
            elif member.isreg():
                entry = file(content, member.mode)
            elif member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
                continue
            else:
                raise Refused("a member of an unknown kind")
            if not name:
                raise Refused("the root is no folder")
            for other in [o for o in entries if o.startswith(name + "/")]:
                del entries[other]
            above = parent
            while above:
                if entries.get(above, ["folder"]) != ["folder"]:
                    del entries[above]
                above = above.rpartition("/")[0]
            entries[name] = entry
            fresh.add(name)
    return folders(entries)


def list_zip(kind, paths):
    entries = {}
    with zipfile.ZipFile(paths[0]) as archive:
        for info in archive.infolist():
            name, mode = info.filename, info.external_attr >> 16
            if not info.flag_bits & 0x800:
                name = name.encode("cp437").decode("utf-8")
            content = archive.read(info)
            if name.endswith("/"):
                if content:
                    raise Refused("a folder with content")
                continue
            if mode & 0o170000 == 0o120000:
                raise Refused("a symbolic link")
            if kind == "module":
                if not name.startswith("m@v1/"):
                    raise Refused("not below the module's folder")
                name, mode = name[5:], 0
            elif kind == "wheel":
                parts = name.split("/", 2)
                if len(parts) == 3 and parts[0].endswith(".data"):
                    if parts[1] in ("purelib", "platlib"):
                        name = parts[2]
                    elif parts[1] == "scripts":
                        name, mode = "bin/" + parts[2], 0o755
            if name in entries:
                raise Refused("a name twice")
            entries[name] = file(content, mode)
    return entries


def safe(entries):
    """No path may lead out, no file may stand in a folder's place."""
    for path in entries:
        if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
            raise Refused(path + " leads out")
        while "/" in path:
            path = path.rsplit("/", 1)[0]
            if entries.get(path, ["folder"]) != ["folder"]:
                raise Refused(path + " is no folder")
    return entries


def listing(kind, paths):
    try:
        readers = {"deb": list_deb, "layer": list_layers}
        entries = readers[kind](paths) if kind in readers else list_zip(kind, paths)
        return {"entries": safe(entries)}
    except Exception as error:
        return {"refused": "%s: %s" % (type(error).__name__, error)}


def naive(kind, path, folder):
    os.makedirs(folder, exist_ok=True)
    if kind in ("deb", "layer"):
        with tarfile.open(fileobj=io.BytesIO(tar_of(kind, path))) as archive:
            archive.errorlevel = 0
            for member in archive:
                archive.extract(member, folder, filter="fully_trusted")
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = os.path.join(folder, info.filename.replace("\\", "/"))
            try:
                os.makedirs(os.path.dirname(name), exist_ok=True)
                if info.external_attr >> 28 == 0o12:
                    os.symlink(archive.read(info), name)
                else:
                    with open(name, "wb") as out:
                        out.write(archive.read(info))
            except OSError:
                # It goes on with the next one, as such programs do.
                pass


if sys.argv[1] == "naive":
    naive(*sys.argv[2:])
else:
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(listing(asked["kind"], asked["paths"])))
