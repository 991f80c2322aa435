import { resolve } from "node:path";
import { expect, test } from "vitest";
import {
  breaches,
  circles,
  environmentReaders,
  filesOf,
  importsOf,
  type Rooms,
  roomOf,
  type SourceFile,
  unusedAllowances,
} from "../support/architecture.ts";

/** What each room may import besides itself. A new entry is a design decision. */
const rooms: Rooms = {
  // The rules. `crypto` for digests and random identifiers.
  domain: { node: ["crypto"], pure: true },
  calls: {
    rooms: ["domain", "gen"],
    packages: ["@bufbuild/protobuf", "cookie", "forwarded-parse", "lru-cache", "negotiator"],
    // `crypto` and `zlib` for documents that are read whole.
    node: ["crypto", "http", "http2", "net", "tls", "zlib"],
  },
  // What operators watch.
  "session-feed": { rooms: ["domain"] },
  operations: { rooms: ["calls", "domain", "gen", "session-feed"], packages: ["@bufbuild/protobuf", "uuid"] },
  auth: {
    rooms: ["calls", "domain"],
    packages: ["jose", "lru-cache", "p-limit"],
    node: ["fs", "fs/promises"],
  },
  "stores/redis": {
    rooms: ["domain"],
    packages: ["ioredis", "lru-cache", "pino"],
    // Sockets that can be reset.
    node: ["fs", "net", "tls"],
  },
  "stores/sqlite": { rooms: ["domain"], packages: ["pino"], node: ["fs", "fs/promises", "sqlite"] },
  // `open.ts` of a room with several kinds has a row for each and loads the one in use.
  stores: { rooms: ["domain", "stores/redis", "stores/sqlite"], packages: ["pino"] },
  content: {
    rooms: ["content/cache", "content/directory", "content/s3", "domain"],
    packages: ["lru-cache", "p-limit", "uuid", "zod"],
  },
  // Blocks of files on a disk; SQLite is their index, and locks a file for each process.
  "content/cache": {
    rooms: ["content", "domain"],
    packages: ["lru-cache"],
    node: ["crypto", "fs", "fs/promises", "sqlite", "zlib"],
  },
  "content/directory": { rooms: ["content", "domain"], node: ["fs", "fs/promises"] },
  "content/s3": {
    rooms: ["content", "content/s3/http", "domain"],
    packages: ["@aws-sdk/client-s3", "@aws-sdk/s3-request-presigner", "content-disposition", "lru-cache"],
    node: ["http", "https", "stream"],
  },
  // Connections to the storage that read into the memory of their readers. `http` for checks of headers.
  "content/s3/http": { packages: ["http-parser-js"], node: ["http", "net", "tls"] },
  preparation: { rooms: ["domain"], packages: ["p-limit"], node: ["worker_threads"] },
  telemetry: {
    rooms: ["calls", "domain", "preparation"],
    packages: ["@prometheus-io/client", "pino", "pino-pretty"],
    // The file of the audit log.
    node: ["fs/promises"],
  },
  "protocols/rpc": {
    rooms: ["calls", "domain", "gen", "telemetry"],
    packages: ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-node"],
    node: ["http", "http2"],
  },
  "protocols/vapi": {
    rooms: ["calls", "domain", "gen"],
    packages: ["@bufbuild/protobuf", "content-type", "cookie", "negotiator", "saxes"],
    node: ["http"],
  },
  downloads: {
    rooms: ["calls", "domain"],
    packages: ["content-disposition", "range-parser"],
    // `async_hooks` for timers that belong to no request.
    node: ["async_hooks", "http", "http2", "net"],
  },
  // OpenTelemetry, loaded only when its variables ask for traces.
  tracing: {
    rooms: ["calls", "config", "domain", "telemetry"],
    packages: [
      "@opentelemetry/api",
      "@opentelemetry/core",
      "@opentelemetry/exporter-trace-otlp-proto",
      "@opentelemetry/resources",
      "@opentelemetry/sdk-trace",
      "pino",
    ],
    node: ["async_hooks", "http"],
  },
  server: {
    rooms: ["calls", "domain", "telemetry"],
    packages: ["cors", "negotiator", "pino", "sirv"],
    // The files of the pages.
    node: ["fs", "http", "http2", "net", "tls"],
  },
  cluster: { rooms: ["telemetry"], packages: ["pino"], node: ["cluster"] },
  // `fs` and `os` for where compiled code is cached.
  config: { rooms: ["domain"], packages: ["yaml", "zod"], node: ["fs", "net", "os"] },
  app: {
    rooms: [
      "auth",
      "calls",
      "cluster",
      "config",
      "content",
      "domain",
      "downloads",
      "operations",
      "preparation",
      "protocols/rpc",
      "protocols/vapi",
      "server",
      "session-feed",
      "stores",
      "telemetry",
      "tracing",
    ],
    packages: ["pino"],
    // For `systemd-notify`; `os` for the name of the host.
    node: ["child_process", "fs", "fs/promises", "net", "os", "tls"],
  },
  // The SDK, a package of its own. What `browser.ts` loads runs in browsers (test/integration/package.test.ts).
  client: {
    rooms: ["gen"],
    packages: [
      "@bufbuild/protobuf",
      "@connectrpc/connect",
      "@connectrpc/connect-node",
      "@connectrpc/connect-web",
      "p-limit",
      "zod",
    ],
    // `dns` and `net` for hosts that a server must not name.
    node: ["dns", "dns/promises", "fs", "fs/promises", "http", "https", "net", "sqlite", "tls"],
  },
  // The web page: code for browsers.
  console: {
    rooms: ["gen"],
    packages: [
      "@bufbuild/protobuf",
      "@connectrpc/connect",
      "@connectrpc/connect-query",
      "@connectrpc/connect-web",
      "@noble/hashes",
      "@tanstack/react-query",
      "@tanstack/react-virtual",
      "@vitejs/plugin-react",
      "pretty-bytes",
      "react",
      "react-aria-components",
      "react-dom",
      "swagger-ui-dist",
      "uplot",
      "vite",
      "wouter",
    ],
    // To build it.
    node: ["util", "zlib"],
  },
  // The commands that call a service: the SDK in a terminal.
  cli: {
    rooms: ["client", "config", "gen"],
    packages: [
      "@bomb.sh/tab",
      "@bufbuild/protobuf",
      "@connectrpc/connect",
      "cli-progress",
      "commander",
      "p-limit",
      "pretty-bytes",
      "string-width",
      // The list of servers.
      "zod",
    ],
    node: ["fs", "fs/promises", "readline"],
  },
  "cli/users": {
    rooms: ["auth", "cli", "config", "domain"],
    packages: ["commander"],
    node: ["fs", "fs/promises", "readline"],
  },
  // The settings of the service as flags.
  "cli/setting-options.ts": { rooms: ["config"], packages: ["commander"] },
  "cli/serve.ts": { rooms: ["app", "config"], node: ["cluster", "os", "tty", "v8"] },
  "cli/health": { rooms: ["cli", "config"], packages: ["commander"], node: ["http", "https"] },
  "cli/check": { rooms: ["app", "cli", "config"] },
  "cli/backup": { rooms: ["app", "cli", "config"], node: ["fs/promises"] },
  "cli/program.ts": {
    rooms: [
      "cli",
      "cli/backup",
      "cli/check",
      "cli/health",
      "cli/serve.ts",
      "cli/setting-options.ts",
      "cli/users",
      "config",
    ],
    packages: ["commander"],
  },
  "main.ts": { rooms: ["cli", "cli/program.ts", "client", "config"], node: ["module"] },
};

