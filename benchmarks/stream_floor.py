"""The least that a Hub → registry push can be: GET → tar header → sha256 → PATCH, and nothing besides.

    python -m benchmarks.stream_floor HUB NAME REGISTRY REPOSITORY [THREADS]

It makes the blobs that an image would have, one a file, and no manifest. It retries nothing, checks no file's sha256,
asks for no credentials and refuses no file: what a client takes beyond its time is what those cost.
"""

import hashlib
import http.client
import json
import sys
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit

CHUNK = 1 << 20  # bytes; smaller ones take more CPU (256 KiB: 15 % more)


def ask(method: str, url: str, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    """Send a request without a body on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request(method, f"{parts.path}?{parts.query}", headers={"Content-Length": "0", **(headers or {})})
    return connection.getresponse()


def get(url: str) -> http.client.HTTPResponse:
    """Return the answer's body to read, wherever it is."""
    answer = ask("GET", url)
    return get(urljoin(url, answer.headers["Location"])) if "Location" in answer.headers else answer


def copy(source: str, name: str, size: int, uploads: str) -> None:
    """Send the file at `source` as a tar to `uploads`, one byte after the other."""
    info = tarfile.TarInfo(f"models/{name}")
    info.size = size
    head, tail = info.tobuf(tarfile.GNU_FORMAT), bytes(-size % 512 + 1024)
    where = urljoin(uploads, ask("POST", uploads).headers["Location"])
    parts = urlsplit(where)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.putrequest("PATCH", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Length", str(len(head) + size + len(tail)))
    connection.putheader("Content-Type", "application/octet-stream")
    connection.endheaders(head)
    seen, buffer, body = hashlib.sha256(head), memoryview(bytearray(CHUNK)), get(source)
    while count := body.readinto(buffer):
        seen.update(buffer[:count])
        connection.send(buffer[:count])
    seen.update(tail)
    connection.send(tail)
    where = urljoin(where, connection.getresponse().headers["Location"])
    if ask("PUT", f"{where}&digest=sha256:{seen.hexdigest()}").status != http.client.CREATED:
        raise RuntimeError(f"the registry did not take {name}")


def main(arguments: Sequence[str]) -> None:
    """Copy every file of the repository."""
    hub, name, registry, repository, *threads = arguments
    listing = json.load(get(f"{hub}/api/models/{name}/revision/main?blobs=true"))
    uploads = f"http://{registry}/v2/{repository}/blobs/uploads/"
    with ThreadPoolExecutor(int(*threads or ["2"])) as pool:
        for done in [
            pool.submit(
                copy, f"{hub}/{name}/resolve/{listing['sha']}/{f['rfilename']}", f["rfilename"], f["size"], uploads
            )
            for f in listing["siblings"]
        ]:
            done.result()


if __name__ == "__main__":
    main(sys.argv[1:])
