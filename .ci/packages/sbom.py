"""The bill of materials, as CycloneDX: what is linked into the program, from where, under which licence."""

import datetime
import hashlib
import json
import uuid

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from crates import rust_version, used_by_the_program
from project import LICENCE, NAME, SUMMARY, VERSION, Refused, epoch


def write(crates, target, binary, path):
    text = json.dumps(bill(crates, target, binary), indent=2) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise Refused(f"the bill of materials is not valid: {wrong}")
    path.write_text(text)


def bill(crates, target, binary):
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    own = f"{NAME}@{VERSION}"
    library = {
        "type": "library",
        "bom-ref": "rust-library",
        "name": "rust-library",
        "version": rust_version(),
        "description": "Rust's core, alloc and std, and what they link",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    made = datetime.datetime.fromtimestamp(epoch(), datetime.timezone.utc)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same for the same binary.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": NAME,
                "version": VERSION,
                "description": SUMMARY,
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "licenses": [{"expression": LICENCE}],
                "properties": [{"name": f"{NAME}:target", "value": target.triple}],
            },
        },
        "components": [component(crate) for crate in crates] + [library],
        "dependencies": [
            {"ref": own, "dependsOn": [*map(reference, used_by_the_program(target, crates)), "rust-library"]},
            *({"ref": reference(crate.key), "dependsOn": [*map(reference, crate.uses)]} for crate in crates),
            {"ref": "rust-library"},
        ],
    }


def reference(key):
    return "pkg:cargo/{}@{}".format(*key).replace("+", "%2B")


def component(crate):
    described = {
        "type": "library",
        "bom-ref": reference(crate.key),
        "name": crate.name,
        "version": crate.version,
        "hashes": [{"alg": "SHA-256", "content": crate.checksum}],
        "licenses": [{"expression": crate.licence}],
        "purl": reference(crate.key),
    }
    if crate.repository:
        described["externalReferences"] = [{"type": "vcs", "url": crate.repository}]
    return described