/**
 * Files outside of the configuration that name an environment variable, or pass the environment on. The SDK runs in
 * programs of others, and finds the proxies as these do.
 */
const environmentReadersElsewhere = ["src/client/proxy.ts", "src/main.ts"];

const root = resolve(import.meta.dirname, "../..");
const files = filesOf(root, "src");

/** The files with lines added to one of them, or with a file more. */
function withLines(path: string, ...lines: readonly string[]): SourceFile[] {
  const before = files.find((file) => file.path === path)?.text ?? "";
  const planted = { path, text: [before, ...lines].join("\n") };
  return [...files.filter((file) => file.path !== path), planted];
}

test("rooms import what the table allows", () => {
  expect(breaches(files, rooms)).toEqual([]);
});

test("the table allows no import that does not exist", () => {
  expect(unusedAllowances(files, rooms)).toEqual([]);
});

test("the table has no room that is gone", () => {
  const present = new Set(files.map(({ path }) => roomOf(path, rooms)));
  expect(Object.keys(rooms).filter((room) => !present.has(room))).toEqual([]);
});

test.each([
  ["src/domain/session.ts", 'import { Redis } from "ioredis";', "ioredis"],
  ["src/domain/session.ts", 'import "ioredis";', "ioredis"],
  ["src/domain/session.ts", 'import { createServer } from "node:http";', "node:http"],
  ["src/domain/session.ts", 'import { join } from "node:path";', "node:path"],
  ["src/protocols/rpc/handler.ts", 'import "../../operations/library.ts";', "src/operations/library.ts"],
  ["src/protocols/vapi/new.ts", 'export * from "../../operations/library.ts";', "src/operations/library.ts"],
  ["src/protocols/vapi/new.ts", 'await import("../../stores/redis/keys.ts");', "src/stores/redis/keys.ts"],
  ["src/downloads/new.ts", 'import { DatabaseSync } from "node:sqlite";', "node:sqlite"],
  ["src/client/new.ts", 'import type { Session } from "../domain/session.ts";', "src/domain/session.ts"],
  ["src/stores/sqlite/new.ts", 'import "../redis/keys.ts";', "src/stores/redis/keys.ts"],
  ["src/config/new.ts", 'import "../../gen/nothing.ts";', "gen/nothing.ts"],
])("a breach is noticed: %s: %s", (path, line, target) => {
  expect(breaches(withLines(path, line), rooms)).toEqual([`${path} imports ${target}`]);
});

