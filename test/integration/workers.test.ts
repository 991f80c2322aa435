import { once } from "node:events";
import { mkdir, readdir, readlink, rename, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type StoreKind, storeKinds } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { type GrpcJsClient, grpcJsCall, grpcJsClient, loadInterface } from "../support/grpc-js.ts";
import { isGone, startProcess } from "../support/process.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { type Service, startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const itemId = "an-item";
const resource = "/com/vmware/content/library/item/download-session";
const interfaceOfGrpc = loadInterface();

// Each test starts three processes or more.
vi.setConfig({ testTimeout: 60_000 });

let directory: TempDir;
let library: string;
const services: Service[] = [];
const clients: { close(): void }[] = [];
const agents: Agent[] = [];

beforeEach(async () => {
  directory = await tempDir();
  library = join(directory.path, "library");
  const item = join(library, "lib", "item");
  await mkdir(item, { recursive: true });
  await writeFile(join(item, ".item.json"), JSON.stringify({ id: itemId }));
  await writeFile(join(item, "disk.bin"), "content");
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const agent of agents.splice(0)) agent.destroy();
  for (const service of services.splice(0)) {
    const pids = workers(service).map(({ pid }) => pid);
    await service.kill();
    await eventually("the end of the workers", () => pids.every(isGone), { withinMs: 20_000 });
  }
  await directory.remove();
});

/** Time for processes to start or to end on a busy machine. */
const patience = { withinMs: 20_000 };

function ownPlaces(store: StoreKind = "SQLite"): string[] {
  const places =
    store === "Redis"
      ? ["--redis-url", sharedRedisUrl()]
      : ["--sqlite-path", join(directory.path, "sessions.db")];
  return ["--content-root", library, ...places];
}

async function serve(...args: string[]): Promise<Service> {
  const service = await startService([...ownPlaces(), "--workers", "2", "--log-level", "debug", ...args]);
  services.push(service);
  return service;
}

interface SeenWorker {
  readonly number: number;
  readonly pid: number;
}

/** Every worker that has ever served, in the order in which they began to. */
function workers({ logs }: Service): SeenWorker[] {
  return logs
    .filter(({ msg }) => msg === "a worker serves")
    .map(({ worker, pid }) => ({ number: Number(worker), pid: Number(pid) }));
}

interface Answer {
  readonly status: number;
  readonly body: string;
  /** Number of the worker that answered. */
  readonly worker: number;
}

/** A call on a connection of its own, or on that of the agent. The log has a line for each at debug only. */
async function call(
  service: Service,
  path: string,
  { body, agent = false }: { body?: object; agent?: Agent | false } = {},
): Promise<Answer> {
  const requestId = crypto.randomUUID();
  const sent = request(service.url + path, {
    agent,
    method: body === undefined ? "GET" : "POST",
    headers: { "x-request-id": requestId, "content-type": "application/json" },
  }).end(body && JSON.stringify(body));
  const [response] = await once(sent, "response");
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  const line = await eventually("the log line of the call", () =>
    service.logs.find((each) => each.requestId === requestId),
  );
  return { status: response.statusCode, body: text, worker: Number(line.worker) };
}

/** A connection to the given worker that stays open. */
async function connectionTo(service: Service, worker: number): Promise<Agent> {
  return eventually(`a connection to worker ${worker}`, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    agents.push(agent);
    return (await call(service, "/nowhere", { agent })).worker === worker ? agent : undefined;
  });
}

/** The page of metrics; it may be a second old. */
async function metricsOf({ adminUrl }: Service): Promise<Record<string, number>> {
  const [response] = await once(request(`${adminUrl}/metrics`, { agent: false }).end(), "response");
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  expect(response.statusCode).toBe(200);
  return Object.fromEntries(
    [...text.matchAll(/^([a-z].*) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]),
  );
}

const counted = 'downlease_requests_total{operation="unknown",protocol="rest",code="operation_not_found"}';
const timed = 'downlease_request_duration_seconds_count{operation="unknown",protocol="rest"}';

function grpcClient({ url }: Service): GrpcJsClient {
  // Without a pool of its own a client shares the connections of others to the same address.
  const client = grpcJsClient(interfaceOfGrpc, "content.library.item.v1.DownloadSessionService", url, {
    "grpc.use_local_subchannel_pool": 1,
  });
  clients.push(client);
  return client;
}

