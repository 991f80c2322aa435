import { expect, test } from "vitest";
import { ConnectionPool } from "../../src/client/connection-pool.ts";
import { Connections, type Target } from "../../src/client/connections.ts";
import type { Sink } from "../../src/client/fetch.ts";

const target: Target = {
  etag: '"a"',
  begin: () => Promise.resolve(),
  allowGaps: () => Promise.resolve(),
  write: () => undefined,
};

test("a file that is aborted between two of its requests is not complete", async () => {
  const abort = new AbortController();
  const fetch = (_: string, sink: Sink) => {
    sink.write(new Uint8Array(sink.end - sink.position));
    abort.abort(new Error("enough"));
    return Promise.resolve({ outcome: "complete" as const });
  };
  const pool = new ConnectionPool({ parallel: 1, connections: 1 });
  const connections = new Connections(target, { size: 30, fetcher: { fetch }, pool });
  connections.reset([{ start: 10, end: 20 }]);
  await expect(connections.fetch("http://link", abort.signal)).rejects.toThrow("enough");
});
