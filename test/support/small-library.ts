import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Writes the content root `library` below a directory, with one small file in the item `item-1`. */
export async function writeSmallLibrary(directory: string): Promise<void> {
  const item = join(directory, "library", "images", "small");
  await mkdir(item, { recursive: true });
  await writeFile(join(item, ".item.json"), JSON.stringify({ id: "item-1" }));
  await writeFile(join(item, "disk.img"), "content");
}
