"""A bucket in Jupyter: a tile that shows its folders, and a drive in JupyterLab's sidebar.

To be put at /etc/jupyter/jupyter_server_config.py, or appended to the file that is there. It takes
jupyter-server-proxy, jupyter-fs, fsspec and webdav4. It reads two variables:

S3DAV_BUCKET        what the tile serves; without it a gateway runs already, such as a sidecar
JUPYTER_S3DAV_PORT  where, on the loopback: 8330
"""

import os

import fsspec
import httpx
from webdav4.fsspec import WebdavFileSystem


class GatewayFileSystem(WebdavFileSystem):
    """fsspec's `webdav`, with the times and errors that jupyter-fs knows."""

    protocol = "s3dav"

    def info(self, path, **kwargs):
        try:
            found = super().info(path, **kwargs)
        except httpx.TransportError as error:
            # Jupyter may be there before the gateway.
            raise ConnectionError(f"s3dav does not answer: {error}") from error
        times = {"created": found.pop("created", None), "mtime": found.pop("modified", None)}
        return found | {name: time.timestamp() for name, time in times.items() if time}


fsspec.register_implementation("s3dav", GatewayFileSystem, clobber=True)

port = int(os.environ.get("JUPYTER_S3DAV_PORT") or 8330)
serve = ["s3dav", "serve", "--listen", "127.0.0.1:{port}"]

c = get_config()  # noqa: F821

c.ServerProxy.servers = {
    "s3dav": {
        # Its other options are in the environment, too: S3DAV_READ_ONLY and so on.
        "command": serve if os.environ.get("S3DAV_BUCKET") else [],
        "port": port,
        "timeout": 30,
        # Jupyter has asked who it is, under whatever name the browser knows it.
        "request_headers_override": {"Host": f"127.0.0.1:{port}"},
        "launcher_entry": {"title": "Bucket"},
    }
}

c.ServerApp.jpserver_extensions = {"jupyterfs.extension": True}
c.ServerApp.contents_manager_class = "jupyterfs.metamanager.MetaManager"
c.JupyterFs.resources = [
    {
        "name": "Bucket",
        "url": "s3dav://",
        "type": "fsspec",
        "auth": "none",
        "kwargs": {"base_url": f"http://127.0.0.1:{port}/"},
    }
]
