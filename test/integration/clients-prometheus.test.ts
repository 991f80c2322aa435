import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { isExecutable } from "../support/executables.ts";
import { freePort } from "../support/ports.ts";
import { type Process, startProcess } from "../support/process.ts";
import { boardPanels, metricsIn, rulesFile, rulesTestFile } from "../support/prometheus.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const isThere = isExecutable("prometheus") && isExecutable("promtool");

/** Some scrapes, and a census or two. */
const within = { withinMs: 40_000 };

function promtool(args: readonly string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync("promtool", args, {
    input,
    encoding: "utf8",
    timeout: 60_000,
  });
  return status === 0 ? "ok" : stdout + stderr;
}

interface Rule {
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly state: string;
}

describe.skipIf(!isThere)("Prometheus on a live service", () => {
  let directory: TempDir;
  let redis: RedisServer;
  let service: Service;
  let prometheus: Process;
  let url: string;

  beforeAll(async () => {
    [directory, redis] = await Promise.all([tempDir(), startRedis()]);
    const flags = ["--redis-url", redis.url, "--workers", "2", "--lease-seconds", "3"];
    service = await startService(flags);
    const target = new URL(service.adminUrl).host;
    const config = {
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: [rulesFile],
      scrape_configs: [{ job_name: "downlease", static_configs: [{ targets: [target] }] }],
    };
    // JSON is YAML.
    await writeFile(join(directory.path, "prometheus.yml"), JSON.stringify(config));
    const address = `127.0.0.1:${await freePort()}`;
    prometheus = await startProcess("prometheus", [
      `--config.file=${join(directory.path, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(directory.path, "data")}`,
      `--web.listen-address=${address}`,
    ]);
    url = `http://${address}`;
    await eventually("Prometheus to be ready", async () => (await fetch(`${url}/-/ready`)).ok, within);
    await traffic();
  }, 90_000);
  afterAll(async () => {
    await prometheus?.kill();
    await service?.stop();
    await redis?.[Symbol.asyncDispose]();
    await directory?.remove();
  });

  async function ask(method: string, path: string, body?: object): Promise<Response> {
    return fetch(new URL(path, service.url), {
      method,
      headers: { "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  /** Something of everything that the board shows; the sessions expire. */
  async function traffic(): Promise<void> {
    const sessions = "/api/content/library/item/download-session";
    const [library] = (await (await ask("GET", "/api/content/library")).json()) as string[];
    const items = await ask("GET", `/api/content/library/item?library_id=${library}`);
    const [item] = (await items.json()) as string[];
    const create = async () =>
      (await (await ask("POST", sessions, { library_item_id: item })).json()) as string;
    const ids = await Promise.all(Array.from({ length: 30 }, create));
    await ask("POST", `${sessions}/${ids[0]}?action=keep-alive`);
    await ask("POST", `${sessions}/nobody?action=keep-alive`);
    const batch = { keepAlives: [{ downloadSessionId: ids[1] }] };
    await ask("POST", "/content.library.item.v1.DownloadSessionService/BatchKeepAlive", batch);
    const files = (await (await ask("GET", `${sessions}/${ids[0]}/file`)).json()) as { name: string }[];
    const prepared = await eventually("a link", async () => {
      const response = await ask("POST", `${sessions}/${ids[0]}/file?action=prepare`, {
        file_name: files[0]!.name,
      });
      const file = (await response.json()) as { download_endpoint?: { uri: string } };
      return file.download_endpoint?.uri;
    });
    await (await fetch(prepared)).arrayBuffer();
  }

  async function query(expression: string): Promise<unknown[]> {
    const response = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expression })}`);
    const { data, error } = (await response.json()) as { data?: { result: unknown[] }; error?: string };
    if (data === undefined) throw new Error(`${expression}: ${error}`);
    return data.result;
  }

  async function rules(): Promise<readonly Rule[]> {
    const response = await fetch(`${url}/api/v1/rules`);
    const { data } = (await response.json()) as { data: { groups: { rules: Rule[] }[] } };
    return data.groups.flatMap(({ rules }) => rules);
  }

  test("promtool accepts the metrics and the rules, whose tests pass", async () => {
    const page = await (await fetch(`${service.adminUrl}/metrics`)).text();
    expect(promtool(["check", "metrics"], page)).toBe("ok");
    expect(promtool(["check", "rules", rulesFile])).toBe("ok");
    expect(promtool(["test", "rules", rulesTestFile])).toBe("ok");
  });

  const expressions = boardPanels().flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [
      title,
      expr.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "1m"),
    ]),
  );
  test.concurrent.each(expressions)("the panel %s has data: %s", async (_, expression) => {
    await eventually("data", async () => (await query(expression!)).length > 0, within);
  });

  test("every alert can be evaluated, and fires when leases expire in masses only", async () => {
    const named = async () => {
      const metrics = metricsIn((await rules()).map((rule) => rule.query).join("\n"));
      const results = await Promise.all(metrics.map(async (name) => [name, (await query(name)).length > 0]));
      return results.filter(([, hasData]) => !hasData).map(([name]) => name);
    };
    await eventually("every metric of the alerts", async () => (await named()).length === 0, within);
    const firing = async () =>
      (await rules()).filter(({ state }) => state !== "inactive").map(({ name }) => name);
    await eventually("the alert", async () => (await firing()).length > 0, within);
    expect(await firing()).toEqual(["DownleaseLeasesExpireInMasses"]);
    expect((await rules()).filter(({ health }) => health !== "ok")).toEqual([]);
  });
});