test.each(storeKinds)(
  "both workers answer calls on any protocol, on the same sessions (%s)",
  async (store) => {
    const service = await startService([...ownPlaces(store), "--workers", "2", "--log-level", "debug"]);
    services.push(service);
    const create = `${resource}?~action=create`;
    const created = await call(service, create, { body: { create_spec: { library_item_id: itemId } } });
    const id = JSON.parse(created.body).value;
    const seenBy = new Set<number>();
    await eventually("answers of both workers over REST", async () => {
      const answer = await call(service, `${resource}/id:${id}`);
      expect(answer.status).toBe(200);
      seenBy.add(answer.worker);
      return seenBy.size === 2;
    });
    const overGrpc = () =>
      new Set(service.logs.filter(({ protocol }) => protocol === "grpc").map(({ worker }) => worker));
    await eventually("answers of both workers over gRPC", async () => {
      const { code } = await grpcJsCall(grpcClient(service), "Get", { download_session_id: id });
      expect(code).toBe(0);
      return overGrpc().size === 2;
    });
  },
);

test("says once that it serves, when every worker does", async () => {
  const service = await serve("--workers", "3");
  const messages = service.logs.map(({ msg }) => msg);
  expect(messages).toEqual(["a worker serves", "a worker serves", "a worker serves", "serving"]);
  expect(service.logs.at(-1)).toEqual({
    adminUrl: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/),
    level: "info",
    time: expect.any(String),
    msg: "serving",
    url: service.url,
    workers: 3,
    sessions: expect.stringContaining("SQLite"),
    contentRoot: library,
  });
});

