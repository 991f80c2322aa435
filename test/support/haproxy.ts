import { fileURLToPath } from "node:url";
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
  stop(): Promise<void>;
}

/**
 * Starts HAProxy with the deployed configuration; resolves when it sees a replica ready.
 *
 * @param replicas two or three of `host:port`
 */
export function startHaproxy(replicas: readonly string[]): Promise<Haproxy> {
  return onFreePorts(async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const env = haproxyEnvironment(`127.0.0.1:${port}`, replicas);
    // -dR: no SO_REUSEPORT, or it would share the port of another run without a word.
    const haproxy: Process = await startProcess("haproxy", ["-db", "-dR", "-f", haproxyConfig], { env });
    await eventually(
      "HAProxy to see a replica ready",
      async () => haproxy.exit !== undefined || (await fetch(`${url}/readyz`)).ok,
      { withinMs: 10_000 },
    );
    if (haproxy.exit !== undefined)
      throw new Error(`haproxy did not start: ${haproxy.stderr}${haproxy.stdout}`);
    const stop = () => haproxy.kill();
    return {
      url,
      port,
      get log() {
        return haproxy.stdout + haproxy.stderr;
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
