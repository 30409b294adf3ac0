"""What every package holds, in one directory; and the same as a Unix file system has it."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import crates
from project import NAME, ROOT, Refused

SHELLS = ("bash", "fish", "zsh")
COMPLETIONS = {
    "bash": f"usr/share/bash-completion/completions/{NAME}",
    "fish": f"usr/share/fish/vendor_completions.d/{NAME}.fish",
}


def stage(binary, documents_by, linked, licences, place):
    """The program, its documents, completions, manual pages and licences. `documents_by` is an s3dav that runs here."""
    (place / "completions").mkdir(parents=True)
    install(binary, place / NAME, 0o755)
    for name in ("README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"):
        install(ROOT / name, place / name)
    for shell in SHELLS:
        (place / "completions" / f"{NAME}.{shell}").write_bytes(run(documents_by, "completions", shell))
    run(documents_by, "man-pages", place / "man")
    crates.write_licences(linked, licences, place / "licences")


def run(program, *arguments):
    # Nothing of whoever runs this: the texts tell defaults.
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    try:
        done = subprocess.run([program, *arguments], env=environment, capture_output=True)
    except OSError as error:
        raise Refused(f"{program} does not run here ({error.strerror}): name one that does by --documents-by")
    if done.returncode != 0:
        raise Refused(f"{program} {arguments[0]}: {done.stderr.decode()}")
    return done.stdout


def install(source, to, mode=0o644):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
    to.chmod(mode)


def unix(staged, root, zsh, documents):
    """The staged directory as /usr has it; `zsh` and `documents` are where the distribution keeps those."""
    install(staged / NAME, root / "usr/bin" / NAME, 0o755)
    for page in sorted((staged / "man").iterdir()):
        compress(page, root / "usr/share/man/man1" / f"{page.name}.gz")
    for shell, path in {**COMPLETIONS, "zsh": f"{zsh}/_{NAME}"}.items():
        install(staged / "completions" / f"{NAME}.{shell}", root / path)
    for name in ("README.md", "LICENSE-MIT", "LICENSE-APACHE"):
        install(staged / name, root / documents / name)
    compress(staged / "CHANGELOG.md", root / documents / "changelog.gz")
    for path in sorted((staged / "licences").iterdir()):
        install(path, root / documents / "licences" / path.name)


def compress(source, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(gzip.compress(Path(source).read_bytes(), 9, mtime=0))
    to.chmod(0o644)
