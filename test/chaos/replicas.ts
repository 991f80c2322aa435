import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort, onFreePorts } from "../support/ports.ts";
import { type Service, startService } from "../support/service.ts";
import { newIssuer } from "../support/tokens.ts";

/** One replica of the service, on a port that it keeps when it is started again. */
export interface Replica {
  readonly url: string;
  /** `host:port` */
  readonly address: string;
  /** Whether its process runs. */
  readonly isUp: boolean;
  /** The process ids of its workers so far. */
  readonly workers: readonly number[];
  freeze(): void;
  resume(): void;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** As a rolling restart does: SIGTERM, and a new process. */
  restart(): Promise<void>;
  /** After `kill`. */
  start(): Promise<void>;
}

export async function startReplica(args: readonly string[], stack: AsyncDisposableStack): Promise<Replica> {
  let service: Service | undefined = await onFreePorts(async () => {
    const port = await freePort();
    return startService([...args, "--port", String(port)]);
  });
  const { url, port } = service;
  stack.defer(() => service?.kill());
  const start = async () => {
    service = await startService([...args, "--port", String(port)]);
  };
  return {
    url,
    address: `127.0.0.1:${port}`,
    get isUp() {
      return service !== undefined;
    },
    get workers() {
      const lines = service?.logs ?? [];
      return lines.filter(({ msg }) => msg === "a worker serves").map(({ pid }) => Number(pid));
    },
    freeze: () => void process.kill(service!.pid, "SIGSTOP"),
    resume: () => void process.kill(service!.pid, "SIGCONT"),
    async kill() {
      const killed = service;
      service = undefined;
      await killed?.kill();
    },
    async restart() {
      const stopped = service;
      service = undefined;
      await stopped?.stop();
      await start();
    },
    start,
  };
}

export interface Principals {
  /** Flags with which the service accepts their tokens. */
  readonly flags: readonly string[];
  /** The `Authorization` header of each, by name. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Bearer tokens: the service needs no store to check them. */
export async function makePrincipals(names: readonly string[], directory: string): Promise<Principals> {
  const issuer = await newIssuer();
  const keys = join(directory, "jwks.json");
  await writeFile(keys, JSON.stringify(issuer.jwks));
  const exp = Math.floor(Date.now() / 1000) + 86_400;
  const headers = await Promise.all(
    names.map(async (sub) => [sub, `Bearer ${await issuer.token({ sub, exp })}`] as const),
  );
  return {
    flags: ["--jwt-jwks", keys, "--jwt-issuer", issuer.issuer, "--jwt-audience", issuer.audience],
    headers: Object.fromEntries(headers),
  };
}
