"""A wheel whose one script is the program, by `wheel pack`. It needs a name on PyPI."""

import re
import subprocess
import sys

import staging
from project import LICENCE, NAME, ROOT, SUMMARY, VERSION


def tag(target, demands):
    """The system that it is for: of Linux, whatever has this glibc or a newer one."""
    if not target.is_linux:
        return f"py3-none-{target.wheel}"
    return "py3-none-manylinux_{}_{}_{}".format(*demands.glibc[:2], target.wheel)


def write(staged, target, names, demands, place, out):
    distribution = re.sub(r"[-_.]+", "_", names.pypi).lower()
    root = place / "wheel"
    staging.install(staged / NAME, root / f"{distribution}-{VERSION}.data/scripts" / NAME, 0o755)
    for page in (staged / "man").iterdir():
        staging.install(page, root / f"{distribution}-{VERSION}.data/data/share/man/man1" / page.name)
    information = root / f"{distribution}-{VERSION}.dist-info"
    licences = [staged / "LICENSE-MIT", staged / "LICENSE-APACHE", *sorted((staged / "licences").iterdir())]
    for path in licences:
        staging.install(path, information / "licenses" / path.relative_to(staged))
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", names.pypi),
        ("Version", VERSION),
        ("Summary", SUMMARY),
        ("License-Expression", LICENCE),
        *(("License-File", str(path.relative_to(staged))) for path in licences),
        *(("Project-URL", f"{label}, {url}")
          for label, url in (("Homepage", names.homepage), ("Repository", names.repository)) if url),
        ("Requires-Python", ">=3.8"),
        ("Description-Content-Type", "text/markdown"),
    ]
    head = "".join(f"{name}: {value}\n" for name, value in fields)
    (information / "METADATA").write_text(head + "\n" + (ROOT / "README.md").read_text())
    (information / "WHEEL").write_text(
        f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag(target, demands)}\n")
    subprocess.run([sys.executable, "-m", "wheel", "pack", root, "--dest-dir", out], check=True,
                   stdout=subprocess.DEVNULL)
    return out / f"{distribution}-{VERSION}-{tag(target, demands)}.whl"
