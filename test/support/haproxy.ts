import { fileURLToPath } from "node:url";
import type { Certificate } from "./certificates.ts";
import { download } from "./download.ts";
import { eventually } from "./eventually.ts";
import { freePort, onFreePorts } from "./ports.ts";
import { type Process, startProcess } from "./process.ts";

/** The configuration that `docker-compose.yml` uses as well. */
export const haproxyConfig = fileURLToPath(new URL("../../deploy/haproxy.cfg", import.meta.url));

export interface Haproxy extends AsyncDisposable {
  /** `http://host:port`, for REST and gRPC alike. */
  readonly url: string;
  readonly port: number;
  /** Its log: failed calls, and replicas that go up and down. */
  readonly log: string;
  /** Replaces the process by one that reads the configuration again; resolves when the new one serves. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

export interface HaproxyOptions {
  /** `path` is that of a PEM file with certificate and key. */
  readonly tls?: Pick<Certificate, "path" | "cert">;
  readonly loginsPerMinute?: number;
}

/**
 * Starts HAProxy with the deployed configuration; resolves when it sees a replica ready.
 *
 * @param replicas two or three of `host:port`
 */
export function startHaproxy(
  replicas: readonly string[],
  { tls, loginsPerMinute }: HaproxyOptions = {},
): Promise<Haproxy> {
  return onFreePorts(async () => {
    const port = await freePort();
    const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
    const env = {
      ...haproxyEnvironment(`127.0.0.1:${port}`, replicas),
      TLS_CERTIFICATE: tls?.path,
      LOGINS_PER_MINUTE: loginsPerMinute?.toString(),
    };
    // -W: a master process, which can be reloaded. -dR: no SO_REUSEPORT, or it would share the port of another run without
    // a word.
    const haproxy: Process = await startProcess("haproxy", ["-W", "-db", "-dR", "-f", haproxyConfig], {
      env,
    });
    const isReady = async () =>
      (await download("HTTP/1.1", `${url}/readyz`, { ca: tls?.cert })).status === 200;
    await eventually(
      "HAProxy to see a replica ready",
      async () => haproxy.exit !== undefined || (await isReady()),
      { withinMs: 10_000 },
    );
    if (haproxy.exit !== undefined)
      throw new Error(`haproxy did not start: ${haproxy.stderr}${haproxy.stdout}`);
    const stop = async () => {
      // Its workers end with it.
      haproxy.signal("SIGTERM");
      await haproxy.exited;
    };
    return {
      url,
      port,
      get log() {
        return haproxy.stdout + haproxy.stderr;
      },
      async reload() {
        const started = () => haproxy.stderr.split("Loading success").length;
        const before = started();
        haproxy.signal("SIGUSR2");
        await eventually("HAProxy to have a new worker", () => started() > before, { withinMs: 30_000 });
      },
      stop,
      [Symbol.asyncDispose]: stop,
    };
  });
}

/** The variables that the configuration reads. */
export function haproxyEnvironment(listen: string, replicas: readonly string[]): NodeJS.ProcessEnv {
  const named = replicas.map((replica, index) => [`REPLICA_${index + 1}`, replica]);
  return { LISTEN: listen, ...Object.fromEntries(named) };
}
