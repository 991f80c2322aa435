"""Downloads the files of a library item with grpcio. Needs the Debian packages
python3-grpcio and python3-protobuf, and no generated code: see grpc_lease.py.

    python3 grpc_download.py HOST:PORT ITEM_ID DIRECTORY
"""

import hashlib
import os
import sys
import time
import urllib.request

import grpc

from grpc_lease import SERVICE as SESSIONS
from grpc_lease import Interface

FILES = "content.library.item.downloadsession.v1.FileService"


def main(address, item, directory):
    os.makedirs(directory, exist_ok=True)
    with grpc.insecure_channel(address) as channel:
        interface = Interface(channel, 10)
        create, delete = (interface.unary(SESSIONS, name) for name in ("Create", "Delete"))
        try:
            session = create(create_spec={"library_item_id": item}).download_session_id
            for file in interface.unary(FILES, "List")(download_session_id=session).files:
                download(interface, session, file.name, directory)
            delete(download_session_id=session)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")


def download(interface, session, name, directory):
    prepare, get = (interface.unary(FILES, method) for method in ("Prepare", "Get"))
    file = prepare(download_session_id=session, file_name=name).file

    def wait_for(field, file):
        while not file.HasField(field):
            if file.HasField("error_message"):
                sys.exit(f"{name}: {file.error_message.default_message}")
            time.sleep(0.2)
            file = get(download_session_id=session, file_name=name).file
        return file

    # It has an endpoint when it is PREPARED, and a large one has its checksums later.
    file = wait_for("download_endpoint", file)
    digest, size = hashlib.sha256(), 0
    # Without credentials: the link is enough.
    with urllib.request.urlopen(file.download_endpoint.uri) as response:
        with open(os.path.join(directory, name), "wb") as target:
            while chunk := response.read(2**16):
                target.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    file = wait_for("checksum_info", file)
    if size != file.size or digest.hexdigest() != file.checksum_info.checksum:
        sys.exit(f"{name}: {size} bytes with SHA256 {digest.hexdigest()} are not the file")
    print(f"{name}: {size} bytes, SHA256 verified")


if __name__ == "__main__":
    main(*sys.argv[1:])
