"""Holds a lease with the code that protoc makes for Python. Arguments: address, item."""

import sys

import grpc

from content.library.item.v1 import download_session_pb2 as types
from content.library.item.v1.download_session_pb2_grpc import DownloadSessionServiceStub

address, item = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    service = DownloadSessionServiceStub(channel)
    spec = types.DownloadSessionModel(library_item_id=item)
    created = service.Create(types.CreateRequest(create_spec=spec), timeout=20)
    session = created.download_session_id
    service.KeepAlive(types.KeepAliveRequest(download_session_id=session, progress=40), timeout=20)
    got = service.Get(types.GetRequest(download_session_id=session), timeout=20)
    print("progress", got.download_session.client_progress)
