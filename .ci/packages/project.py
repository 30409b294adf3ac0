"""What is published: the project as Cargo.toml has it, the names of whoever publishes it, and the targets."""

import os
import sys
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
NAME, VERSION, LICENCE = CARGO["name"], CARGO["version"], CARGO["license"]
SUMMARY = "S3 buckets as folders, by WebDAV, in Finder and elsewhere"
DESCRIPTION = """s3dav serves Amazon S3, and what speaks like it, as WebDAV on this machine
and mounts it: without FUSE, kernel extension or administrator rights."""


class Refused(Exception):
    """What cannot be published, and why."""


if not VERSION.replace(".", "").isdigit():
    # Each kind of package sorts them by other rules.
    sys.exit(f"error: {VERSION} is a version before a release: those are not packed")


@dataclass(frozen=True)
class Names:
    """Who publishes it, and under which names; what is empty does not exist."""

    homepage: str
    repository: str
    maintainer: str
    pypi: str
    npm: str

    @classmethod
    def read(cls, path):
        values = tomllib.loads(Path(path).read_text())
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise Refused(f"{path} has {sorted(values)} instead of {sorted(known)}")
        return cls(**{name: value.strip().rstrip("/") for name, value in values.items()})

    def download(self, file):
        """Where a file of this version will be."""
        return f"{self.repository}/releases/download/v{VERSION}/{file}"


@dataclass(frozen=True)
class Target:
    """A machine, by Rust's name and as each kind of package calls it."""

    triple: str
    elf: str  # as readelf calls it
    debian: str
    rpm: str
    npm: tuple  # its `os` and `cpu`
    wheel: str

    @property
    def is_linux(self):
        return "-linux-" in self.triple

    @property
    def stem(self):
        """How names of its files begin."""
        return f"{NAME}-{VERSION}-{self.triple}"


TARGETS = {
    target.triple: target
    for target in (
        Target("x86_64-unknown-linux-gnu", "X86-64", "amd64", "x86_64", ("linux", "x64"), "x86_64"),
        Target("aarch64-unknown-linux-gnu", "AArch64", "arm64", "aarch64", ("linux", "arm64"), "aarch64"),
        # As of MACOSX_DEPLOYMENT_TARGET in .ci/release.
        Target("x86_64-apple-darwin", "", "", "", ("darwin", "x64"), "macosx_11_0_x86_64"),
        Target("aarch64-apple-darwin", "", "", "", ("darwin", "arm64"), "macosx_11_0_arm64"),
    )
}


def target_of(triple):
    if triple not in TARGETS:
        raise Refused(f"{triple} is not published; what is: {', '.join(TARGETS)}")
    return TARGETS[triple]


def epoch():
    """When it was made, for all that bears a date: of the commit, so that it can be made again byte by byte."""
    return int(os.environ["SOURCE_DATE_EPOCH"])
