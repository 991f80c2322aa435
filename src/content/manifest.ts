import type { ChecksumAlgorithm, ItemFile } from "../domain/content-source.ts";

/** By the name of the file. */
export type ChecksumsByName = ReadonlyMap<string, NonNullable<ItemFile["checksums"]>>;

const maxManifestBytes = 4 * 1024 * 1024;

/** Hexadecimal digits of each algorithm's checksums. */
export const checksumDigits = { MD5: 32, SHA1: 40, SHA256: 64, SHA512: 128 } as const satisfies Record<
  ChecksumAlgorithm,
  number
>;

/** `SHA256(disk.vmdk)= 9f86…`, with or without spaces; the name may contain anything but a line break. */
const linePattern = /^([A-Z0-9]+) ?\((.*)\) ?= ?([0-9a-f]+)[ \t]*$/is;

/** Whether a file is a manifest, by its name. */
export function isManifest({ name }: { readonly name: string }): boolean {
  return name.toLowerCase().endsWith(".mf");
}

export class BrokenManifest extends Error {
  override readonly name = "BrokenManifest";
}

/** @throws BrokenManifest */
export function checkManifestSize(bytes: number): void {
  if (bytes > maxManifestBytes) throw new BrokenManifest(`larger than ${maxManifestBytes} bytes`);
}

/** The checksums of several manifests; where they contradict each other, those of the first. */
export function mergeChecksums(manifests: Iterable<ChecksumsByName | undefined>): ChecksumsByName {
  const all = new Map<string, NonNullable<ItemFile["checksums"]>>();
  for (const manifest of manifests) {
    for (const [file, checksums] of manifest ?? []) all.set(file, { ...checksums, ...all.get(file) });
  }
  return all;
}

/**
 * Parses the manifest of an OVF package (DMTF DSP0243, section 5.1). Keeps checksums of files that do not exist: which
 * files an item has is not for its manifest to decide.
 *
 * @throws BrokenManifest
 */
export function parseManifest(bytes: Uint8Array): ChecksumsByName {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (reason) {
    throw new BrokenManifest("not UTF-8", { cause: reason });
  }
  const checksums = new Map<string, Partial<Record<ChecksumAlgorithm, string>>>();
  for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
    if (line.trim() === "") continue;
    const [, method = "", name = "", digits = ""] = linePattern.exec(line) ?? [];
    const algorithm = method.toUpperCase() as ChecksumAlgorithm;
    const isAlgorithm = Object.hasOwn(checksumDigits, algorithm);
    if (!isAlgorithm || name === "" || digits.length !== checksumDigits[algorithm]) {
      throw new BrokenManifest(`line ${index + 1} is not like SHA256(name)= and the checksum`);
    }
    const ofFile = checksums.get(name) ?? {};
    checksums.set(name, ofFile);
    const checksum = digits.toLowerCase();
    if (ofFile[algorithm] !== undefined && ofFile[algorithm] !== checksum) {
      throw new BrokenManifest(`line ${index + 1} contradicts an earlier one`);
    }
    ofFile[algorithm] = checksum;
  }
  return checksums;
}
