import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Certificate } from "./certificates.ts";
import { download } from "./download.ts";
import { eventually } from "./eventually.ts";
import { freePort, onFreePorts } from "./ports.ts";
import { startProcess } from "./process.ts";
import { tempDir } from "./temp-dir.ts";

export const nginxConfig = fileURLToPath(new URL("../../deploy/nginx.conf", import.meta.url));

export interface Nginx extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Its log. */
  readonly log: string;
  /** Requests that failed, a line each. */
  failures(): Promise<string>;
  /** Replaces the workers by ones with the configuration as it is; resolves when the new one serves. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** `host:port` of the service. */
  readonly upstream: string;
  readonly contentRoot?: string;
  /** What the certificate is and who clients trust; without it, HTTP in clear text. */
  readonly tls?: Pick<Certificate, "path" | "keyPath" | "cert">;
  /** Logins in a row from one address. */
  readonly logins?: number;
}

/** Starts nginx with the deployed configuration, changed where a test requires it, on a free port. */
export function startNginx(options: NginxOptions): Promise<Nginx> {
  return onFreePorts(async () => {
    const directory = await tempDir();
    const port = await freePort();
    const config = join(directory.path, "nginx.conf");
    await writeFile(config, await adapted(options, port, directory.path));
    const nginx = await startProcess("nginx", [
      ...["-c", config, "-p", directory.path, "-e", "stderr"],
      ...["-g", `daemon off; ${userDirective}`],
    ]);
    const url = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
    const answers = async () =>
      (await download("HTTP/1.1", `${url}/healthz`, { ca: options.tls?.cert })).status;
    const isUp = async () => nginx.exit !== undefined || (await answers()) === 200;
    await eventually("nginx to be up", isUp, { withinMs: 10_000 });
    if (nginx.exit !== undefined) {
      await directory.remove();
      throw new Error(`nginx did not start: ${nginx.stderr}`);
    }
    const stop = async () => {
      // Its workers end with it.
      nginx.signal("SIGTERM");
      await nginx.exited;
      await directory.remove();
    };
    return {
      url,
      port,
      get log() {
        return nginx.stderr;
      },
      failures: () => readFile(join(directory.path, failureLog), "utf8"),
      async reload() {
        const before = nginx.stderr.length;
        nginx.signal("SIGHUP");
        await eventually("the old workers to shut down", () =>
          nginx.stderr.slice(before).includes("gracefully shutting down"),
        );
      },
      stop,
      [Symbol.asyncDispose]: stop,
    };
  });
}

async function adapted(options: NginxOptions, port: number, home: string): Promise<string> {
  const { upstream, contentRoot = home, tls, logins = 120 } = options;
  let text = await readFile(nginxConfig, "utf8");
  const replace = (before: string, after: string) => {
    if (!text.includes(before)) throw new Error(`deploy/nginx.conf has no ${before}`);
    text = text.replaceAll(before, () => after);
  };
  replace("listen 8443 ssl http2;", `listen 127.0.0.1:${port}${tls === undefined ? "" : " ssl http2"};`);
  replace(
    "ssl_certificate /etc/ssl/private/downlease.pem;",
    tls === undefined ? "" : `ssl_certificate ${tls.path};`,
  );
  replace(
    "ssl_certificate_key /etc/ssl/private/downlease.key;",
    tls === undefined ? "" : `ssl_certificate_key ${tls.keyPath};`,
  );
  replace("/var/log/nginx/downlease.log", join(home, failureLog));
  // To see that workers are replaced.
  replace("error_log stderr warn;", "error_log stderr notice;");
  replace("burst=120", `burst=${logins - 1}`);
  replace("server 127.0.0.1:8080;", `server ${upstream};`);
  replace("alias /srv/library/;", `alias ${contentRoot}/;`);
  replace("pid /run/nginx.pid;", `pid ${home}/nginx.pid;`);
  replace("worker_processes auto;", "worker_processes 1;");
  replace("http {", `http { ${temporaryPaths(home)}`);
  return text;
}

const failureLog = "failures.log";

/** Under root, workers would run as the user nobody, who can't read the files of the test. */
export const userDirective = process.getuid?.() === 0 ? "user root;" : "";

/** Directives of `http` that keep everything that nginx writes below a directory. */
export function temporaryPaths(home: string): string {
  const names = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return names.map((name) => `${name}_temp_path ${join(home, name)};`).join(" ");
}
