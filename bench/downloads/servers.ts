import { join } from "node:path";
import { startContender } from "../contender-process.ts";
import { type Contender, downleaseServing, downleaseServingObjects, nodeHttpFile } from "../contenders.ts";
import { startNginx } from "../nginx.ts";
import { type BenchLibrary, preparedLink } from "./library.ts";
import { startObjectStorage } from "./object-storage.ts";

/** A server that is measured while it sends the library's file. */
export interface FileServer {
  readonly name: string;
  start(options: FileServerOptions): Promise<RunningFileServer>;
}

interface FileServerOptions {
  readonly library: BenchLibrary;
  readonly redisUrl: string;
  /** For files of the run. */
  readonly directory: string;
}

export interface RunningFileServer {
  readonly port: number;
  /** Port for HTTP/2 with prior knowledge. */
  readonly http2Port: number;
  readonly pid: number;
  /** Path and query of the file. */
  readonly path: string;
  stop(): Promise<void>;
}

const nginx = (sendfile: "on" | "off"): FileServer => ({
  name: `nginx, sendfile ${sendfile}`,
  async start({ library, directory }) {
    const running = await startNginx({ root: library.root, sendfile, directory });
    return { ...running, path: `/${library.path}` };
  },
});

export const nginxCopying = nginx("off");
export const nginxSendfile = nginx("on");

export const nodeFile: FileServer = {
  name: "bare node:http, stream of the file",
  async start({ library, redisUrl }) {
    const contender = nodeHttpFile(join(library.root, library.path));
    const { port, pid, stop } = await startContender(contender, redisUrl);
    return { port, http2Port: port, pid, stop, path: "/" };
  },
};

export const downleaseFiles: FileServer = {
  name: "downlease",
  start: ({ library, redisUrl }) => startDownlease(downleaseServing(library.root), redisUrl),
};

export const downleaseObjects = servingObjects("from object storage", () => []);

/** Its cache holds the file. */
export const downleaseCache = servingObjects("from the cache", (directory) => cacheFlags(directory, "4GiB"));

/** Its cache holds a small part of the file, so that every download fetches and caches every block. */
export const downleaseFilling = servingObjects("filling the cache", (directory) =>
  cacheFlags(directory, "64MiB"),
);

function cacheFlags(directory: string, bytes: string): string[] {
  return ["--cache-dir", join(directory, `cache-${bytes}`), "--cache-bytes", bytes];
}

/** @param flags those besides the bucket, for files below a directory */
function servingObjects(how: string, flags: (directory: string) => readonly string[]): FileServer {
  return {
    name: `downlease, ${how}`,
    async start({ library, redisUrl, directory }) {
      const storage = await startObjectStorage(library, directory);
      try {
        const contender = downleaseServingObjects(storage.endpoint, storage.bucket, ...flags(directory));
        return await startDownlease(contender, redisUrl, storage.stop);
      } catch (error) {
        await storage.stop();
        throw error;
      }
    },
  };
}

async function startDownlease(
  contender: Contender,
  redisUrl: string,
  stopMore = async () => {},
): Promise<RunningFileServer> {
  const running = await startContender(contender, redisUrl);
  const { port, pid } = running;
  try {
    const { path } = await preparedLink(port);
    const stop = () => running.stop().then(stopMore);
    return { port, http2Port: port, pid, stop, path };
  } catch (error) {
    await running.stop();
    throw error;
  }
}
