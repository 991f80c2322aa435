import { z } from "zod";
import { identifierRule, isIdentifier } from "../domain/identifiers.ts";

const maxMetadataBytes = 64 * 1024;

const metadataSchema = z.object({
  id: z.string().refine(isIdentifier, `must be ${identifierRule}`).exactOptional(),
  description: z.string().exactOptional(),
  type: z.string().min(1).exactOptional(),
});

/** What `.library.json` and `.item.json` may declare; a library has no type. */
export type Declaration = z.infer<typeof metadataSchema>;

/** The declarations of a library or an item; empty when it has no metadata file. */
export interface Metadata extends Declaration {
  /** When the file was last modified, in milliseconds since the epoch; unset when there is no file. */
  readonly modifiedMs?: number;
}

export class BrokenMetadata extends Error {
  override readonly name = "BrokenMetadata";
}

/** @throws BrokenMetadata */
export function checkMetadataSize(bytes: number): void {
  if (bytes > maxMetadataBytes) throw new BrokenMetadata(`larger than ${maxMetadataBytes} bytes`);
}

/** @throws BrokenMetadata */
export function parseMetadata(bytes: Uint8Array): Declaration {
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
