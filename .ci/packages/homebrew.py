"""A Homebrew formula, of the tarballs that are there. It needs a homepage, a repository, and both of macOS."""

import hashlib

from project import SUMMARY, TARGETS, VERSION
from templates import fill

SYSTEMS = {"macos": "apple-darwin", "linux": "unknown-linux-gnu"}
PROCESSORS = {"arm": "aarch64", "intel": "x86_64"}


def write(names, out):
    """`None` where tarballs of macOS are missing: without a Mac there are none."""
    there = {triple: out / f"{target.stem}.tar.gz" for triple, target in TARGETS.items()}
    there = {triple: path for triple, path in there.items() if path.exists()}
    if not all(f"{processor}-apple-darwin" in there for processor in PROCESSORS.values()):
        return None
    path = out / "s3dav.rb"
    path.write_text(fill(
        "s3dav.rb",
        summary=SUMMARY,
        homepage=names.homepage,
        version=VERSION,
        systems="\n".join(filter(None, (of_system(*system, there, names) for system in SYSTEMS.items()))),
    ))
    return path


def of_system(system, suffix, there, names):
    blocks = []
    for processor, prefix in PROCESSORS.items():
        path = there.get(f"{prefix}-{suffix}")
        if path is not None:
            blocks += [
                f"    on_{processor} do",
                f'      url "{names.download(path.name)}"',
                f'      sha256 "{hashlib.sha256(path.read_bytes()).hexdigest()}"',
                "    end",
            ]
    return "\n".join([f"  on_{system} do", *blocks, "  end", ""]) if blocks else ""
