import { lstat } from "node:fs/promises";
import { z } from "zod";
import { identifierRule, isIdentifier } from "../domain/identifiers.ts";
import { openWithin, unlessMissing } from "./directory/confined.ts";

const maxBytes = 64 * 1024;

const metadataSchema = z.object({
  id: z.string().refine(isIdentifier, `must be ${identifierRule}`).exactOptional(),
  description: z.string().exactOptional(),
  type: z.string().min(1).exactOptional(),
});

/** What `.library.json` and `.item.json` may say; a library has no type. */
export type Declared = z.infer<typeof metadataSchema>;

export interface Metadata extends Declared {
  /** When the file was last modified, in milliseconds since the epoch; unset when there is none. */
  readonly modifiedMs?: number;
}

/**
 * Reads a metadata file; nothing is declared when there is none. Rejects with a BrokenMetadata when it does not
 * hold what it must.
 */
export async function readMetadata(root: string, path: string): Promise<Metadata> {
  if ((await unlessMissing(lstat(path))) === undefined) return {};
  const file = await openWithin(root, path);
  if (file === undefined) throw new BrokenMetadata("not a regular file inside of the root");
  try {
    checkMetadataSize(file.size);
    return { ...parseMetadata(await file.handle.readFile()), modifiedMs: file.modifiedMs };
  } finally {
    await file.handle.close();
  }
}

export class BrokenMetadata extends Error {
  override readonly name = "BrokenMetadata";
}

/** @throws BrokenMetadata */
export function checkMetadataSize(bytes: number): void {
  if (bytes > maxBytes) throw new BrokenMetadata(`larger than ${maxBytes} bytes`);
}

/** @throws BrokenMetadata */
export function parseMetadata(bytes: Uint8Array): Declared {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (reason) {
    throw new BrokenMetadata("not JSON in UTF-8", { cause: reason });
  }
  const result = metadataSchema.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => [...path, message].join(": "));
  throw new BrokenMetadata(problems.join("; "));
}
