import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "./eventually.ts";
import { freePort, onFreePorts } from "./ports.ts";
import { startProcess } from "./process.ts";
import { tempDir } from "./temp-dir.ts";

export const nginxConfig = fileURLToPath(new URL("../../deploy/nginx.conf", import.meta.url));

export interface Nginx extends AsyncDisposable {
  readonly url: string;
  /** Its log. */
  readonly log: string;
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** `host:port` of the service. */
  readonly upstream: string;
  readonly contentRoot: string;
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
    const url = `http://127.0.0.1:${port}`;
    const isUp = async () => nginx.exit !== undefined || (await fetch(`${url}/healthz`)).ok;
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
      get log() {
        return nginx.stderr;
      },
      stop,
      [Symbol.asyncDispose]: stop,
    };
  });
}

async function adapted({ upstream, contentRoot }: NginxOptions, port: number, home: string): Promise<string> {
  let text = await readFile(nginxConfig, "utf8");
  const replace = (before: string, after: string) => {
    if (!text.includes(before)) throw new Error(`deploy/nginx.conf has no ${before}`);
    text = text.replace(before, () => after);
  };
  replace("listen 8000;", `listen 127.0.0.1:${port};`);
  replace("server 127.0.0.1:8080;", `server ${upstream};`);
  replace("alias /srv/library/;", `alias ${contentRoot}/;`);
  replace("pid /run/nginx.pid;", `pid ${home}/nginx.pid;`);
  replace("worker_processes auto;", "worker_processes 1;");
  replace("http {", `http { ${temporaryPaths(home)}`);
  return text;
}

/** Under root, workers would run as the user nobody, who can't read the files of the test. */
export const userDirective = process.getuid?.() === 0 ? "user root;" : "";

/** Directives of `http` that keep everything that nginx writes below a directory. */
export function temporaryPaths(home: string): string {
  const names = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return names.map((name) => `${name}_temp_path ${join(home, name)};`).join(" ");
}
