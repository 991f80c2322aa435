import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { CreateBucketCommand, PutBucketVersioningCommand } from "@aws-sdk/client-s3";
import { minio as tool } from "./client-tools.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";
import { type Process, startProcess } from "./process.ts";
import { s3ClientFor, s3Credentials, type TestBucket, testBucket } from "./s3-server.ts";
import { tempDir } from "./temp-dir.ts";

/** MinIO, as processes that a test may kill. */
export interface Minio extends AsyncDisposable {
  /** Of each node. */
  readonly ports: readonly number[];
  readonly url: string;
  /** Makes an empty bucket. */
  bucket(options?: { readonly isVersioned?: boolean }): Promise<TestBucket>;
  /** SIGKILL, of the first node by default. */
  kill(node?: number): Promise<void>;
  /** Starts a node that was killed once more, on its port. */
  restart(node?: number): Promise<void>;
}

/** @param nodes one, or four of which three have to be there for a write and two for a read */
export async function startMinio(nodes: 1 | 4 = 1): Promise<Minio> {
  const directory = await tempDir();
  const ports: number[] = [];
  for (let node = 0; node < nodes; node++) ports.push(await freePort());
  const folder = (node: number) => join(directory.path, `drive-${node}`);
  const drives =
    nodes === 1 ? [folder(0)] : ports.map((port, node) => `http://127.0.0.1:${port}${folder(node)}`);
  const start = (node: number) =>
    startProcess(tool.path, ["server", "--quiet", "--address", `127.0.0.1:${ports[node]}`, ...drives], {
      env: {
        MINIO_ROOT_USER: s3Credentials.AWS_ACCESS_KEY_ID,
        MINIO_ROOT_PASSWORD: s3Credentials.AWS_SECRET_ACCESS_KEY,
        MINIO_BROWSER: "off",
        MINIO_UPDATE: "off",
        // Allows drives that are folders of the root file system.
        MINIO_CI_CD: "on",
        // In a container nodes at a loopback address wait for another address otherwise.
        _MINIO_SERVER_LOCAL: `127.0.0.1:${ports[node]}`,
      },
    });
  const processes: Process[] = await Promise.all(ports.map((_, node) => start(node)));
  const isReady = async (port: number) =>
    (await fetch(`http://127.0.0.1:${port}/minio/health/cluster`).catch(() => undefined))?.ok === true;
  const allReady = () =>
    eventually("MinIO to be ready", async () => (await Promise.all(ports.map(isReady))).every(Boolean), {
      withinMs: 60_000,
      everyMs: 100,
    });
  const url = `http://127.0.0.1:${ports[0]}`;
  const client = s3ClientFor(url);
  const stop = async () => {
    client.destroy();
    await Promise.all(processes.map((each) => each.kill()));
    await directory.remove();
  };
  await allReady().catch(async (error: unknown) => {
    const output = processes.map(({ stdout, stderr }) => stdout + stderr).join("\n");
    await stop();
    throw new Error(output.slice(-2_000), { cause: error });
  });
  return {
    ports,
    url,
    async bucket({ isVersioned = false } = {}) {
      const Bucket = `test-${randomUUID()}`;
      await client.send(new CreateBucketCommand({ Bucket }));
      const VersioningConfiguration = { Status: "Enabled" } as const;
      if (isVersioned) await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
      return testBucket(client, Bucket);
    },
    kill: (node = 0) => processes[node]!.kill(),
    async restart(node = 0) {
      processes[node] = await start(node);
      await allReady();
    },
    [Symbol.asyncDispose]: stop,
  };
}
