import { createHash, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Admission } from "../../src/calls/admission.ts";
import { clientAddressFinder } from "../../src/calls/client-address.ts";
import type { DownloadRecord } from "../../src/calls/download-record.ts";
import { firstOf, type ProtocolHandler } from "../../src/calls/protocol-handler.ts";
import { DirectoryContentSource } from "../../src/content/directory/directory-content-source.ts";
import type { BandwidthStore } from "../../src/domain/bandwidth-store.ts";
import type { ContentSource } from "../../src/domain/content-source.ts";
import type { LinkKey } from "../../src/domain/link-key-store.ts";
import type { PreparationStore } from "../../src/domain/preparation-store.ts";
import type { Session } from "../../src/domain/session.ts";
import { Bandwidth } from "../../src/downloads/bandwidth.ts";
import { DownloadShares } from "../../src/downloads/download-shares.ts";
import { Downloads, type DownloadsOptions } from "../../src/downloads/downloads.ts";
import { downloadHandler } from "../../src/downloads/handler.ts";
import { fixedLinkKeys } from "../../src/downloads/link-keys.ts";
import { Links, signedPath } from "../../src/downloads/links.ts";
import type { Logins } from "../../src/downloads/login-use.ts";
import type { Offload } from "../../src/downloads/offload.ts";
import type { Limits } from "../../src/server/limits.ts";
import { Server, type ServerTls } from "../../src/server/server.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteBandwidthStore } from "../../src/stores/sqlite/sqlite-bandwidth-store.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { callerNamed } from "./callers.ts";
import { MemorySessionFiles } from "./memory-session-files.ts";
import { tempDir } from "./temp-dir.ts";

export interface DownloadRigOptions
  extends Partial<Omit<DownloadsOptions, "files" | "ends" | "sessions" | "preparations" | "terms">> {
  readonly leaseMs?: number;
  readonly content?: (source: DirectoryContentSource) => Pick<ContentSource, "openFile">;
  readonly preparations?: Pick<PreparationStore, "find">;
  readonly offload?: Offload;
  readonly pathPrefix?: string;
  readonly tls?: ServerTls;
  readonly limits?: Partial<Limits>;
  /** Downloads at a time; 1000 by default. */
  readonly limit?: number;
  /** Links that are looked up at a time; 1000 by default. */
  readonly maxLookUps?: number;
  /** Whether sessions have owners that differ. */
  readonly hasOwners?: boolean;
  readonly isUser?: (name: string) => boolean;
  /** Limit of the bandwidth; none by default. */
  readonly bytesPerSecond?: () => number;
  readonly bandwidthStore?: BandwidthStore;
  readonly logins?: Logins;
}

/** The download protocol alone behind a real port, over a directory, with stores that tests control. */
export async function downloadRig(options: DownloadRigOptions = {}) {
  const directory = await tempDir();
  const item = join(directory.path, "lib", "item");
  await mkdir(item, { recursive: true });
  const itemId = crypto.randomUUID();
  await writeFile(join(item, ".item.json"), JSON.stringify({ id: itemId }));
  const source = await DirectoryContentSource.open({ root: directory.path });
  const { leaseMs = 60_000, stallMs = 60_000 } = options;
  const terms = { leaseMs, retentionMs: leaseMs };
  const database = new SqliteDatabase(":memory:");
  const sessions = new SqliteSessionStore({ database, terms });
  const files = new MemorySessionFiles();
  const key: LinkKey = { id: "k1", secret: randomBytes(32) };
  const records: DownloadRecord[] = [];
  const preparations = options.preparations ?? { find: async (files) => files.map(() => undefined) };
  const downloads = new Downloads({ files, ends: files, sessions, preparations, terms, stallMs });
  const shares = new DownloadShares(options.limit ?? 1000);
  const admission = new Admission(options.maxLookUps ?? 1000);
  let running = 0;
  const next: ProtocolHandler = {
    name: "next",
    headers: { request: [], response: [] },
    takes: () => true,
    serve(_, response) {
      response.writeHead(418);
      response.end();
    },
  };
  const parts = {
    links: new Links(fixedLinkKeys([key])),
    sessions,
    content: options.content?.(source) ?? source,
    preparations,
    files,
    downloads,
    shares,
    bandwidth: new Bandwidth({
      store: options.bandwidthStore ?? new SqliteBandwidthStore(database),
      bytesPerSecond: options.bytesPerSecond ?? (() => 0),
    }),
    logins: options.logins ?? { store: { find: () => undefined }, idleMs: 60_000 },
    hasOwners: options.hasOwners ?? false,
    isUser: options.isUser ?? (() => true),
    admission,
    clientAddressOf: clientAddressFinder(() => true),
    offload: options.offload,
    pageHeaders: ["x-content-type-options", "nosniff"],
    observe: {
      began: () => void running++,
      ended: () => void running--,
      moved: () => {},
      finished: (record: DownloadRecord) => void records.push(record),
    },
  };
  const server = new Server({
    ...firstOf([downloadHandler(parts, options.pathPrefix ?? ""), next]),
    host: "127.0.0.1",
    port: 0,
    tls: options.tls,
    limits: options.limits,
  });
  const { port } = await server.listen();
  const stop = async () => {
    downloads.cutAll();
    await server.close(AbortSignal.timeout(500));
    await downloads.close();
    database.close();
    await directory.remove();
  };
  return {
    port,
    url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    itemId,
    itemPath: item,
    source,
    sessions,
    files,
    downloads,
    shares,
    admission,
    key,
    /** Records of the finished requests, in order. */
    records,
    /** Requests that are being served. */
    get running() {
      return running;
    },
    caller: callerNamed("alice"),
    async addFile(name: string, bytes: Uint8Array | string): Promise<void> {
      await writeFile(join(item, name), bytes);
    },
    async open(owner = "alice"): Promise<Session> {
      const { contentVersion } = (await source.item(itemId))!;
      return sessions.create({ id: crypto.randomUUID(), owner, libraryItemId: itemId, contentVersion });
    },
    /** Path and query of a link. */
    link({ id, contentVersion }: Session, fileName: string): string {
      return signedPath({ sessionId: id, fileName, contentVersion }, key);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

export type DownloadRig = Awaited<ReturnType<typeof downloadRig>>;

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
