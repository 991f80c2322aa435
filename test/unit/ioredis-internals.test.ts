import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, Redis } from "ioredis";
import { describe, expect, test, vi } from "vitest";
import { coalesceWrites, handleAsking, RawCommand } from "../../src/stores/redis/ioredis-internals.ts";

const built = new URL("./", import.meta.resolve("ioredis"));
const source = (file: string) => readFileSync(fileURLToPath(new URL(file, built)), "utf8");

test("ioredis has the version that ioredis-internals.ts was read and measured with", () => {
  const { version } = JSON.parse(source("../package.json")) as { version: string };
  expect(
    version,
    `Before this becomes ${version}, look whether in ioredis
 - Redis#sendCommand still writes command.toWritable(), as a string, to redis.stream, and asks command.isTraced
   before it traces (RawCommand, coalesceWrites); the tests below look for the places;
 - it now writes the commands of one turn together by itself (then coalesceWrites can go);
 - a command still settles by calling its own resolve and reject, and its time limit is set by setTimeout (RawCommand);
 - a connection still gets its socket from options.Connector, as redis.stream (connector.ts), and closes and connects
   again when that is reset (heartbeat.ts);
 - the cluster still finds the node of a command by getKeys, and still drops the promise of asking() (handleAsking).
Then run \`node bench/redis.ts\` with both versions, and the tests redis-faults and redis-cluster.`,
  ).toBe("6.0.0");
});

describe("the places in ioredis that are relied on", () => {
  test.each([
    ["Redis.js", "this.stream.write(command.toWritable(this.stream))"],
    ["Redis.js", "command.setTimeout(this.options.commandTimeout)"],
    ["Redis.js", "if (!writable || command.isTraced)"],
    ["Redis.js", "new this.options.Connector(this.options)"],
    ["Redis.js", "_this.stream = stream"],
    ["cluster/index.js", "this.slots[slot] = keys;"],
    ["cluster/index.js", "redis.asking();"],
    ["Command.js", "this.isTraced = false"],
    ["Command.js", "this.initPromise();"],
    ["DataHandler.js", "item.command.resolve("],
  ])("%s has `%s`", (file, text) => {
    expect(source(file)).toContain(text);
  });

  test.each(["toWritable", "getKeys", "setTimeout"] as const)("Command has %s", (member) => {
    expect(Command.prototype[member]).toBeTypeOf("function");
  });
});

describe("a raw command", () => {
  test("is sent as it is encoded, and calls back with its raw reply or its error", () => {
    const [replied, failed] = [vi.fn(), vi.fn()];
    const command = new RawCommand("evalsha", "dl:{a}", "*1\r\n$4\r\nPING\r\n", replied, failed);
    expect(command.toWritable()).toBe("*1\r\n$4\r\nPING\r\n");
    expect(command.getKeys()).toEqual(["dl:{a}"]);
    const reply = Buffer.from("OK 1 2");
    command.resolve(reply);
    expect(replied.mock.calls).toEqual([[reply]]);
    const error = new Error("NOSCRIPT");
    command.reject(error);
    expect(failed.mock.calls).toEqual([[error]]);
  });
});

describe("writes", () => {
  function connection() {
    const written: (string | Uint8Array)[] = [];
    const redis = new Redis({ lazyConnect: true });
    const stream = { writable: true, write: (chunk: string | Uint8Array) => written.push(chunk) > 0 };
    Object.assign(redis, { stream });
    coalesceWrites(redis).emit("connect");
    return { written, stream };
  }
  const turn = () => new Promise(setImmediate);

  test("of one turn are one write", async () => {
    const { written, stream } = connection();
    for (const text of ["a", "b", "c"]) stream.write(text);
    expect(written).toEqual([]);
    await turn();
    stream.write("d");
    await turn();
    expect(written).toEqual(["abc", "d"]);
  });

  test("keep their order with bytes in between, and wait for no more than 128 commands", async () => {
    const { written, stream } = connection();
    const bytes = Buffer.from("bytes");
    stream.write("a");
    stream.write(bytes);
    for (let count = 0; count < 130; count++) stream.write("x");
    expect(written).toEqual(["a", bytes, "x".repeat(128)]);
    await turn();
    expect(written.at(-1)).toBe("xx");
  });

  test("to a stream that has ended are dropped", async () => {
    const { written, stream } = connection();
    stream.write("a");
    stream.writable = false;
    await turn();
    expect(written).toEqual([]);
  });
});

test("an ASKING that fails is no unhandled rejection", async () => {
  const asking = () => Promise.reject(new Error("the connection is closed"));
  const node = Object.assign(new Redis({ lazyConnect: true }), { asking });
  handleAsking(node);
  // Its promise is dropped, as the cluster of ioredis does. Were it not handled, this run would fail.
  void node.asking();
  await new Promise(setImmediate);
});
