"""An .rpm, by rpmbuild, which reads from the binary what it needs."""

import shutil
import subprocess

from pathlib import Path

import staging
from project import DESCRIPTION, LICENCE, NAME, SUMMARY, VERSION, Refused
from templates import fill


def write(staged, target, names, little, place, out):
    root, top, documents = place / "rpm", place / "rpmbuild", f"usr/share/doc/{NAME}"
    staging.unix(staged, root, "usr/share/zsh/site-functions", documents)
    files = [f"/{path.relative_to(root)}" for path in sorted(root.rglob("*")) if path.is_file()]
    marked = [f"%attr({mode(file)}, root, root) {kind(file, documents)}{file}" for file in files]
    spec = place / f"{NAME}.spec"
    spec.write_text(fill(
        "s3dav.spec",
        payload="w1.gzdio" if little else "w6.xzdio",
        name=NAME,
        version=VERSION,
        summary=SUMMARY,
        licence=LICENCE,
        homepage=f"URL: {names.homepage}\n" if names.homepage else "",
        description=DESCRIPTION,
        root=root,
        files="\n".join([*marked, f"%dir /{documents}", f"%dir /{documents}/licences"]),
    ))
    command = ["rpmbuild", "-bb", "--quiet", "--target", f"{target.rpm}-linux", "--define", f"_topdir {top}", spec]
    done = subprocess.run(command, capture_output=True, text=True)
    made = list(top.glob("RPMS/*/*.rpm"))
    if done.returncode != 0 or len(made) != 1:
        raise Refused(f"rpmbuild: {done.stderr}")
    return Path(shutil.move(made[0], out / made[0].name))


def mode(file):
    return "0755" if file == f"/usr/bin/{NAME}" else "0644"


def kind(file, documents):
    if "licen" in file.lower():
        return "%license "
    return "%doc " if file.startswith(f"/{documents}") else ""
