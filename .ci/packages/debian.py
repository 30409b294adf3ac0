"""A .deb, by dpkg-deb. It needs a maintainer."""

import subprocess

import staging
from project import DESCRIPTION, NAME, SUMMARY, VERSION
from templates import fill


def write(staged, target, names, demands, little, place, out):
    root = place / "deb"
    documents = f"usr/share/doc/{NAME}"
    staging.unix(staged, root, "usr/share/zsh/vendor-completions", documents)
    (root / documents / "copyright").write_text(COPYRIGHT + (staged / "LICENSE-MIT").read_text())
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    depends = f"libc6 (>= {demands.glibc_text})" + (", libgcc-s1" if demands.unwinder else "")
    control = root / "DEBIAN/control"
    control.parent.mkdir()
    control.write_text(fill(
        "control",
        name=NAME,
        version=VERSION,
        architecture=target.debian,
        maintainer=names.maintainer,
        size=size,
        depends=depends,
        homepage=f"Homepage: {names.homepage}\n" if names.homepage else "",
        summary=SUMMARY,
        description="\n".join(" " + line for line in DESCRIPTION.splitlines()),
    ))
    path = out / f"{NAME}_{VERSION}_{target.debian}.deb"
    # Not zstd, which Debian 11 cannot read.
    compression = ["-Zgzip", "-z1"] if little else ["-Zxz"]
    subprocess.run(["dpkg-deb", "--root-owner-group", *compression, "--build", root, path], check=True,
                   stdout=subprocess.DEVNULL)
    return path


COPYRIGHT = """s3dav is licensed under MIT or Apache-2.0, at your choice. The text of MIT is below; that of Apache-2.0 is
/usr/share/common-licenses/Apache-2.0 on Debian, and LICENSE-APACHE beside this file. What is linked into s3dav has the
licences in the directory `licences` beside this file.

"""
