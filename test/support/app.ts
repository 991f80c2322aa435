import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { readConfig } from "../../src/app/config.ts";
import { startApp } from "../../src/app/start.ts";
import { sharedRedisUrl } from "./shared-redis.ts";
import { tempDir } from "./temp-dir.ts";

export const storeKinds = ["SQLite", "Redis"] as const;
export type StoreKind = (typeof storeKinds)[number];

export interface TestApp {
  readonly url: string;
  readonly port: number;
  /** Where health and metrics are. */
  readonly adminUrl: string;
  /** The values of a metric now, added up; the page of the admin address may be a second old. */
  metric(name: string): Promise<number>;
  /** Directory of the libraries; one, `lib`, is there. */
  readonly contentRoot: string;
  /** Adds an item of one file to the library and gives its id. */
  addItem(): Promise<string>;
  stop(): Promise<void>;
}

export interface TestAppOptions {
  readonly store?: StoreKind;
  /** Instead of the Redis that the tests share. */
  readonly redisUrl?: string;
  readonly leaseSeconds?: number;
  readonly maxBodyBytes?: number;
  readonly fastLane?: boolean;
  /** As of the setting of this name. */
  readonly corsOrigins?: string;
  /** Further settings, by their names. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Paths of PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** The whole service in this process, on a free port, over a library of its own. */
export async function startTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  const { store = "SQLite", redisUrl, leaseSeconds = 300, maxBodyBytes = 65_536, fastLane = true } = options;
  const { corsOrigins, tls, settings } = options;
  const directory = await tempDir();
  const library = join(directory.path, "library");
  await mkdir(join(library, "lib"), { recursive: true });
  const config = readConfig(
    {
      port: "0",
      adminListen: "127.0.0.1:0",
      ...(settings?.s3Bucket === undefined && { contentRoot: library }),
      leaseSeconds: String(leaseSeconds),
      maxBodyBytes: String(maxBodyBytes),
      fastLane: fastLane ? "on" : "off",
      graceSeconds: "5",
      ...settings,
      ...(corsOrigins !== undefined && { corsOrigins }),
      ...(tls !== undefined && { tlsCert: tls.cert, tlsKey: tls.key }),
      ...(store === "Redis" || redisUrl !== undefined
        ? { redisUrl: redisUrl ?? sharedRedisUrl() }
        : { sqlitePath: settings?.sqlitePath ?? join(directory.path, "sessions.db") }),
    },
    {},
  );
  const app = await startApp(config, { logger: pino({ level: "silent" }) });
  return {
    url: app.url,
    port: app.port,
    adminUrl: app.adminUrl!,
    async metric(name) {
      const { values = [] } = (await app.metricsSnapshot()).find((each) => each.name === name) ?? {};
      return values.reduce((sum, { value }) => sum + value, 0);
    },
    contentRoot: library,
    async addItem() {
      const id = crypto.randomUUID();
      const item = join(library, "lib", id);
      await mkdir(item);
      await writeFile(join(item, ".item.json"), JSON.stringify({ id }));
      await writeFile(join(item, "disk.bin"), "content");
      return id;
    },
    async stop() {
      await app.stop();
      await directory.remove();
    },
  };
}
