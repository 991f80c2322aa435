import type { ByteRange, ContentFile, ContentSource } from "../../src/domain/content-source.ts";

/** Opens a file in the content version that its item has now; undefined when it has no such file. */
export async function openCurrent(
  source: ContentSource,
  itemId: string,
  fileName: string,
): Promise<ContentFile | undefined> {
  const { contentVersion } = (await source.item(itemId)) ?? { contentVersion: "none" };
  return source.openFile(itemId, fileName, contentVersion);
}

/** Reads a range to its end, piece by piece; the file stays open. */
export async function bytesOf(file: ContentFile, range?: ByteRange, pieceSize = 65_536): Promise<Uint8Array> {
  const reader = file.reader(range);
  const pieces: Uint8Array[] = [];
  for (;;) {
    const piece = new Uint8Array(pieceSize);
    const count = await reader.read(piece);
    if (count === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, count));
  }
}

/** What is in a file of an item now, as text; undefined when there is no such file. */
export async function textOf(
  source: ContentSource,
  itemId: string,
  fileName: string,
): Promise<string | undefined> {
  await using file = await openCurrent(source, itemId, fileName);
  return file && new TextDecoder().decode(await bytesOf(file));
}
