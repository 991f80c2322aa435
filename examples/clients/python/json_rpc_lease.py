"""Asks what VMware's Python SDK asks for `create_vsphere_client` and a download session, in the form and with the
headers of its runtime 2.44.0, and reads the answers as strictly; with Python's standard library alone.

    python3 json_rpc_lease.py HOST:PORT USER PASSWORD ITEM_ID
"""

import http.client
import itertools
import json
import sys
import uuid

LOGIN = "com.vmware.cis.session"
DOWNLOAD_SESSION = "com.vmware.content.library.item.download_session"
MODEL = DOWNLOAD_SESSION + "_model"
MODEL_FIELDS = (
    "id",
    "library_item_id",
    "library_item_content_version",
    "error_message",
    "client_progress",
    "state",
    "expiration_time",
)


def main(address, user, password, item):
    client = Client(address)
    login = client.login(user, password)
    print("logged in:", client.call(LOGIN, "get")["STRUCTURE"]["com.vmware.cis.session.info"]["user"])
    try:
        lease(client, item)
    finally:
        client.call(LOGIN, "delete")
    client.security = session_scheme(login)
    print("logged out:", refusal(client, LOGIN, "get"))


def lease(client, item):
    spec = {name: optional(item if name == "library_item_id" else None) for name in MODEL_FIELDS}
    token = optional(str(uuid.uuid4()))
    arguments = {"client_token": token, "create_spec": {"STRUCTURE": {MODEL: spec}}}
    session = client.call(DOWNLOAD_SESSION, "create", arguments)
    again = client.call(DOWNLOAD_SESSION, "create", arguments)
    print("created, and again with the same token:", "the same" if session == again else "ANOTHER")

    identified = {"download_session_id": session}
    for progress in (None, 40):
        kept = client.call(DOWNLOAD_SESSION, "keep_alive", {**identified, "progress": optional(progress)})
        assert kept is None, kept
    model = client.call(DOWNLOAD_SESSION, "get", identified)["STRUCTURE"][MODEL]
    print("kept alive:", model["state"]["OPTIONAL"], "progress", model["client_progress"]["OPTIONAL"])
    listed = client.call(DOWNLOAD_SESSION, "list", {"library_item_id": optional(None)})
    assert session in listed, listed

    assert client.call(DOWNLOAD_SESSION, "fail", {**identified, "client_error_message": "disk full"}) is None
    model = client.call(DOWNLOAD_SESSION, "get", identified)["STRUCTURE"][MODEL]
    [message] = model["error_message"]["OPTIONAL"]["STRUCTURE"].values()
    print("failed:", model["state"]["OPTIONAL"], message["default_message"])
    print("cancel:", refusal(client, DOWNLOAD_SESSION, "cancel", identified))
    assert client.call(DOWNLOAD_SESSION, "delete", identified) is None
    print("deleted:", refusal(client, DOWNLOAD_SESSION, "get", identified))
    print("no such operation:", refusal(client, DOWNLOAD_SESSION, "complete", identified))


def refusal(client, service, operation, arguments=None):
    """The name of the error that a call is answered with, without its package."""
    try:
        return f"answered {client.call(service, operation, arguments)}"
    except ApiError as error:
        return error.name.rpartition(".")[2]


class ApiError(Exception):
    def __init__(self, structure):
        [(self.name, fields)] = structure["ERROR"].items()
        # The SDK can't read an error without messages, or whose optional members are not wrapped.
        assert fields["messages"], fields
        assert all("OPTIONAL" in value for name, value in fields.items() if name != "messages"), fields
        super().__init__(self.name)


class Client:
    def __init__(self, address):
        self._connection = http.client.HTTPConnection(address, timeout=10)
        self._ids = itertools.count()
        self.security = {}

    def login(self, user, password):
        scheme = "com.vmware.vapi.std.security.user_pass"
        self.security = {"schemeId": scheme, "userName": user, "password": password}
        session = self.call(LOGIN, "create")["SECRET"]
        self.security = session_scheme(session)
        return session

    def call(self, service, operation, arguments=None):
        """The output of the operation, as vAPI writes it; raises ApiError."""
        sent_id, operation_id = str(next(self._ids)), str(uuid.uuid4())
        request = {
            "jsonrpc": "2.0",
            "method": "invoke",
            "id": sent_id,
            "params": {
                "serviceId": service,
                "operationId": operation,
                "input": {"STRUCTURE": {"operation-input": arguments or {}}},
                "ctx": {"appCtx": {"opId": operation_id}, "securityCtx": self.security},
            },
        }
        headers = {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "User-Agent": "vAPI/2.44.0 Python/3.11.2 (Linux; x86_64)",
            "vapi-service": service,
            "vapi-operation": operation,
            "vapi-ctx-opid": operation_id,
        }
        self._connection.request("POST", "/api", json.dumps(request), headers)
        response = self._connection.getresponse()
        body = response.read()
        # Anything else is a failure of the transport for the SDK, which then loses the body.
        assert response.status == 200, (response.status, body)
        answer = json.loads(body)
        assert answer["jsonrpc"] == "2.0" and answer["id"] == sent_id, answer
        if "error" in answer:
            raise RuntimeError(f"protocol error {answer['error']}")
        if "error" in answer["result"]:
            raise ApiError(answer["result"]["error"])
        return answer["result"]["output"]


def session_scheme(session):
    return {"schemeId": "com.vmware.vapi.std.security.session_id", "sessionId": session}


def optional(value):
    return {"OPTIONAL": value}


if __name__ == "__main__":
    main(*sys.argv[1:])