describe("a worker that is killed", () => {
  test("is replaced, while the other answers", async () => {
    const service = await serve();
    const [dies, lives] = workers(service) as [SeenWorker, SeenWorker];
    const agent = await connectionTo(service, lives.number);
    process.kill(dies.pid, "SIGKILL");
    await eventually(
      "another worker",
      async () => {
        expect((await call(service, "/nowhere", { agent })).worker).toBe(lives.number);
        return workers(service).length === 3;
      },
      patience,
    );
    expect(service.logs).toContainEqual(
      expect.objectContaining({ msg: "a worker ended unexpectedly", worker: dies.number, signal: "SIGKILL" }),
    );
    await connectionTo(service, workers(service)[2]!.number);
    expect(await metricsOf(service)).toMatchObject({ downlease_worker_crashes_total: 1 });
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });

  test("leaves the port to its replacement, even when it was the last one", async () => {
    const service = await serve();
    for (const { pid } of workers(service)) process.kill(pid, "SIGKILL");
    await eventually("two other workers", () => workers(service).length === 4, patience);
    expect((await call(service, "/nowhere")).status).toBe(404);
  });

  test("is replaced as soon as that is possible", async () => {
    const service = await serve();
    const [dies, lives] = workers(service) as [SeenWorker, SeenWorker];
    await rename(library, `${library}-away`);
    process.kill(dies.pid, "SIGKILL");
    const failures = () => service.logs.filter(({ msg }) => msg === "a worker did not start");
    await eventually("two failed attempts", () => failures().length >= 2, patience);
    expect(failures()[0]).toMatchObject({ reason: expect.stringMatching(/content root .* can't be used/) });
    expect((await call(service, "/nowhere")).worker).toBe(lives.number);
    await rename(`${library}-away`, library);
    await eventually("another worker", () => workers(service).length === 3, patience);
  });

  test("ends the program when none is left and none can be started", async () => {
    const service = await serve();
    await rename(library, `${library}-away`);
    for (const { pid } of workers(service)) process.kill(pid, "SIGKILL");
    expect(await service.exited).toEqual({ code: 1, signal: null });
  });
});

describe("a connection on its way to a worker that is killed", () => {
  const healthRequest = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

  async function socketsOf({ pid }: Service): Promise<number> {
    const directory = `/proc/${pid}/fd`;
    const targets = await Promise.all(
      (await readdir(directory)).map((name) => readlink(join(directory, name)).catch(() => "")),
    );
    return targets.filter((target) => target.startsWith("socket:")).length;
  }

  /** Connections, each with a request; a worker that hangs gets one of them. */
  async function requests(service: Service, count: number) {
    const connections = [];
    for (let number = 0; number < count; number++) {
      const connection = await rawConnection(service.port);
      connection.socket.write(healthRequest);
      connections.push(connection);
    }
    return connections;
  }

  /** Less than the limit of a test. */
  const inTime = { withinMs: 10_000 };

  const isOpen = ({ socket }: { socket: { destroyed: boolean } }) => !socket.destroyed;

  test("goes to another worker", async () => {
    const service = await serve();
    const before = await socketsOf(service);
    for (let crash = 0; crash < 3; crash++) {
      const hangs = workers(service).at(-1)!;
      process.kill(hangs.pid, "SIGSTOP");
      const connections = await requests(service, 4);
      const waiting = await eventually("one connection that waits", () => {
        const open = connections.filter(isOpen);
        return open.length === 1 ? open : undefined;
      });
      process.kill(hangs.pid, "SIGKILL");
      for (const { closed } of waiting) expect(await closed).toMatch(/^HTTP\/1.1 200/);
      await eventually("another worker", () => workers(service).length === 3 + crash, inTime);
    }
    await eventually("the sockets of before", async () => (await socketsOf(service)) === before, inTime);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });

  test("is closed when there is no other worker", async () => {
    const service = await serve();
    const before = await socketsOf(service);
    const all = workers(service);
    for (const { pid } of all) process.kill(pid, "SIGSTOP");
    const connections = await requests(service, 4);
    for (const { pid } of all) process.kill(pid, "SIGKILL");
    await eventually("the end of every connection", () => !connections.some(isOpen), inTime);
    await eventually("two other workers", () => workers(service).length === 4, inTime);
    await eventually("the sockets of before", async () => (await socketsOf(service)) === before, inTime);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });
});

describe("/metrics", () => {
  test("adds the workers up, and never counts backwards", async () => {
    const service = await serve();
    const [one, other] = workers(service) as [SeenWorker, SeenWorker];
    const [toOne, toOther] = [
      await connectionTo(service, one.number),
      await connectionTo(service, other.number),
    ];
    const done = service.logs.filter(({ msg }) => msg === "call").length;
    for (const agent of [toOne, toOne, toOne, toOther]) await call(service, "/nowhere", { agent });
    const all = { [counted]: done + 4, [timed]: done + 4 };
    const complete = { ...all, downlease_workers: 2, downlease_workers_answered: 2 };
    expect(await metricsOf(service)).toMatchObject(complete);

    process.kill(one.pid, "SIGKILL");
    await eventually("another worker", () => workers(service).length === 3, patience);
    await eventually(
      "the next page",
      async () => {
        const metrics = await metricsOf(service);
        expect(metrics).toMatchObject(complete);
        return metrics.downlease_worker_crashes_total === 1;
      },
      patience,
    );
  });

  test("is answered when a worker hangs, with the last numbers that it reported", async () => {
    const service = await serve();
    const [hangs] = workers(service) as [SeenWorker];
    await connectionTo(service, hangs.number);
    const before = await metricsOf(service);
    process.kill(hangs.pid, "SIGSTOP");
    try {
      const metrics = await eventually("the next page", async () => {
        const next = await metricsOf(service);
        return next.downlease_workers_answered === 1 ? next : undefined;
      });
      expect(metrics).toMatchObject({ [counted]: before[counted], downlease_workers: 2 });
    } finally {
      process.kill(hangs.pid, "SIGCONT");
    }
  });
});

test("the admin address is ready while the workers are", async () => {
  const service = await serve("--drain-seconds", "2", "--grace-seconds", "6");
  const readyz = async () => (await fetch(`${service.adminUrl}/readyz`)).status;
  const database = join(directory.path, "sessions.db");
  const becomes = (status: number) =>
    eventually(`readiness to be ${status}`, async () => (await readyz()) === status, patience);
  expect(await readyz()).toBe(200);
  await rename(database, `${database}-away`);
  await becomes(503);
  await rename(`${database}-away`, database);
  await becomes(200);
  process.kill(service.pid, "SIGTERM");
  await becomes(503);
  await service.kill();
});

/** A call at the given worker whose body is half sent. */
async function callInFlight(service: Service, worker: SeenWorker) {
  const body = JSON.stringify({ create_spec: { library_item_id: "nowhere" } });
  const client = await eventually(`a connection to worker ${worker.number}`, async () => {
    const candidate = await rawConnection(service.port);
    const requestId = crypto.randomUUID();
    candidate.socket.write(`GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ${requestId}\r\n\r\n`);
    const line = await eventually("the log line of the call", () =>
      service.logs.find((each) => each.requestId === requestId),
    );
    if (line.worker === worker.number) return candidate;
    candidate[Symbol.dispose]();
    return undefined;
  });
  client.socket.write(
    `POST ${resource}?~action=create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
  );
  await client.receives("100 Continue");
  client.socket.write(body.slice(0, 10));
  return { closed: client.closed, finish: () => client.socket.write(body.slice(10)) };
}

describe("a stop", () => {
  test("waits for the calls of every worker, in the written order, and ends with 0", async () => {
    const service = await serve();
    const calls = [];
    for (const worker of workers(service)) calls.push(await callInFlight(service, worker));
    process.kill(service.pid, "SIGTERM");
    const linesOf = (text: string) => service.logs.filter(({ msg }) => msg === text);
    await eventually("every worker to stop", () => linesOf("stopping").length === 3);
    await eventually("a closed port", () =>
      rawConnection(service.port).then(
        (connection) => connection[Symbol.dispose](),
        (error) => error.code === "ECONNREFUSED",
      ),
    );
    expect(linesOf("stopped")).toEqual([]);
    for (const { finish } of calls) finish();
    for (const { closed } of calls)
      expect(await closed).toMatch(/HTTP\/1.1 404 .*connection: close.*NOT_FOUND/is);
    expect(await service.exited).toEqual({ code: 0, signal: null });
    const order = service.logs.filter(({ msg }) => msg === "stopping" || msg === "stopped");
    expect(order.map(({ msg }) => msg)).toEqual([...Array(3).fill("stopping"), ...Array(3).fill("stopped")]);
    expect(order.at(-1)).not.toHaveProperty("worker");
    expect(workers(service)).toHaveLength(2);
  });

  test("is up to the supervisor: workers ignore signals that they get themselves", async () => {
    const service = await serve();
    const seen = workers(service);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      for (const { pid } of seen) process.kill(pid, signal);
    }
    for (const { number } of seen) await connectionTo(service, number);
    expect(service.logs.filter(({ msg }) => msg === "stopping")).toEqual([]);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(workers(service)).toEqual(seen);
  });

  test("is cut short by a second signal", async () => {
    const service = await serve("--grace-seconds", "600", "--drain-seconds", "500");
    process.kill(service.pid, "SIGTERM");
    await eventually("workers that are not ready, and accept", async () => {
      const statuses = await Promise.all(
        Array.from({ length: 4 }, async () => {
          const [response] = await once(request(`${service.url}/readyz`, { agent: false }).end(), "response");
          response.resume();
          return response.statusCode;
        }),
      );
      return statuses.every((status) => status === 503);
    });
    process.kill(service.pid, "SIGINT");
    expect(await service.exited).toEqual({ code: 130, signal: null });
    await eventually("the end of the workers", () => workers(service).every(({ pid }) => isGone(pid)));
  });

  test("kills a worker that hangs when the grace time is over, and logs it", async () => {
    const service = await serve("--grace-seconds", "0.2");
    const [hangs] = workers(service) as [SeenWorker];
    process.kill(hangs.pid, "SIGSTOP");
    expect(await service.stop()).toEqual({ code: 1, signal: null });
    expect(service.logs).toContainEqual(
      expect.objectContaining({
        level: "warn",
        worker: hangs.number,
        msg: expect.stringContaining("killed"),
      }),
    );
    expect(isGone(hangs.pid)).toBe(true);
  });

  test("is what workers do by themselves when the supervisor is killed, after their calls have finished", async () => {
    const service = await serve();
    const seen = workers(service);
    const { finish, closed } = await callInFlight(service, seen[0]!);
    process.kill(service.pid, "SIGKILL");
    await eventually("the end of the worker without calls", () => isGone(seen[1]!.pid), patience);
    finish();
    expect(await closed).toMatch(/HTTP\/1.1 404 .*connection: close.*NOT_FOUND/is);
    await eventually("the end of the other worker", () => isGone(seen[0]!.pid), patience);
  });
});

test("SIGHUP puts new workers in the place of the old ones without losing a call", async () => {
  const service = await serve();
  const old = workers(service);
  const calls = Array.from({ length: 4 }, () => grpcClient(service));
  const codes = new Map<number, number>();
  let isLoaded = true;
  const load = calls.map(async (client) => {
    while (isLoaded) {
      const { code } = await grpcJsCall(client, "Get", { download_session_id: "none" });
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
  });
  const notFound = 5;
  const answered = () => codes.get(notFound) ?? 0;
  await eventually("calls", () => answered() > 50);
  process.kill(service.pid, "SIGHUP");
  await eventually(
    "the end of the restart",
    () => service.logs.some(({ msg }) => msg === "restarted the workers"),
    { ...patience, everyMs: 100 },
  );
  const before = answered();
  await eventually("calls on the new workers", () => answered() > before + 50);
  isLoaded = false;
  await Promise.all(load);
  expect([...codes.keys()]).toEqual([notFound]);
  expect(old.every(({ pid }) => isGone(pid))).toBe(true);
  expect(workers(service)).toHaveLength(4);
  expect(service.logs.filter(({ level }) => level === "error")).toEqual([]);
  const metrics = await metricsOf(service);
  const counted = Object.entries(metrics)
    .filter(([name]) => name.startsWith("downlease_requests_total"))
    .reduce((sum, [, calls]) => sum + calls, 0);
  const logged = () => service.logs.filter(({ msg }) => msg === "call").length;
  // Lines come through a pipe and may be read later than the metrics.
  await eventually("a line for each call that was counted", () => logged() >= counted, patience);
  expect(logged()).toBe(counted);
  expect(await service.stop()).toEqual({ code: 0, signal: null });
});

test("a restart that can't be done leaves the old workers, which have read their files again", async () => {
  const auditLog = join(directory.path, "audit");
  const service = await serve("--audit-log", auditLog);
  await rename(auditLog, `${auditLog}.1`);
  await rename(library, `${library}-away`);
  process.kill(service.pid, "SIGHUP");
  await eventually(
    "the end of the restart",
    () => service.logs.some(({ msg }) => msg === "the restart was abandoned"),
    patience,
  );
  for (const { number } of workers(service)) await connectionTo(service, number);
  expect(workers(service)).toHaveLength(2);
  expect(await readdir(directory.path)).toContain("audit");
  const readAgain = () => service.logs.filter(({ msg }) => msg === "files were read again");
  await eventually("both to have read their files", () => readAgain().length === 2);
});

describe("a program that can't start prints and exits as one process does", () => {
  const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

  async function run(args: readonly string[]) {
    const own = Object.keys(process.env).filter((name) => name.startsWith("DOWNLEASE_"));
    const child = await startProcess(process.execPath, [main, "serve", ...ownPlaces(), ...args], {
      env: { ...Object.fromEntries(own.map((name) => [name, undefined])), DOWNLEASE_ADMIN_LISTEN: "off" },
    });
    const { code } = await child.exited;
    return { code, stdout: child.stdout, stderr: child.stderr };
  }

  async function expectTheSame(args: readonly string[], message: RegExp): Promise<void> {
    const [one, three] = await Promise.all([run(args), run([...args, "--workers", "3"])]);
    expect(one).toEqual({ code: 1, stdout: "", stderr: expect.stringMatching(message) });
    expect(three).toEqual(one);
  }

  test("a port in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    try {
      await expectTheSame(["--port", `${port}`], /address already in use/);
    } finally {
      other.close();
    }
  });

  test("an admin address in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    try {
      const message = /^downlease can't start: the admin address \(--admin-listen\) .*already in use/;
      await expectTheSame(["--port", "0", "--admin-listen", `127.0.0.1:${port}`], message);
    } finally {
      other.close();
    }
  });

  test("a content root that does not exist", () =>
    expectTheSame(["--port", "0", "--content-root", "/nowhere"], /content root \/nowhere/));

  test("sessions in memory, which workers can't share, are a mistake", async () => {
    const { code, stdout, stderr } = await run(["--sqlite-path", ":memory:", "--workers", "2"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(
      "  --workers must be 1 when sessions are kept in :memory:, which processes can't share, not '2'\n",
    );
  });
});
