"""Holds a download session with grpcio. Needs the Debian packages python3-grpcio and python3-protobuf, and no
generated code: the server describes its messages by reflection.

    python3 grpc_lease.py HOST:PORT ITEM_ID [SECONDS_PER_CALL]
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

SERVICE = "content.library.item.v1.DownloadSessionService"


def main(address, item, seconds="5"):
    with grpc.insecure_channel(address) as channel:
        try:
            lease(Interface(channel, float(seconds)), item)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")


def lease(interface, item):
    create, get, keep_alive, cancel, delete = (
        interface.unary(SERVICE, name) for name in ("Create", "Get", "KeepAlive", "Cancel", "Delete")
    )
    session = create(create_spec={"library_item_id": item}).download_session_id
    before = get(download_session_id=session).download_session
    answer = keep_alive(download_session_id=session, progress=40)
    later = answer.expiration_time.ToDatetime() >= before.expiration_time.ToDatetime()
    print("kept alive: progress", answer.client_progress, "later" if later else "EARLIER")

    # One stream for many heartbeats: a refused one is answered as well, and the stream goes on.
    heartbeats = [(session, 60), ("gone", 10), (session, 50)]
    requests = [{"download_session_id": each, "progress": progress} for each, progress in heartbeats]
    for answer in interface.stream(SERVICE, "KeepAliveStream")(requests):
        print("on a stream:", shown(interface, answer.result))

    cancel(download_session_id=session)
    try:
        keep_alive(download_session_id=session)
    except grpc.RpcError as error:
        print("refused:", error.code().name, reason_of(interface, status_of(interface, error)))
    delete(download_session_id=session)
    print("deleted")


def shown(interface, result):
    if result.HasField("error"):
        return f"refused, {reason_of(interface, result.error)}"
    return f"progress {result.client_progress}"


def status_of(interface, error):
    """The google.rpc.Status of a failed call."""
    [details] = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    return interface.message("google.rpc.Status").FromString(details)


def reason_of(interface, status):
    """The vAPI error type, and the id of the message."""
    info = interface.message("google.rpc.ErrorInfo")()
    assert status.details[0].Unpack(info)
    return f"{info.reason} {info.metadata['message_id']}"


class Interface:
    """What a server says of itself by grpc.reflection.v1. Each call may take `seconds`."""

    def __init__(self, channel, seconds):
        self._channel = channel
        self._seconds = seconds
        self._pool = descriptor_pool.DescriptorPool()
        self._pool.Add(REFLECTION)
        self._names = {REFLECTION.name}

    def unary(self, service, method):
        """A callable that takes the fields of the request and gives the response."""
        request, path, codec = self._method(service, method)
        call = self._channel.unary_unary(path, **codec)
        return lambda **fields: call(request(**fields), timeout=self._seconds)

    def stream(self, service, method):
        """A callable that takes an iterable of fields of requests and gives an iterator of responses."""
        request, path, codec = self._method(service, method)
        call = self._channel.stream_stream(path, **codec)
        return lambda several: call((request(**fields) for fields in several), timeout=self._seconds)

    def message(self, name):
        """The class of a message, by its full name."""
        self._learn(name)
        return class_of(self._pool.FindMessageTypeByName(name))

    def _method(self, service, method):
        self._learn(service)
        found = self._pool.FindServiceByName(service).FindMethodByName(method)
        request = class_of(found.input_type)
        codec = {
            "request_serializer": request.SerializeToString,
            "response_deserializer": class_of(found.output_type).FromString,
        }
        return request, f"/{service}/{method}", codec

    def _learn(self, symbol):
        """Fetches the file that declares the symbol and all that it imports, in an order that the pool takes."""
        try:
            self._pool.FindFileContainingSymbol(symbol)
            return
        except KeyError:
            pass
        ask = self.stream("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo")
        [answer] = ask([{"file_containing_symbol": symbol}])
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        by_name = {file.name: file for file in files}
        for name in by_name:
            self._add(name, by_name)

    def _add(self, name, files):
        if name in self._names:
            return
        self._names.add(name)
        for imported in files[name].dependency:
            self._add(imported, files)
        self._pool.Add(files[name])


def class_of(descriptor):
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4.22 and newer
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(descriptor.file.pool).GetPrototype(descriptor)


def field(name, number, **more):
    return {"name": name, "number": number, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING", **more}


# As much of grpc/reflection/v1/reflection.proto as is asked here.
REFLECTION = json_format.ParseDict(
    {
        "name": "reflection-in-short.proto",
        "package": "grpc.reflection.v1",
        "syntax": "proto3",
        "messageType": [
            {"name": "ServerReflectionRequest", "field": [field("file_containing_symbol", 4)]},
            {
                "name": "ServerReflectionResponse",
                "field": [
                    field(
                        "file_descriptor_response",
                        4,
                        type="TYPE_MESSAGE",
                        typeName=".grpc.reflection.v1.FileDescriptorResponse",
                    )
                ],
            },
            {
                "name": "FileDescriptorResponse",
                "field": [field("file_descriptor_proto", 1, label="LABEL_REPEATED", type="TYPE_BYTES")],
            },
        ],
        "service": [
            {
                "name": "ServerReflection",
                "method": [
                    {
                        "name": "ServerReflectionInfo",
                        "inputType": ".grpc.reflection.v1.ServerReflectionRequest",
                        "outputType": ".grpc.reflection.v1.ServerReflectionResponse",
                    }
                ],
            }
        ],
    },
    FileDescriptorProto(),
)

if __name__ == "__main__":
    main(*sys.argv[1:])
