import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Certificate } from "../test/support/certificates.ts";
import { eventually } from "../test/support/eventually.ts";
import { searchPath } from "../test/support/executables.ts";
import { temporaryPaths, userDirective } from "../test/support/nginx.ts";
import { freePort } from "../test/support/ports.ts";
import { accepts } from "./contender-process.ts";

export interface NginxOptions {
  /** Directory of the files that it sends. */
  readonly root: string;
  readonly sendfile: "on" | "off";
  /** For its configuration and its temporary files. */
  readonly directory: string;
  /** For HTTP/1.1. */
  readonly tls?: Certificate | undefined;
  /** Further directives. */
  readonly http?: string;
  readonly location?: string;
}

export interface Nginx {
  readonly port: number;
  /** Port for HTTP/2 with prior knowledge. */
  readonly http2Port: number;
  /** Process id of the master, whose child is the only worker. */
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts nginx with defaults and one worker. Reads no installed configuration. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const port = await freePort();
  const http2Port = await freePort();
  const home = join(options.directory, `nginx-${port}`);
  await mkdir(home);
  const config = join(home, "nginx.conf");
  await writeFile(config, configuration({ ...options, port, http2Port, home }));
  const log = join(home, "error.log");
  const child = spawn("nginx", ["-p", home, "-c", config, "-e", log], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, PATH: searchPath },
  });
  const end = () => child.kill("SIGTERM");
  process.once("exit", end);
  const exited = new Promise<void>((resolve, reject) => {
    child.once("exit", () => resolve());
    child.once("error", reject);
  });
  const isUp = async () => child.exitCode !== null || (await accepts(port));
  await Promise.race([eventually(`nginx on port ${port}`, isUp, { withinMs: 10_000 }), exited]);
  if (child.exitCode !== null) throw new Error("nginx did not start");
  return {
    port,
    http2Port,
    pid: child.pid!,
    async stop() {
      process.removeListener("exit", end);
      end();
      await exited;
    },
  };
}

interface Placed extends NginxOptions {
  readonly port: number;
  readonly http2Port: number;
  readonly home: string;
}

function configuration(options: Placed): string {
  const { port, http2Port, root, sendfile, home, tls, http = "", location = "" } = options;
  const certificate = tls && `ssl_certificate ${tls.path}; ssl_certificate_key ${tls.keyPath};`;
  return `
    ${userDirective}
    daemon off;
    worker_processes 1;
    pid ${join(home, "pid")};
    events { worker_connections 1024; }
    http {
      ${temporaryPaths(home)}
      access_log off;
      sendfile ${sendfile};
      ${http}
      server {
        listen 127.0.0.1:${port} ${tls === undefined ? "" : "ssl"};
        ${certificate ?? ""}
        listen 127.0.0.1:${http2Port} http2;
        root ${root};
        location / { ${location} }
      }
    }
  `;
}