test("a room that is not in the table is noticed", () => {
  expect(breaches(withLines("src/utils/text.ts", ""), rooms)).toEqual(["utils is not in the table of rooms"]);
});

test("an import in a comment is none", () => {
  const comments = ['// import "ioredis";', '/* import "ioredis"; */'];
  expect(breaches(withLines("src/domain/session.ts", ...comments), rooms)).toEqual([]);
});

test("the commands that call a service load nothing of it", () => {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const loaded = new Set<string>();
  const load = (path: string) => {
    const file = byPath.get(path);
    if (file === undefined || loaded.has(path)) return;
    loaded.add(path);
    for (const target of importsOf(file)) load(target);
  };
  for (const { path } of files) if (roomOf(path, rooms) === "cli") load(path);
  const others = [...loaded].filter((path) => !/^src\/(cli|client)\//.test(path));
  expect(others.sort()).toEqual([
    "src/config/client-settings.ts",
    "src/config/numbers.ts",
    "src/config/secret-file.ts",
    "src/config/small-file.ts",
    "src/config/user-directories.ts",
  ]);
});

test("no files import each other in a circle", () => {
  expect(circles(filesOf(root, "src", "bench", "test/chaos", "test/support"))).toEqual([]);
});

test("a circle is noticed", () => {
  const [a, b, c] = ["src/domain/a.ts", "src/domain/b.ts", "src/domain/c.ts"];
  const text = (target: string) => `import type { Thing } from "./${target}.ts";`;
  const planted = [
    { path: a!, text: text("b") },
    { path: b!, text: text("c") },
    { path: c!, text: text("a") },
    { path: "src/domain/d.ts", text: text("a") },
  ];
  expect(circles(planted)).toEqual([[a, b, c]]);
});

test("only the configuration reads the environment", () => {
  const readers = environmentReaders(files).filter((path) => !path.startsWith("src/config/"));
  expect(readers.sort()).toEqual(environmentReadersElsewhere);
});

test.each(["process.env.HOME;", 'option.env("X");', 'import { env } from "node:process";'])(
  "a reader of the environment is noticed: %s",
  (line) => {
    const path = "src/telemetry/log.ts";
    expect(environmentReaders(withLines(path, line))).toContain(path);
  },
);
