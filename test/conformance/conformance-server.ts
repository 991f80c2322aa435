/**
 * The server that the runner of Connect's conformance suite tests: reads from stdin how it shall listen, and writes to
 * stdout where it does. Arguments: the types of the suite, and `on` or `off` for the fast lane.
 */
import { create, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { ConformanceService } from "./conformance-service.ts";
import { readTypes, startSuiteServer } from "./suite-server.ts";

type Wanted = Message & {
  readonly useTls: boolean;
  readonly clientTlsCert: Uint8Array;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
};

const [typesPath = "", fastLane] = process.argv.slice(2);
const types = readTypes(typesPath);
const service = new ConformanceService(types);

/** Messages have their length in four bytes before them. */
const input: Buffer = await new Promise((resolve) => {
  let received = Buffer.alloc(0);
  process.stdin.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length >= 4 && received.length - 4 >= received.readUInt32BE()) resolve(received.subarray(4));
  });
});
const { useTls, clientTlsCert, messageReceiveLimit, serverCreds } = fromBinary(
  types.getMessage("connectrpc.conformance.v1.ServerCompatRequest")!,
  input,
) as Wanted;
const pem = (bytes: Uint8Array) => Buffer.from(bytes);
const clientCa = clientTlsCert.length === 0 ? undefined : pem(clientTlsCert);
const { port } = await startSuiteServer({
  fastLane: fastLane === "on",
  operations: service.operations,
  routes: (router) => service.addRoutes(router),
  maxMessageBytes: messageReceiveLimit === 0 ? undefined : messageReceiveLimit,
  tls: useTls ? { cert: pem(serverCreds!.cert), key: pem(serverCreds!.key), clientCa } : undefined,
});
const output = types.getMessage("connectrpc.conformance.v1.ServerCompatResponse")!;
const pemCert = useTls ? serverCreds!.cert : new Uint8Array();
const message = toBinary(output, create(output, { host: "127.0.0.1", port, pemCert } as never));
const length = Buffer.alloc(4);
length.writeUInt32BE(message.length);
process.stdout.write(Buffer.concat([length, message]));
