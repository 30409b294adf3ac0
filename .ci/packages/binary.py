"""What a Linux binary asks of the machine that it will run on, by binutils' readelf."""

import os
import re
import subprocess
from dataclasses import dataclass

from project import Refused

# Of glibc itself, and what every Linux has that has it.
OF_GLIBC = re.compile(r"^(libc|libm|libdl|librt|libpthread|ld-linux-[a-z0-9-]+)\.so\.[0-9]+$")
UNWINDER = "libgcc_s.so.1"


@dataclass(frozen=True)
class Demands:
    glibc: tuple  # the least version, as numbers
    unwinder: bool  # GCC's, as a library of its own

    @property
    def glibc_text(self):
        return ".".join(map(str, self.glibc))


def demands(binary, target):
    """Reads them; refuses what is for another machine, or needs a library that is not everywhere."""
    said = readelf(binary)
    machine = re.search(r"^\s*Machine:\s*(.*)$", said, re.MULTILINE)
    if machine is None or target.elf not in machine.group(1):
        raise Refused(f"{binary} is not for {target.triple}")
    libraries = set(re.findall(r"Shared library: \[(.*?)\]", said))
    strange = {name for name in libraries if not OF_GLIBC.match(name) and name != UNWINDER}
    if strange:
        raise Refused(f"{binary} needs {', '.join(sorted(strange))}, which not every Linux has")
    versions = re.findall(r"Name: GLIBC_([0-9.]+)", said)
    if not versions:
        raise Refused(f"{binary} names no version of glibc")
    return Demands(max(map(numbers, versions)), UNWINDER in libraries)


def numbers(version):
    return tuple(map(int, version.split(".")))


def readelf(binary):
    command = ["readelf", "--wide", "--file-header", "--dynamic", "--version-info", str(binary)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode != 0 or "Error:" in done.stderr:
        raise Refused(f"{binary} is no binary of Linux: {done.stderr.strip()}")
    return done.stdout
