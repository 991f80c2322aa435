import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { eventually } from "../../test/support/eventually.ts";
import type { Header } from "../drivers/driver.ts";

/** A content directory with one item of one file. */
export interface BenchLibrary {
  readonly root: string;
  /** Path of the file below the root. */
  readonly path: string;
  readonly bytes: number;
}

export const itemId = "bench-item";
const fileName = "disk.bin";
const blockBytes = 2 ** 20;

/**
 * @param bytes rounded up to whole MiB
 * @throws Error when the directory has a library: another study may still use it
 */
export async function createLibrary(directory: string, bytes: number): Promise<BenchLibrary> {
  const root = join(directory, "library");
  const item = join(root, "bench", "disk");
  await mkdir(directory, { recursive: true });
  await mkdir(root);
  await mkdir(item, { recursive: true });
  await writeFile(join(item, ".item.json"), JSON.stringify({ id: itemId }));
  const blocks = Math.ceil(bytes / blockBytes);
  await pipeline(Readable.from(randomBlocks(blocks)), createWriteStream(join(item, fileName)));
  return { root, path: `bench/disk/${fileName}`, bytes: blocks * blockBytes };
}

/** Random bytes, so that nothing on the way can optimise zeros. */
function* randomBlocks(blocks: number): Generator<Uint8Array> {
  for (let index = 0; index < blocks; index++) {
    const block = new Uint8Array(blockBytes);
    for (let at = 0; at < blockBytes; at += 2 ** 16) crypto.getRandomValues(block.subarray(at, at + 2 ** 16));
    yield block;
  }
}

interface FileInfo {
  readonly status: string;
  readonly download_endpoint?: { readonly uri: string };
}

/**
 * Opens a download session for the library's item and prepares its file. The first time that takes as long as reading
 * the file.
 *
 * @param headers of the caller, for authentication
 * @returns path and query of the link
 */
export async function preparedLink(
  port: number,
  headers: readonly Header[] = [],
): Promise<{ readonly sessionId: string; readonly path: string }> {
  const sessions = `http://127.0.0.1:${port}/api/content/library/item/download-session`;
  const sessionId = await post<string>(sessions, { library_item_id: itemId }, headers);
  const prepare = () =>
    post<FileInfo>(`${sessions}/${sessionId}/file?action=prepare`, { file_name: fileName }, headers);
  const link = await eventually(
    "the file to be prepared",
    async () => (await prepare()).download_endpoint?.uri,
    { withinMs: 60_000 },
  );
  const { pathname, search } = new URL(link);
  return { sessionId, path: pathname + search };
}

async function post<T>(url: string, body: unknown, headers: readonly Header[]): Promise<T> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...Object.fromEntries(headers) },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url} failed with status ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}
