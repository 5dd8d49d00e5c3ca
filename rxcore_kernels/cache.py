"""The cache of object code on disk: what was compiled once is linked ever after.

One file per object, named by the SHA-256 of everything the code depends on; its suffix
says whose code it is (this processor's, or an OpenCL driver's). A file is written under
another name and moved into place, so two processes may fill the cache at once; a file
that is not exactly what was written is a miss. Nothing is unpickled.
"""

import contextlib
import functools
import hashlib
import os
import struct
import sys
import tempfile
from pathlib import Path

from attrs import field, frozen

from rxcore_kernels import host
from rxcore_kernels.lazy import llvm

__all__ = [
    "DEVICE_SUFFIX",
    "CacheInfo",
    "ObjectCache",
    "clear",
    "current",
    "info",
    "object_key",
    "reset",
    "set_directory",
]

# Raised whenever the code that is generated for the same text changes.
SCHEMA = 2
_MAGIC = b"rxobj\x00\x00\x01"
_HEADER = struct.Struct("<8sQ32s32s")  # magic, length, key, checksum of the body
_SUFFIX = ".rxo"
# An OpenCL driver's binary of a program.
DEVICE_SUFFIX = ".rxb"
# Numba reads these when it sets up its code generator, so the object depends on them.
_NUMBA_SETTINGS = (
    "NUMBA_OPT",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_ENABLE_AVX",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
)


@frozen
class CacheInfo:
    """What is in the cache.

    Args:
        path: The folder, or None where no disk cache is used.
        usable: Whether objects are read from it.
        reason: Why it is not usable, or an empty text.
        files: Number of objects.
        bytes: Their size together.
    """

    path: Path | None
    usable: bool
    reason: str
    files: int
    bytes: int


@functools.cache
def _host_material() -> bytes:
    """Everything but the text that the object code depends on."""
    processor = host.features()
    settings = [f"{name}={os.environ.get(name, '')}" for name in _NUMBA_SETTINGS]
    return "\n".join(
        [
            f"schema {SCHEMA}",
            f"llvm {llvm.llvm_version_info}",
            f"llvmlite {sys.modules['llvmlite'].__version__}",
            f"triple {llvm.get_process_triple()}",
            f"cpu {processor.name}",
            ",".join(sorted(processor.flags)),
            *settings,
        ]
    ).encode()


def object_key(text: str) -> str:
    """Return the name of the object that this text compiles to on this machine."""
    # llvmlite is loaded by _host_material's first line that needs it; load it now so
    # that its version can be read.
    llvm.load()
    return hashlib.sha256(_host_material() + b"\n" + text.encode()).hexdigest()


@frozen
class ObjectCache:
    """Object code in one folder.

    Every failure to read is a miss and every failure to write is forgotten: a cache
    may be slow, never wrong and never in the way.

    Args:
        path: The folder, or None for no disk cache.
        reason: Why there is none.
    """

    path: Path | None
    reason: str = field(default="")

    @classmethod
    def open(cls, path: Path) -> "ObjectCache":
        """Open the folder, made with mode 0700; one of another owner is refused."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
        except OSError as error:
            return cls(None, f"{path} cannot be made or read: {error}")
        if not path.is_dir():
            return cls(None, f"{path} is not a folder")
        if hasattr(os, "getuid"):
            # Code from here is executed: nobody else may be able to put it here.
            if status.st_uid != os.getuid():
                return cls(None, f"{path} is owned by user {status.st_uid}, not by you")
            if status.st_mode & 0o022:
                return cls(None, f"{path} is writable by others: chmod 700 it")
        return cls(path)

    def load(self, key: str, suffix: str = _SUFFIX) -> bytes | None:
        """Return the object of this key, or None for anything not exactly right."""
        if self.path is None:
            return None
        try:
            data = self._file(key, suffix).read_bytes()
        except OSError:
            return None
        if len(data) < _HEADER.size:
            return None
        magic, length, stored_key, checksum = _HEADER.unpack_from(data)
        body = data[_HEADER.size :]
        right = (
            magic == _MAGIC
            and length == len(body)
            and stored_key == bytes.fromhex(key)
            and checksum == hashlib.sha256(body).digest()
        )
        return body if right else None

    def store(self, key: str, body: bytes, suffix: str = _SUFFIX) -> bool:
        """Write the object; return whether that worked."""
        if self.path is None:
            return False
        checksum = hashlib.sha256(body).digest()
        header = _HEADER.pack(_MAGIC, len(body), bytes.fromhex(key), checksum)
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(
                dir=self.path, prefix=".", suffix=".part"
            )
            with os.fdopen(handle, "wb") as file:
                file.write(header + body)
            Path(temporary).replace(self._file(key, suffix))
        except OSError:  # full, read-only or removed meanwhile
            if temporary:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
            return False
        return True

    def info(self) -> CacheInfo:
        """Count the objects."""
        sizes: list[int] = []
        for file in self._files():
            with contextlib.suppress(OSError):
                sizes.append(file.stat().st_size)
        usable = self.path is not None
        return CacheInfo(self.path, usable, self.reason, len(sizes), sum(sizes))

    def clear(self) -> None:
        """Remove all objects, and what writers that died have left."""
        for file in [*self._files(), *self._files((".part",))]:
            with contextlib.suppress(OSError):
                file.unlink()

    def _file(self, key: str, suffix: str) -> Path:
        assert self.path is not None
        return self.path / (key + suffix)

    def _files(
        self, suffixes: tuple[str, ...] = (_SUFFIX, DEVICE_SUFFIX)
    ) -> list[Path]:
        if self.path is None:
            return []
        try:
            return [f for f in self.path.iterdir() if f.name.endswith(suffixes)]
        except OSError:
            return []


def default_directory() -> Path:
    """Return the folder: ``RXCORE_CACHE_DIR``, else the platform's cache folder."""
    chosen = os.environ.get("RXCORE_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "rxcore"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "rxcore"
    base = os.environ.get("XDG_CACHE_HOME")
    # The XDG rule: a relative path here is invalid and is ignored.
    root = Path(base) if base and Path(base).is_absolute() else home / ".cache"
    return root / "rxcore"


_current: ObjectCache | None = None


def current() -> ObjectCache:
    """Return the cache in use; the environment is read on the first call."""
    global _current
    if _current is None:
        try:
            _current = ObjectCache.open(default_directory())
        except RuntimeError as error:  # no home folder can be found
            _current = ObjectCache(None, str(error))
    return _current


def reset() -> None:
    """Forget the folder: the next use reads the environment again."""
    global _current
    _current = None


def set_directory(path: str | os.PathLike[str] | None) -> ObjectCache:
    """Use this folder from now on; None switches the disk cache off."""
    global _current
    if path is None:
        _current = ObjectCache(None, "switched off by set_directory(None)")
    else:
        _current = ObjectCache.open(Path(path))
    return _current


def info() -> CacheInfo:
    """Count what is in the cache in use."""
    return current().info()


def clear() -> None:
    """Remove all objects from the cache in use."""
    current().clear()
