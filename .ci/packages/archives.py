"""Compressed tar archives that come out the same, byte by byte, when one machine makes them again."""

import gzip
import tarfile

from project import epoch

# Nine takes three times as long, for one per cent.
LEVEL = 6


def tarball(directory, root, path):
    """All of a directory, below the name `root`."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as zipped:
        with tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for member in [directory, *sorted(directory.rglob("*"))]:
                name = root / member.relative_to(directory)
                archive.add(member, name, recursive=False, filter=nobodys)


def nobodys(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = epoch()
    is_program = member.isdir() or member.mode & 0o100
    member.mode = 0o755 if is_program else 0o644
    return member
