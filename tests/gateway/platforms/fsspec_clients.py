"""fsspec, as notebooks use it: FILESYSTEM URL [TOKEN], where the bucket holds measurements/july.csv."""

import sys

import fsspec

kind, url, *token = sys.argv[1:]
JULY = b"day,value\n1,20\n2,22\n"


def webdav():
    fs = fsspec.filesystem("webdav", base_url=url)
    assert sorted(fs.ls("measurements", detail=False)) == ["measurements/july.csv"], fs.ls("measurements")
    assert fs.info("measurements/july.csv")["size"] == len(JULY)
    assert fs.cat("measurements/july.csv") == JULY
    with fs.open("measurements/july.csv") as file:
        file.seek(10)
        assert file.read(4) == b"1,20"
    fs.pipe("made/a.txt", b"made")
    with fs.open("made/b \u00e9.txt", "w") as file:
        file.write("more")
    assert sorted(fs.find("made")) == ["made/a.txt", "made/b \u00e9.txt"], fs.find("made")
    assert fs.glob("made/*.txt") == sorted(fs.find("made"))
    fs.mv("made/a.txt", "made/c.txt")
    fs.copy("made/c.txt", "made/d.txt")
    assert fs.cat("made/d.txt") == b"made" and not fs.exists("made/a.txt")
    fs.rm("made", recursive=True)
    assert not fs.exists("made")


def http():
    headers = {"Authorization": f"token {token[0]}"} if token else {}
    fs = fsspec.filesystem("http", client_kwargs={"headers": headers})
    assert url + "measurements/" in fs.ls(url, detail=False), fs.ls(url, detail=False)
    assert url + "measurements/july.csv" in fs.ls(url + "measurements/", detail=False)
    assert fs.cat(url + "measurements/july.csv") == JULY
    with fs.open(url + "measurements/july.csv") as file:
        # jupyter-server-proxy does not say how large it is, so fsspec only reads on.
        if not token:
            file.seek(10)
            assert file.read(4) == b"1,20"
        else:
            assert file.read() == JULY


{"webdav": webdav, "http": http}[kind]()
