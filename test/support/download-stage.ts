import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { type FaultyProxy, startFaultyProxy } from "./faulty-proxy.ts";
import { type Get, type GetOptions, startGet, type TestItem, writeItem } from "./get.ts";
import { runningDownloads } from "./links.ts";
import { type Service, startService } from "./service.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";

export const mebibyte = 1024 * 1024;

/** Size of the file of most tests: more than all the buffers on the way can hold, so that no side has it all at `middle`. */
export const largeBytes = 48 * mebibyte;
export const middle = 12 * mebibyte;

/** A library, and a directory for each test to download into. */
export interface DownloadStage extends AsyncDisposable {
  readonly contentRoot: string;
  /** One file, `disk.img`, of `largeBytes`. */
  readonly large: TestItem;
  /** A new place for a download or a store. */
  directory(): Promise<string>;
  /** Ends everything that was started since the last call, in any state. For the end of each test. */
  clear(): Promise<void>;
  /** The program over the library, as `startService` starts it. */
  service(args?: readonly string[]): Promise<Service>;
  proxy(upstream: string): Promise<FaultyProxy>;
  get(url: string, item: TestItem, directory: string, options?: GetOptions): Promise<Get>;
  /** A `get` that has `middle` bytes of a file on the disk, and gets no more until the hold is released. */
  halfway(url: string, item: TestItem, options?: HalfwayOptions): Promise<Halfway>;
  /** Registers something to be ended with the test. */
  use<T extends AsyncDisposable>(what: T): T;
}

export interface HalfwayOptions {
  /** Whether the connection is reset there, once. */
  readonly breaks?: boolean;
}

export interface Halfway {
  /** Between `get` and what it gets from. */
  readonly proxy: FaultyProxy;
  /** Where the files go. */
  readonly target: string;
  readonly hold: ReturnType<FaultyProxy["hold"]>;
  readonly get: Get;
}

export async function downloadStage(): Promise<DownloadStage> {
  const root: TempDir = await tempDir();
  const contentRoot = join(root.path, "library");
  const large = await writeItem(contentRoot, "large", { "disk.img": largeBytes });
  let used: AsyncDisposable[] = [];
  let directories = 0;
  const use = <T extends AsyncDisposable>(what: T): T => {
    used.push(what);
    return what;
  };
  const clear = async () => {
    const ending = used.reverse();
    used = [];
    for (const each of ending) await each[Symbol.asyncDispose]();
  };
  const directory = async () => {
    const path = join(root.path, `directory-${++directories}`);
    await mkdir(path);
    return path;
  };
  const proxyTo = async (upstream: string) => use(await startFaultyProxy(upstream));
  const get: DownloadStage["get"] = async (url, { id }, target, options) =>
    use(await startGet(url, id, target, options));
  return {
    contentRoot,
    large,
    use,
    clear,
    directory,
    service: async (args = []) => use(await startService(["--content-root", contentRoot, ...args])),
    proxy: proxyTo,
    get,
    async halfway(url, item, { breaks = false } = {}) {
      const proxy = await proxyTo(url);
      const target = await directory();
      const hold = proxy.hold(middle);
      if (breaks) proxy.cut(middle, "reset", 1);
      const got = await get(proxy.url, item, target);
      await onDisk(target, middle);
      return { proxy, target, hold, get: got };
    },
    async [Symbol.asyncDispose]() {
      await clear();
      await root.remove();
    },
  };
}

/** Calls a method of `DownloadSessionService`. */
// biome-ignore lint/suspicious/noExplicitAny: JSON of several shapes, held to them by expectations
export async function callSessions(url: string, method: string, request: object = {}): Promise<any> {
  const response = await fetch(`${url}/content.library.item.v1.DownloadSessionService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  return await response.json();
}

/** Identifiers of all sessions. */
export async function sessionIds(url: string): Promise<string[]> {
  return (await callSessions(url, "List")).downloadSessionIds ?? [];
}

/** The only session. */
export async function onlySession(url: string): Promise<string> {
  const [id, ...more] = await sessionIds(url);
  if (id === undefined || more.length > 0) throw new Error(`${more.length + 1} sessions, or none`);
  return id;
}

/** Resolves with the one of the services that is sending a file. */
export function sendingService(services: readonly Service[]): Promise<Service> {
  return patiently("a service to send a file", async () => {
    for (const service of services) {
      if ((await runningDownloads(service)) > 0) return service;
    }
    return undefined;
  });
}

/** The outcomes of the downloads that a service has logged. */
export function loggedOutcomes({ logs }: Service): unknown[] {
  return logs.filter(({ msg }) => msg === "download").map(({ outcome }) => outcome);
}

/** Resolves when so many bytes of a file that is being downloaded are on the disk. */
export async function onDisk(directory: string, bytes: number): Promise<void> {
  await patiently(`${bytes} bytes on the disk`, async () => {
    const names = (await readdir(directory)).filter((name) => name.endsWith(".part"));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size));
    return sizes.includes(bytes);
  });
}

/** As `eventually`, with more time, for whole programs on a busy machine. */
export function patiently<T>(what: string, probe: () => T | Promise<T>): Promise<NonNullable<T>> {
  return eventually(what, probe, { withinMs: 30_000 });
}
