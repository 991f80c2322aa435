import type { ByteRange, ContentFile, ContentSource, ItemFile } from "../../src/domain/content-source.ts";

/** The files of an item, by name; undefined when there is no such item. */
export async function filesOf(
  source: ContentSource,
  itemId: string,
): Promise<readonly ItemFile[] | undefined> {
  return (await source.contents(itemId))?.files;
}

/** Opens a file in the content version that its item has now; undefined when the item has no such file. */
export async function openCurrent(
  source: ContentSource,
  itemId: string,
  fileName: string,
): Promise<ContentFile | undefined> {
  const { contentVersion } = (await source.item(itemId)) ?? { contentVersion: "none" };
  return source.openFile(itemId, fileName, contentVersion);
}

/** Reads a range to its end, piece by piece, and leaves the file open. */
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

/** The content of a file of an item now, as text; undefined when there is no such file. */
export async function textOf(
  source: ContentSource,
  itemId: string,
  fileName: string,
): Promise<string | undefined> {
  await using file = await openCurrent(source, itemId, fileName);
  return file && new TextDecoder().decode(await bytesOf(file));
}
