/** The minimum for a REST keep-alive: node:http, one JSON.parse, one EVALSHA. */
import { createServer } from "node:http";
import { keepAlive, port } from "./redis.ts";

createServer((req, res) => {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", async () => {
    const id = req.url?.slice(req.url.indexOf("id:") + 3, req.url.indexOf("?")) ?? "";
    const body = chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
    const renewed = await keepAlive(id, body.progress);
    res.writeHead(renewed ? 200 : 404, { "content-length": 0 });
    res.end();
  });
}).listen(port, "127.0.0.1");
