"""A small index of wheels on loopback: `index.py < WHEELS`, with WHEELS as JSON.

{NAME: {"files": {PATH: TEXT}, "requires": [REQUIREMENT], "source": whether there is no wheel of it}}. Prints one line of
JSON, {"port": PORT, "lines": {NAME: the line of a lock}}, and serves until it is ended.
"""

import hashlib
import http.server
import io
import json
import sys
import zipfile


def _wheel(name: str, wheel: dict) -> tuple[str, bytes]:
    """The name and the content of the file that an index has."""
    stem = f"{name.replace('-', '_')}-1.0"
    requires = "".join(f"Requires-Dist: {requirement}\n" for requirement in wheel.get("requires", []))
    files = dict(wheel.get("files", {}))
    files[f"{stem}.dist-info/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\nSome words.\n"
    files[f"{stem}.dist-info/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return (f"{stem}.tar.gz" if wheel.get("source") else f"{stem}-py3-none-any.whl"), content.getvalue()


def main() -> None:
    pages: dict[str, bytes] = {}
    lines: dict[str, str] = {}
    for name, wheel in json.load(sys.stdin).items():
        file, content = _wheel(name, wheel)
        sha256 = hashlib.sha256(content).hexdigest()
        pages[f"/simple/{name}/"] = f'<a href="/files/{file}#sha256={sha256}">{file}</a>'.encode()
        pages[f"/files/{file}"] = content
        lines[name] = f"{name}==1.0 --hash=sha256:{sha256}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = pages.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"port": server.server_address[1], "lines": lines}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
