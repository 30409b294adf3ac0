"""The PyPI packages webdavclient3 and webdav4. Arguments: the URL, and room beside."""

import io
import pathlib
import sys

import webdav3.client
import webdav4.client

url, local = sys.argv[1], pathlib.Path(sys.argv[2])
(local / "file").write_bytes(b"content" * 1000)

old = webdav3.client.Client({"webdav_hostname": url})
assert old.check("/")
old.mkdir("py3")
old.upload_sync(remote_path="py3/grüße.txt", local_path=str(local / "file"))
old.copy(remote_path_from="py3/grüße.txt", remote_path_to="py3/copied.txt")
old.move(remote_path_from="py3/copied.txt", remote_path_to="py3/moved.txt")
assert sorted(name for name in old.list("py3") if name != "py3/") == ["grüße.txt", "moved.txt"], old.list("py3")
assert old.info("py3/moved.txt")["size"] == "7000"
assert old.is_dir("py3/")
old.download_sync(remote_path="py3/moved.txt", local_path=str(local / "back"))
assert (local / "back").read_bytes() == (local / "file").read_bytes()
old.clean("py3")
assert not old.check("py3")

new = webdav4.client.Client(url)
new.mkdir("py4")
new.upload_fileobj(io.BytesIO(b"content"), "py4/a b.txt")
new.copy("py4/a b.txt", "py4/copied.txt")
new.move("py4/copied.txt", "py4/moved.txt")
assert sorted(entry["name"] for entry in new.ls("py4")) == ["py4/a b.txt", "py4/moved.txt"]
assert new.content_length("py4/moved.txt") == 7
assert new.isdir("py4") and new.isfile("py4/moved.txt")
buffer = io.BytesIO()
new.download_fileobj("py4/moved.txt", buffer)
assert buffer.getvalue() == b"content"
with new.open("py4/moved.txt", mode="rb") as file:
    file.seek(3)
    assert file.read() == b"tent"
new.remove("py4")
assert not new.exists("py4")
