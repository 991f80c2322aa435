/** The least that sending a file can be in Node: node:http, and a stream of the file that is piped into the answer. */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { pipeline } from "node:stream";

const [port, file = ""] = process.argv.slice(2);
const { size } = statSync(file);

createServer((_req, res) => {
  res.writeHead(200, { "content-length": size });
  pipeline(createReadStream(file), res, () => {});
}).listen(Number(port), "127.0.0.1");
