import { connect } from "node:net";
import { type DownloadReader, silenceMs, sink } from "./reader.ts";

const headEnd = "\r\n\r\n";

export const readHttp1: DownloadReader = ({ port, path, bytes }, onBytes) => {
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  let head: string | undefined = "";
  let left = bytes;
  const read = (length: number): boolean => {
    let body = length;
    if (head !== undefined) {
      const before: number = head.length;
      head += sink.toString("latin1", 0, length);
      const end = head.indexOf(headEnd);
      if (end < 0) return true;
      const problem = problemOf(head.slice(0, end), bytes);
      if (problem !== undefined) {
        socket.destroy(problem);
        return false;
      }
      body = length - (end + headEnd.length - before);
      head = undefined;
    }
    left -= body;
    if (body > 0) onBytes(body);
    if (left <= 0) stop();
    return true;
  };
  const socket = connect({ port, host: "127.0.0.1", onread: { buffer: sink, callback: read } });
  const stop = () => {
    resolve();
    socket.destroy();
  };
  socket.setTimeout(silenceMs, () => socket.destroy(new Error("the server has stopped sending")));
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("the server closed the connection")));
  socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`);
  socket.resume();
  return { done, stop };
};

function problemOf(head: string, bytes: number): Error | undefined {
  const [statusLine = ""] = head.split("\r\n", 1);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (statusLine.startsWith("HTTP/1.1 200 ") && Number(length) === bytes) return undefined;
  return new Error(`${statusLine} with ${length} bytes in place of ${bytes}`);
}
