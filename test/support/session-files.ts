import { createHash, randomBytes } from "node:crypto";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { FileService } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import type { CallMethod } from "./method-clients.ts";

/** A file as a protocol sends it, every leaf as text. */
export interface FileView {
  readonly name: string;
  readonly size?: string;
  readonly bytes_transferred: string;
  readonly status: string;
  readonly download_endpoint?: { readonly uri: string };
  readonly checksum_info?: ChecksumView;
  readonly error_message?: JsonObject & { readonly id: string };
  readonly checksums?: readonly ChecksumView[];
}

export interface ChecksumView {
  readonly algorithm: string;
  readonly checksum: string;
}

/** The files of one session through one protocol; a refusal is `STATUS message.id`. */
export function sessionFiles(call: CallMethod, sessionId: string, headers: Record<string, string> = {}) {
  const id = { download_session_id: sessionId };
  const { list, prepare, get } = FileService.method;
  return {
    list: async () => (await call(list, id, headers)) as FileView[] | string,
    prepare: async (fileName: string, more: JsonObject = {}) =>
      asFile(await call(prepare, { ...id, file_name: fileName, ...more }, headers)),
    get: async (fileName: string) => asFile(await call(get, { ...id, file_name: fileName }, headers)),
  };
}

function asFile(answer: JsonValue | undefined): FileView {
  if (typeof answer === "string") return { status: answer } as FileView;
  return answer as unknown as FileView;
}

/** Makes an item and resolves with its id. @param files by name; a number is a size, of zeros that take no room */
export async function addItem(
  contentRoot: string,
  files: Readonly<Record<string, Uint8Array | string | number>>,
): Promise<string> {
  const id = crypto.randomUUID();
  const folder = join(contentRoot, "lib", id);
  // The metadata is first, so that the item never has another id.
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, ".item.json"), JSON.stringify({ id }));
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await writeFile(path, typeof content === "number" ? "" : content);
    if (typeof content === "number") await truncate(path, content);
  }
  return id;
}

export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

export const someBytes = (size: number): Uint8Array => randomBytes(size);

/** Path of download sessions. */
export const sessions = "/api/content/library/item/download-session";

/** Creates a session over `/api` and gives its id. */
export async function openSession(
  url: string,
  itemId: string,
  headers: Record<string, string> = {},
): Promise<string> {
  const response = await fetch(url + sessions, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ library_item_id: itemId }),
  });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()) as string;
}

/** When a session will expire, in milliseconds since the epoch. */
export async function expiryOf(url: string, sessionId: string): Promise<number> {
  const response = await fetch(`${url}${sessions}/${sessionId}`);
  const { expiration_time } = (await response.json()) as { expiration_time: string };
  return Date.parse(expiration_time);
}

/** Ends a session by an action of `/api`. */
export async function endSession(url: string, sessionId: string, action: "cancel" | "fail"): Promise<void> {
  const response = await fetch(`${url}${sessions}/${sessionId}?action=${action}`, { method: "POST" });
  if (response.status !== 204) throw new Error(`${response.status}: ${await response.text()}`);
}
