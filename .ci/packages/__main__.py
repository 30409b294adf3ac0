"""Packs a program that has been built: see .ci/release, which runs this."""

import argparse
import hashlib
import os
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import archives
import binary
import crates
import debian
import homebrew
import npm
import python_wheel
import rpm
import sbom
import staging
from project import CARGO, ROOT, VERSION, Names, Refused, target_of

SUMS = "SHA256SUMS"


def main():
    # Packages have the same rights, whoever makes them.
    os.umask(0o022)
    options = arguments()
    try:
        options.run(options)
    except Refused as refused:
        sys.exit(f"error: {refused}")


def arguments():
    parser = argparse.ArgumentParser(prog="packages", description=__doc__)
    parser.add_argument("--names", default=ROOT / "deploy/packages/names.toml", help="who publishes it")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("pack", help="what is published of one target")
    one.add_argument("target", type=str)
    one.add_argument("binary", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--documents-by", type=Path, help="an s3dav that runs here; otherwise the one that is packed")
    one.add_argument("--glibc", help="the newest version that it may need")
    one.add_argument("--licence", action="append", default=[], metavar="NAME=FILE", help="of what else is linked")
    one.add_argument("--little", action="store_true", help="compress little: for a try")
    one.set_defaults(run=pack)
    all_ = commands.add_parser("collect", help="what is about all targets: checksums, formula, npm's main package")
    all_.add_argument("out", type=Path)
    all_.set_defaults(run=collect)
    name = commands.add_parser("name", help="print one of the names")
    name.add_argument("field", choices=[field.name for field in fields(Names)])
    name.set_defaults(run=lambda options: print(getattr(Names.read(options.names), options.field)))
    return parser.parse_args()


def pack(options):
    target, names = target_of(options.target), read_names(options)
    demands = examine(options, target)
    linked = crates.linked(target)
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    made = []
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        staged = place / target.stem
        licences = dict(value.split("=", 1) for value in options.licence)
        documents_by = (options.documents_by or options.binary).resolve()
        staging.stage(options.binary, documents_by, linked, licences, staged)
        made.append(out / f"{target.stem}.tar.gz")
        archives.tarball(staged, Path(target.stem), made[-1])
        made.append(out / f"{target.stem}.cdx.json")
        sbom.write(linked, target, options.binary, made[-1])
        if target.is_linux:
            made.append(rpm.write(staged, target, names, options.little, place, out))
        if target.is_linux and given(names, ".deb", "maintainer"):
            made.append(debian.write(staged, target, names, demands, options.little, place, out))
        if given(names, "wheel", "pypi"):
            made.append(python_wheel.write(staged, target, names, demands, place, out))
        if given(names, "npm package", "npm"):
            made.append(npm.write_carrier(staged, target, names, place, out))
    for path in made:
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def examine(options, target):
    """What the binary asks of the machine; only a Mac makes what a Mac will run."""
    if not target.is_linux:
        if sys.platform != "darwin":
            raise Refused(f"{target.triple} is published only from a Mac")
        return None
    demands = binary.demands(options.binary, target)
    print(f"{target.triple}: needs glibc {demands.glibc_text}")
    if options.glibc and demands.glibc > binary.numbers(options.glibc):
        raise Refused(f"{options.binary} needs glibc {demands.glibc_text}, newer than {options.glibc}")
    return demands


def collect(options):
    names, out = read_names(options), options.out
    if given(names, "formula", "homepage", "repository") and homebrew.write(names, out) is None:
        print("left out: the formula, which needs both tarballs of macOS")
    if given(names, "npm package", "npm"):
        with tempfile.TemporaryDirectory() as place:
            npm.write_main(names, Path(place), out)
    files = sorted(path for path in out.iterdir() if path.is_file() and path.name != SUMS)
    strange = [path.name for path in files if VERSION not in path.name and path.suffix != ".rb"]
    if strange:
        raise Refused(f"{out} has files of another version: remove {', '.join(strange)}")
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (out / SUMS).write_text(sums)
    print(f"{len(files)} files, and {SUMS}, are in {out}")


def read_names(options):
    names = Names.read(options.names)
    # `cargo binstall` reads it there.
    if CARGO.get("repository", "") != names.repository and Path(options.names).is_relative_to(ROOT):
        raise Refused(f"Cargo.toml's repository is not that of {options.names}: write the same into both")
    return names


def given(names, package, *needed):
    """Whether these names are given; says so if not."""
    missing = [name for name in needed if not getattr(names, name)]
    if missing:
        print(f"left out: the {package}, which needs {' and '.join(missing)} in names.toml")
    return not missing


if __name__ == "__main__":
    main()
