"""Downloads an item with VMware's SDK for Python, the package vmware-vcenter.

usage: vmware_sdk.py SERVER CA USER PASSWORD ITEM DIRECTORY
"""

import hashlib
import pathlib
import sys
import time
import uuid

import requests
from com.vmware.content.library.item_client import DownloadSessionModel
from com.vmware.vapi.std.errors_client import NotAllowedInCurrentState, NotFound
from vmware.vapi.vsphere.client import create_vsphere_client

server, ca, user, password, name, directory = sys.argv[1:]
http = requests.Session()
http.verify = ca
# Otherwise the variables of the environment choose the authorities.
http.trust_env = False
client = create_vsphere_client(server=server, username=user, password=password, session=http)
library, item = client.content.Library, client.content.library.Item
sessions = client.content.library.item.DownloadSession
files = client.content.library.item.downloadsession.File

libraries = [library.get(each).name for each in library.list()]
print("libraries:", ", ".join(libraries))
[found] = item.find(item.FindSpec(name=name))
in_library = library.find(library.FindSpec(name=libraries[0]))
assert item.get(found).library_id in in_library

spec = DownloadSessionModel(library_item_id=found)
token = str(uuid.uuid4())
session = sessions.create(create_spec=spec, client_token=token)
assert sessions.create(create_spec=spec, client_token=token) == session
sessions.keep_alive(session, progress=40)
model = sessions.get(session)
print("kept alive:", model.state, "progress", model.client_progress)
for each in files.list(session):
    files.prepare(session, each.name)
    while (info := files.get(session, each.name)).status != "PREPARED":
        assert info.status != "ERROR", info.error_message
        time.sleep(0.2)
    # Links need no credentials.
    answer = requests.Session()
    answer.trust_env = False
    content = answer.get(info.download_endpoint.uri, verify=ca).content
    pathlib.Path(directory, each.name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    assert info.checksum_info is None or info.checksum_info.checksum == digest
    print(f"{each.name}: {len(content)} bytes, SHA256 verified")
sessions.cancel(session)
print("canceled:", sessions.get(session).state)
try:
    sessions.keep_alive(session)
except NotAllowedInCurrentState:
    print("keep-alive: not allowed in current state")
sessions.delete(session)
try:
    sessions.get(session)
except NotFound:
    print("deleted: not found")
