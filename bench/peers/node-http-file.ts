/** The minimum for sending a file with Node.js: node:http, and a stream of the file piped into the response. */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { pipeline } from "node:stream";

const [port, file = ""] = process.argv.slice(2);
const { size } = statSync(file);

createServer((_req, res) => {
  res.writeHead(200, { "content-length": size });
  pipeline(createReadStream(file), res, () => {});
}).listen(Number(port), "127.0.0.1");
