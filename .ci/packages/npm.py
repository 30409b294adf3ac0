"""npm packages: one a system that carries the program, and one that people install, which picks it. They need a name."""

import json
from pathlib import Path

import archives
import staging
from project import LICENCE, NAME, SUMMARY, TARGETS, VERSION


def name_of(target, names):
    return f"{names.npm}-{'-'.join(target.npm)}"


def file_of(package):
    """As `npm pack` calls it."""
    return f"{package.lstrip('@').replace('/', '-')}-{VERSION}.tgz"


def write_carrier(staged, target, names, place, out):
    package = name_of(target, names)
    root = place / "npm"
    staging.install(staged / NAME, root / "bin" / NAME, 0o755)
    for path in sorted((staged / "licences").iterdir()):
        staging.install(path, root / "licences" / path.name)
    system, processor = target.npm
    more = {"os": [system], "cpu": [processor]}
    if target.is_linux:
        more["libc"] = ["glibc"]
    return finish(root, package, f"{SUMMARY} ({system}, {processor})", names, more, out)


def write_main(names, place, out):
    """The one that people install, of all carriers that are there; `None` where there are none."""
    carriers = [name_of(target, names) for target in TARGETS.values()]
    carriers = [package for package in carriers if (out / file_of(package)).exists()]
    if not carriers:
        return None
    root = place / "npm-main"
    staging.install(Path(__file__).parent / "templates/npm-launcher.js", root / "launcher.js", 0o755)
    more = {
        "bin": {NAME: "launcher.js"},
        "engines": {"node": ">=16"},
        "optionalDependencies": {package: VERSION for package in carriers},
    }
    return finish(root, names.npm, SUMMARY, names, more, out)


def finish(root, package, summary, names, more, out):
    described = {"name": package, "version": VERSION, "description": summary, "license": LICENCE}
    if names.homepage:
        described["homepage"] = names.homepage
    if names.repository:
        described["repository"] = {"type": "git", "url": f"git+{names.repository}.git"}
    if package.startswith("@"):
        described["publishConfig"] = {"access": "public"}
    (root / "package.json").write_text(json.dumps(described | more, indent=2) + "\n")
    for name in ("README.md", "LICENSE-MIT", "LICENSE-APACHE"):
        staging.install(staging.ROOT / name, root / name)
    path = out / file_of(package)
    archives.tarball(root, Path("package"), path)
    return path
