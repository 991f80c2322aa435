"""Downloads the files of a library item as VMware's sample for its Python SDK does, in the form of the SDK's requests;
with Python's standard library alone.

    python3 json_rpc_download.py HOST:PORT USER PASSWORD ITEM_ID DIRECTORY
"""

import hashlib
import os
import sys
import time
import urllib.request
import uuid

from json_rpc_lease import DOWNLOAD_SESSION, LOGIN, MODEL, MODEL_FIELDS, Client, optional

FILE = "com.vmware.content.library.item.downloadsession.file"


def main(address, user, password, item, directory):
    os.makedirs(directory, exist_ok=True)
    client = Client(address)
    client.login(user, password)
    try:
        spec = {name: optional(item if name == "library_item_id" else None) for name in MODEL_FIELDS}
        arguments = {"client_token": optional(str(uuid.uuid4())), "create_spec": {"STRUCTURE": {MODEL: spec}}}
        session = client.call(DOWNLOAD_SESSION, "create", arguments)
        for listed in client.call(FILE, "list", {"download_session_id": session}):
            download(client, session, info_of(listed)["name"], directory)
        client.call(DOWNLOAD_SESSION, "delete", {"download_session_id": session})
    finally:
        client.call(LOGIN, "delete")


def download(client, session, name, directory):
    arguments = {"download_session_id": session, "file_name": name}
    info = info_of(client.call(FILE, "prepare", {**arguments, "endpoint_type": optional("HTTPS")}))
    while info["status"] != "PREPARED":
        assert info["status"] != "ERROR", info["error_message"]
        time.sleep(0.2)
        info = info_of(client.call(FILE, "get", arguments))
    endpoint = structure(info["download_endpoint"]["OPTIONAL"], "com.vmware.content.library.item.transfer_endpoint")
    digest, size = hashlib.sha256(), 0
    # Without credentials: the link is enough.
    with urllib.request.urlopen(endpoint["uri"]) as response, open(os.path.join(directory, name), "wb") as file:
        while chunk := response.read(2**16):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    # A large file can be read before its checksums are known.
    while info["checksum_info"]["OPTIONAL"] is None:
        assert info["status"] != "ERROR", info["error_message"]
        time.sleep(0.2)
        info = info_of(client.call(FILE, "get", arguments))
    checksum = structure(info["checksum_info"]["OPTIONAL"], "com.vmware.content.library.item.file.checksum_info")
    assert checksum["algorithm"]["OPTIONAL"] == "SHA256", checksum
    assert size == info["size"]["OPTIONAL"], (size, info)
    assert digest.hexdigest() == checksum["checksum"], (digest.hexdigest(), info)
    print(f"{name}: {size} bytes, {digest.name.upper()} verified")


def info_of(value):
    return structure(value, FILE + ".info")


def structure(value, name):
    return value["STRUCTURE"][name]


if __name__ == "__main__":
    main(*sys.argv[1:])
