"""Writes the seeds: small sound files of every kind that the targets read. `python3 engine/fuzz/seeds.py`."""

import io
import pathlib
import tarfile
import zipfile

HERE = pathlib.Path(__file__).parent / "seeds"


def put(target, name, content):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def tar(form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        def add(name, kind=tarfile.REGTYPE, link="", content=b"", mode=0o644):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mode = kind, link, len(content), mode
            archive.addfile(info, io.BytesIO(content))
        add("./", tarfile.DIRTYPE, mode=0o755)
        add("./usr/bin/a", content=b"a", mode=0o755)
        add("./usr/l", tarfile.SYMTYPE, "bin/a")
        add("./usr/h", tarfile.LNKTYPE, "./usr/bin/a")
        if form != tarfile.USTAR_FORMAT:
            add("long/" * 30 + "\u00e9", content=b"b")
    # The end is two blocks; writers fill up to twenty.
    data = out.getvalue()
    while data.endswith(bytes(2048)):
        data = data[:-512]
    return data


def deb(data, name="data.tar"):
    out = b"!<arch>\n"
    for member, content in (("debian-binary", b"2.0\n"), (name, data)):
        out += f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        out += b"\n" * (len(content) % 2)
    return out


def zipped(prefix, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name in ("a", "b/c", "x-1.data/purelib/p", "x-1.data/scripts/s"):
            archive.writestr(prefix + name, name * 20)
    return out.getvalue()


FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
for form, value in FORMS.items():
    put("tar", form, tar(value))
    put("packages", "deb-" + form, b"\0" + deb(tar(value)))
for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
    put("packages", "wheel-" + name, b"\1" + zipped("", method))
    put("packages", "module-" + name, b"\2" + zipped("m@v1/", method))

put("scripts", "build", b"\0" + b"""package(default_visibility = ["//visibility:public"])
x = [a + "b" for a in ["c"] if a != 'd' or not True]
exports_files(x + glob(["*.txt"], exclude = ["b"]))
y = {"k": (1, 2.5, None), "l": x[0:1], **{}} if len(x) > 0 else -1 // 2
""")
put("scripts", "library", b"\1" + b'''def _f(a, b = 1, *c, **d):
    """Text."""
    for i in [1, 2]:
        if a:
            continue
        elif not b:
            break
    return struct(a = lambda x: x | 1, b = depset([a], transitive = []))

P = provider(fields = ["p"])

def _r(ctx):
    return [DefaultInfo(files = depset([]))]

r = rule(implementation = _r, attrs = {"s": attr.label_list(allow_files = [".x"]), "n": attr.int(default = 3)})
v = _f(1, b = json.decode("[1, {}]"))
''')
put("scripts", "workspace", b"\2" + b"""workspace(name = "w", ignore = ["a"])
pip_lock(name = "p", lock = "//:requirements.lock")
go_modules(name = "g", mod = "//:go.mod", sum = "//:go.sum")
toolchain(name = "t", target = "//a:b")
""")
for index, label in enumerate(("//a/b:c", "@r//p:q", ":x", "-//a/...", "//a:all", "a/b/...", "@@r", "//:...")):
    put("labels", str(index), label.encode())
put("lockfiles", "go", b"\0" + b"""module m

go 1.24.0

require (
\tgithub.com/a/b v1.2.3 // indirect
\tgolang.org/x/c v0.0.0-20200101000000-abcdefabcdef
)

replace github.com/a/b => github.com/a/d v1.0.0
----
github.com/a/b v1.2.3 h1:W5quZX/G/csjUnuI8SUYlsHs9M38FC7znL0lIO+DvMg=
github.com/a/b v1.2.3/go.mod h1:W5quZX/G/csjUnuI8SUYlsHs9M38FC7znL0lIO+DvMg=
""")
put("lockfiles", "pip", b"\1" + b"""# a comment
a-b==1.0 ; python_version >= "3.8" \\
    --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8
    # via c
""")
put("lockfiles", "debian", b"\2" + b"""[[package]]
name = "busybox-static"
version = "1:1.35.0-4+b3"
architecture = "amd64"
filename = "pool/b.deb"
sha256 = "481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8"
""")
DIGEST = "sha256:" + "0" * 64
put("images", "index", b"\0" + b'{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"%s","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}' % DIGEST.encode())
put("images", "manifest", b"\1" + b'{"schemaVersion":2,"config":{"mediaType":"c","digest":"%s","size":1},"layers":[]}' % DIGEST.encode())
put("images", "config", b"\2" + b'{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Entrypoint":["/a"]},"rootfs":{"type":"layers","diff_ids":[]}}')
put("images", "auth", b"\3" + b'{"auths":{"registry:5000":{"auth":"dXNlcjpwYXNz"},"https://index/v1/":{"identitytoken":"t"}},"credHelpers":{}}')
put("kept", "tree", b'\2{"a/b":{"Symlink":{"target":"c"}},"d":"EmptyFolder"}')
put("kept", "row", b"\3\1\1a\2\1b")
