"""The crates that are linked into the program, and their licences."""

import json
import re
import subprocess
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from project import NAME, ROOT, Refused

TEXTS = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")


@dataclass(frozen=True)
class Crate:
    name: str
    version: str
    licence: str  # an expression of SPDX
    checksum: str  # SHA-256, as in Cargo.lock
    repository: str
    root: Path
    uses: tuple  # what it depends on, as (name, version)

    @property
    def key(self):
        return (self.name, self.version)


def linked(target):
    """All of them, by name and version; first what cargo links, then what it knows of each."""
    keys = linked_keys(target)
    metadata = cargo("metadata", "--format-version", "1", "--filter-platform", target.triple)
    metadata = json.loads(metadata)
    keys_of = {package["id"]: (package["name"], package["version"]) for package in metadata["packages"]}
    uses = {
        keys_of[node["id"]]: tuple(sorted(keys_of[use["pkg"]] for use in node["deps"] if is_normal(use)))
        for node in metadata["resolve"]["nodes"]
    }
    checksums = {
        (package["name"], package["version"]): package["checksum"]
        for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        if "checksum" in package
    }
    crates = []
    for package in metadata["packages"]:
        key = keys_of[package["id"]]
        if key not in keys or package["name"] == NAME:
            continue
        if not package["license"]:
            raise Refused(f"{key} names no licence")
        crates.append(Crate(
            *key,
            # Some write a slash, as one did before SPDX.
            licence=re.sub(r"\s*/\s*", " OR ", package["license"]),
            checksum=checksums[key],
            repository=package["repository"] or "",
            root=Path(package["manifest_path"]).parent,
            uses=tuple(use for use in uses[key] if use in keys),
        ))
    return sorted(crates, key=lambda crate: crate.key)


def used_by_the_program(target, crates):
    """Those that the program names itself."""
    keys = {crate.key for crate in crates}
    said = cargo("tree", *TREE, "--depth", "1", "--target", target.triple)
    return sorted(key for key in parse(said) if key in keys)


# Macros and build scripts run while it is built, and are not linked.
TREE = ("--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}")


def linked_keys(target):
    return set(parse(cargo("tree", *TREE, "--target", target.triple)))


def parse(tree):
    for line in tree.splitlines():
        found = re.match(r"^(\S+) v(\S+)", line)
        if found:
            yield found.groups()


def is_normal(use):
    return any(kind["kind"] is None for kind in use["dep_kinds"])


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(f"cargo {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def write_licences(crates, more, directory):
    """The licences of all that is linked: of the crates each text once, with those that it is of; Rust's library; and
    `more`, files by name."""
    directory.mkdir(parents=True)
    holders, bare = defaultdict(list), []
    for crate in crates:
        texts = [path.read_text(errors="replace").strip() for path in sorted(crate.root.iterdir())
                 if path.is_file() and path.name.upper().startswith(TEXTS)]
        for text in texts:
            holders[text].append(crate)
        if not texts:
            bare.append(crate)
    with open(directory / "crates.txt", "w") as file:
        file.write("The crates that are linked into s3dav, and their licences.\n\n")
        for crate in crates:
            note = "; its package holds no text" if crate in bare else ""
            file.write(f"{crate.name} {crate.version}: {crate.licence}{note}\n")
        for text, crates_of in holders.items():
            names = ", ".join(f"{crate.name} {crate.version}" for crate in crates_of)
            file.write(f"\n{'=' * 80}\n{names}\n{'=' * 80}\n\n{text}\n")
    library = rust_documents() / "COPYRIGHT-library.html"
    if not library.exists():
        raise Refused(f"{library} is not there: it holds the licences of Rust's library")
    (directory / "rust-library.html").write_bytes(library.read_bytes())
    for name, path in more.items():
        (directory / name).write_bytes(Path(path).read_bytes())


def rust_documents():
    done = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True, cwd=ROOT)
    return Path(done.stdout.strip()) / "share/doc/rust"


def rust_version():
    done = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()[1]
