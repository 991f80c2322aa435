/** The minimum for a gRPC keep-alive on Node's HTTP/2: core `stream` events, one EVALSHA, a prepared answer. */
import { createServer } from "node:http2";
import { framedAnswer, readRequest } from "./keep-alive-message.ts";
import { keepAlive, port } from "./redis.ts";

const prefixBytes = 5;
const headers = { ":status": 200, "content-type": "application/grpc" };

createServer()
  .on("stream", (stream) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", async () => {
      const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      const { id, progress } = readRequest(body.subarray(prefixBytes));
      const renewed = await keepAlive(id, progress);
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": renewed ? "0" : "5" }));
      stream.respond(headers, { waitForTrailers: true });
      stream.end(framedAnswer);
    });
    // A caller that goes away must not end the process.
    stream.on("error", () => {});
  })
  .listen(port, "127.0.0.1");
