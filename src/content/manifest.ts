import type { ChecksumAlgorithm, ItemFile } from "../domain/content-source.ts";
import { openWithin } from "./directory/confined.ts";

/** By the name of the file. */
export type Checksums = ReadonlyMap<string, NonNullable<ItemFile["checksums"]>>;

const maxManifestBytes = 4 * 1024 * 1024;

/** Hexadecimal digits of each algorithm's checksums. */
export const checksumDigits = { MD5: 32, SHA1: 40, SHA256: 64, SHA512: 128 } as const satisfies Record<
  ChecksumAlgorithm,
  number
>;

/** `SHA256(disk.vmdk)= 9f86…`, with or without spaces; the name may contain anything but a line break. */
const line = /^([A-Z0-9]+) ?\((.*)\) ?= ?([0-9a-f]+)[ \t]*$/is;

/** Whether a file is a manifest, by its name. */
export function isManifest({ name }: { readonly name: string }): boolean {
  return name.toLowerCase().endsWith(".mf");
}

export class BrokenManifest extends Error {
  override readonly name = "BrokenManifest";
}

/**
 * Reads the manifest of an OVF package (DMTF DSP0243, section 5.1). Checksums of files that are not there are kept: it
 * is not the manifest that tells which files there are. Undefined when the file is gone.
 *
 * @param root real path that the file may not lie outside of
 * @throws BrokenManifest
 */
export async function readManifest(root: string, path: string): Promise<Checksums | undefined> {
  const file = await openWithin(root, path);
  if (file === undefined) return undefined;
  try {
    checkManifestSize(file.size);
    return parseManifest(await file.handle.readFile());
  } finally {
    await file.handle.close();
  }
}

/** @throws BrokenManifest */
export function checkManifestSize(bytes: number): void {
  if (bytes > maxManifestBytes) throw new BrokenManifest(`larger than ${maxManifestBytes} bytes`);
}

/** What several manifests tell, the first of them when they contradict each other. */
export function mergeChecksums(told: Iterable<Checksums | undefined>): Checksums {
  const all = new Map<string, NonNullable<ItemFile["checksums"]>>();
  for (const manifest of told) {
    for (const [file, checksums] of manifest ?? []) all.set(file, { ...checksums, ...all.get(file) });
  }
  return all;
}

/** @throws BrokenManifest */
export function parseManifest(bytes: Uint8Array): Checksums {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (reason) {
    throw new BrokenManifest("not UTF-8", { cause: reason });
  }
  const checksums = new Map<string, Partial<Record<ChecksumAlgorithm, string>>>();
  for (const [index, written] of text.split(/\r\n|\n|\r/).entries()) {
    if (written.trim() === "") continue;
    const [, algorithm = "", name = "", checksum = ""] = line.exec(written) ?? [];
    const known = algorithm.toUpperCase() as ChecksumAlgorithm;
    if (!Object.hasOwn(checksumDigits, known) || name === "" || checksum.length !== checksumDigits[known]) {
      throw new BrokenManifest(`line ${index + 1} is not like SHA256(name)= and the checksum`);
    }
    const ofFile = checksums.get(name) ?? {};
    checksums.set(name, ofFile);
    const told = checksum.toLowerCase();
    if (ofFile[known] !== undefined && ofFile[known] !== told) {
      throw new BrokenManifest(`line ${index + 1} contradicts an earlier one`);
    }
    ofFile[known] = told;
  }
  return checksums;
}
