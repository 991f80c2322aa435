import type { Redis } from "ioredis";

const mostTogether = 128;

/**
 * Sends the commands of one turn of the event loop as one text with one system call, on this connection and every
 * later one. ioredis writes each command by itself, which costs more than all the rest of it; its own auto-pipelining
 * costs less, but waits for the answers before it sends more (measured by `bench/redis.ts`).
 */
export function coalesceWrites(redis: Redis): Redis {
  return redis.on("connect", () => {
    const { stream } = redis;
    const write = stream.write.bind(stream);
    let commands = "";
    let count = 0;
    const flush = () => {
      // A stream that was ended in the meantime takes nothing more; the commands are rejected with the connection.
      if (commands !== "" && stream.writable) write(commands);
      commands = "";
      count = 0;
    };
    stream.write = (chunk: string | Uint8Array) => {
      if (typeof chunk === "string") {
        if (commands === "") setImmediate(flush);
        commands += chunk;
        // A turn has no end for as long as more than a thousand connections have something to say (libuv).
        if (++count === mostTogether) flush();
        return true;
      }
      flush();
      return write(chunk);
    };
  });
}
