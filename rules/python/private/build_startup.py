"""What the interpreter does before every program: `.pth` files of wheels, packages in several folders, time zones.

A `.pth` file imports it, so that programs, tests and the processes that they start all behave alike.
"""

import os
import sys


def _named(path: str) -> str:
    """The path, with the folder's name instead of a descriptor's.

    A folder with a colon cannot stand in PYTHONPATH, so that a launcher there names it `/proc/self/fd/N`.
    """
    if not path.startswith("/proc/self/fd/"):
        return path
    number, _, rest = path.removeprefix("/proc/self/fd/").partition("/")
    try:
        return os.path.join(os.readlink(f"/proc/self/fd/{number}"), rest)
    except OSError:
        return path


def _folders() -> list[str]:
    """The folders of PYTHONPATH."""
    sys.path[:] = [_named(entry) for entry in sys.path]
    sys.executable = sys._base_executable = _named(sys.executable)
    count = len([entry for entry in os.environ.get("PYTHONPATH", "").split(":") if entry])
    return sys.path[:count]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _is_wheel(names: list[str]) -> bool:
    return any(name.endswith(".dist-info") for name in names)


def _read_path_files(folder: str, names: list[str]) -> None:
    """Obeys the `.pth` files of a wheel, as if it lay in site-packages."""
    for name in names:
        if name.endswith(".pth"):
            import site

            site.addpackage(folder, name, None)


class _Merged:
    """Finds packages whose submodules lie in several folders of the search path.

    Wheels that share a package are merged in site-packages; here each has a folder of its own. And a folder of the
    workspace that is no package of its own adds to the module of its name, wherever that comes from: else
    `platform/app.py` could never be imported, since the library has a module `platform`. A folder with an
    `__init__.py` hides what comes after it, as everywhere.
    """

    def __init__(self, folders: dict[str, list[str]]) -> None:
        self._folders = folders

    def find_spec(self, name, path=None, target=None):
        """The spec of a module as it is found without this finder, with the other folders added."""
        top, _, rest = name.partition(".")
        if top not in self._folders:
            return None
        last = rest.rpartition(".")[2]
        folders = [os.path.join(folder, last) for folder in path or ()] if rest else self._folders[top]
        folders = [folder for folder in folders if os.path.isdir(folder)]
        if not folders:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        # A namespace package knows all its folders by itself, and a module below a package stays a module.
        if spec is None or spec.origin is None or (rest and spec.submodule_search_locations is None):
            return spec
        spec.submodule_search_locations = _joined(name, spec.submodule_search_locations or (), folders)
        return spec


def _joined(name: str, own, others: list[str]) -> list[str]:
    """The folders of a package's submodules. Its own come first, but for `test`, which programs mean as theirs."""
    own, others = list(own), [folder for folder in others if folder not in own]
    return others + own if name == "test" else own + others


def _merge(names: dict[str, list[str]]) -> None:
    merged: dict[str, list[str]] = {}
    wheels: dict[str, list[str]] = {}
    for folder, inside in names.items():
        into = wheels if _is_wheel(inside) else merged
        for name in inside:
            if name.isidentifier():
                into.setdefault(name, []).append(os.path.join(folder, name))
    for name, folders in list(merged.items()):
        folders = [folder for folder in folders if os.path.isdir(folder)]
        merged[name] = [folder for folder in folders if not os.path.exists(os.path.join(folder, "__init__.py"))]
    for name, folders in wheels.items():
        if len(folders) > 1 or merged.get(name):
            merged[name] = [folder for folder in folders if os.path.isdir(folder)] + merged.get(name, [])
    merged = {name: folders for name, folders in merged.items() if folders}
    if not merged:
        return
    sys.meta_path.insert(0, _Merged(merged))
    for name in merged.keys() & sys.modules.keys():
        module = sys.modules[name]
        module.__path__ = _joined(name, getattr(module, "__path__", ()), merged[name])


def _use_own_time_zones() -> None:
    """Where there is no other data, the interpreter's own: for `zoneinfo`, and for the C library."""
    zones = os.path.join(sys.base_prefix, "share", "zoneinfo")
    if os.path.isdir(zones):
        os.environ.setdefault("PYTHONTZPATH", zones)
        os.environ.setdefault("TZDIR", zones)


def _start() -> None:
    names = {folder: _names(folder) for folder in _folders()}
    for folder, inside in names.items():
        if _is_wheel(inside):
            _read_path_files(folder, inside)
    _merge(names)
    _use_own_time_zones()


_start()
