import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { afterEach, expect, test } from "vitest";
import { Admission } from "../../src/calls/admission.ts";
import { type Authenticate, CallPipeline } from "../../src/calls/pipeline.ts";
import { firstOf } from "../../src/calls/protocol-handler.ts";
import { ShareHolders } from "../../src/calls/share-holders.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import { downloadSessionOperations } from "../../src/operations/download-session.ts";
import { restHandler } from "../../src/protocols/vapi/handler.ts";
import { jsonRpcHandler } from "../../src/protocols/vapi/json-rpc/handler.ts";
import { Server } from "../../src/server/server.ts";
import { callerNamed } from "../support/callers.ts";

const path = "/rest/com/vmware/content/library/item/download-session/id:x";
const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close(AbortSignal.abort());
});

/** JSON-RPC and REST without a store: every call ends where its caller is authenticated. */
async function listen(authenticate: Authenticate): Promise<number> {
  const pipeline = new CallPipeline({
    operations: downloadSessionOperations({ store: {} as SessionStore, content: {} as never }),
    authenticate,
    admission: new Admission(10),
    streams: new ShareHolders(10),
    strangers: new ShareHolders(10),
    clientAddressOf: ({ connection }) => connection.peer,
    observe: () => {},
  });
  const options = { pipeline, maxBodyBytes: 1000, observe: () => {} };
  const handlers = [jsonRpcHandler(options), restHandler(options)];
  const server = new Server({ ...firstOf(handlers), host: "127.0.0.1", port: 0 });
  servers.push(server);
  return (await server.listen()).port;
}

/** Remembers the connections that calls came by. */
function connectionsOf(): { authenticate: Authenticate; connections: object[] } {
  const connections: object[] = [];
  const authenticate: Authenticate = (call) => {
    connections.push(call.connection);
    throw new ServiceError("downlease.call.canceled");
  };
  return { authenticate, connections };
}

function http1(port: number, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    httpRequest({ port, host: "127.0.0.1", path, agent }, (response) => {
      response.resume().on("end", () => resolve(response));
    })
      .on("error", reject)
      .end();
  });
}

test("calls of one HTTP/1.1 connection have the same connection, those of another have another", async () => {
  const { authenticate, connections } = connectionsOf();
  const port = await listen(authenticate);
  const agents = [1, 2].map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
  const [agent, other] = agents as [Agent, Agent];
  for (const each of [agent, agent, other]) await http1(port, each);
  for (const each of agents) each.destroy();
  expect(connections).toHaveLength(3);
  expect(connections[1]).toBe(connections[0]);
  expect(connections[2]).not.toBe(connections[0]);
});

test("calls of one HTTP/2 connection have the same connection, those of another have another", async () => {
  const { authenticate, connections } = connectionsOf();
  const port = await listen(authenticate);
  const sessions = [1, 2].map(() => connectHttp2(`http://127.0.0.1:${port}`));
  const [session, other] = sessions as [(typeof sessions)[0], (typeof sessions)[0]];
  for (const each of [session, session, other]) await each.request({ ":path": path }).resume().toArray();
  for (const each of sessions) each.destroy();
  expect(connections).toHaveLength(3);
  expect(connections[1]).toBe(connections[0]);
  expect(connections[2]).not.toBe(connections[0]);
});

test.each([
  ["says when to retry", ServiceError.overloaded(), "1"],
  [
    "does not say when to retry if that is unknown",
    new ServiceError("downlease.store.unavailable"),
    undefined,
  ],
])("an error %s", async (_, error, header) => {
  const port = await listen(() => {
    throw error;
  });
  const agent = new Agent();
  const response = await http1(port, agent);
  agent.destroy();
  expect(response.statusCode).toBe(503);
  expect(response.headers["retry-after"]).toBe(header);
});

test.each([
  ["POST", "/api", true],
  ["POST", "/api?x=1", true],
  ["GET", "/api", false],
  ["POST", "/api/", false],
  ["POST", "/apis", false],
  ["POST", "/rest/api", false],
])("%s %s is JSON-RPC: %s", async (method, target, isJsonRpc) => {
  const port = await listen(() => callerNamed("x"));
  const { status } = await fetch(`http://127.0.0.1:${port}${target}`, { method });
  expect(status).toBe(isJsonRpc ? 200 : 404);
});
