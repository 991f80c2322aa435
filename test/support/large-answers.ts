/**
 * A process whose every answer has 256 KB, each in memory of its own. Prints its port. Answers a line on its standard
 * input with its resident memory in bytes.
 */
import { connectionOf } from "../../src/calls/http.ts";
import { Server } from "../../src/server/server.ts";

const server = new Server({
  host: "127.0.0.1",
  port: 0,
  handler(request, response) {
    response.writeHead(200);
    response.end(Buffer.alloc(2 ** 18, "x"));
    connectionOf(request).answered(2 ** 18);
  },
});
process.stdout.write(`${(await server.listen()).port}\n`);
process.stdin.on("data", () => process.stdout.write(`${process.memoryUsage.rss()}\n`));
